"""A session: one WebSocket client from its admission to its end, in the appliance's own protocol."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio

from appliance.access import credentials
from appliance.access.principals import ANONYMOUS, Credential, Principal
from appliance.core.buckets import Bucket
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check as check_name
from appliance.core.topics import is_pattern
from appliance.dialects import cryptointel, framing
from appliance.dialects.commands import Authenticate, Command, Subscribe, Unsubscribe
from appliance.edge.surroundings import Ending
from appliance.edge.websocket import Hangup
from appliance.edge.words import Wording
from appliance.runtime.report import timestamp
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from appliance.edge.admission import Refusal
    from appliance.edge.head import Head
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings
    from appliance.edge.websocket import Socket

_log = structlog.get_logger()

STATUS_TOPIC = "system:status"
"""What every client of the document's form is told of, without asking."""

POLICY_VIOLATION = 1008
GOING_AWAY = 1001
INTERNAL_ERROR = 1011
RESTART = 1012
TRY_LATER = 1013

_GOODBYE = 5.0
"""Seconds that a client has to answer a close frame."""


@attrs.frozen(kw_only=True)
class Caller:
    """Who is on the line: where it comes from, and its request."""

    address: str
    head: Head


class Session:
    """Made when the socket is open; `run` is its life."""

    def __init__(self, socket: Socket, policy: Policy, caller: Caller, around: Surroundings) -> None:
        self._socket = socket
        self._policy = policy
        self._caller = caller
        self._around = around
        self._form: cryptointel.Form | None = None
        self._principal: Principal | None = ANONYMOUS if policy.auth == "none" else None
        self._scope = trio.CancelScope()
        self._ending: Ending | None = None
        self._told_status = False
        self._stream = socket.stream
        self._outbox = around.flusher.outbox(self._stream, self._slow, burst=policy.limits.burst)
        self._subscriber = Subscriber(
            around.hub,
            self._outbox,
            clock=trio.current_time,
            call_at=around.timers.call_at,
            newcomer=self._joined_newcomer,
            may_read=self._may_read,
        )
        now = trio.current_time()
        self._messages = Bucket.per_minute(policy.bounds.messages_per_minute, now)
        self._rate = policy.bounds.messages_per_minute
        self._started = now
        self._count = 0

    # A patient of the heartbeat.

    @property
    def received(self) -> int:
        return self._stream.received

    @property
    def sent(self) -> int:
        return self._stream.sent

    def ping(self) -> None:
        self._stream.push(framing.PING)

    def gone(self) -> None:
        self.end(Ending(GOING_AWAY, "no sign of life"))

    def end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._scope.cancel()

    async def run(self) -> None:
        around = self._around
        around.sessions.add(self)
        around.traffic.opened += 1
        leave = around.heartbeat.watch(self)
        log = _log.bind(client=self._caller.address, path=self._caller.head.path)
        try:
            with self._scope:
                await self._converse(log)
        except Hangup as hangup:
            if hangup.broke_rules:
                around.traffic.errors["bad_frame"] += 1
            self._ending = self._ending or Ending(hangup.code, hangup.reason)
        finally:
            leave()
            self._subscriber.leave()
            around.sessions.discard(self)
            ending = self._ending or Ending(INTERNAL_ERROR, "internal error")
            self._stream.push(self._outbox.collect())
            try:
                await self._socket.close(ending.code, ending.text, within=_GOODBYE)
            finally:
                self._account(log, ending)

    def _account(self, log: Any, ending: Ending) -> None:  # noqa: ANN401 - any structlog logger
        """Write down what the session was."""
        traffic = self._around.traffic
        traffic.closed += 1
        traffic.received_bytes += self._stream.received
        traffic.sent_bytes += self._stream.sent
        log.info(
            "session closed",
            code=ending.code,
            reason=ending.text,
            principal=self._principal.name if self._principal else None,
            seconds=round(trio.current_time() - self._started, 3),
            events=self._outbox.taken,
            conflated=self._outbox.conflated,
            messages=self._count,
            bytes_sent=self._stream.sent,
            bytes_received=self._stream.received,
        )

    async def refuse(self, refusal: Refusal) -> None:
        """Tell a client that is not let in why, in its own words, and close."""
        self._complain(RequestError(refusal.code, refusal.message), retry_after=refusal.retry_after)
        self._stream.push(self._outbox.collect())
        ending = Ending(TRY_LATER, refusal.code, refusal.retry_after)
        await self._socket.close(ending.code, ending.text, within=_GOODBYE)

    async def _converse(self, log: Any) -> None:  # noqa: ANN401 - any structlog logger
        if self._policy.auth != "none":
            self._look_at_request()
        if self._principal is None and self._ending is None:
            await self._wait_for_credential()
        if self._principal is not None:
            log.info("session opened", principal=self._principal.name)
        while self._ending is None:
            await self._serve_next()

    def _look_at_request(self) -> None:
        """Take the credential that the request shows; one that is wrong ends the session, none may be allowed."""
        head = self._caller.head
        try:
            credential = credentials.find(head.headers, head.query)
            if credential is not None:
                self._authenticate(credential)
            elif self._policy.auth == "optional":
                self._principal = ANONYMOUS
        except RequestError as error:
            self._complain(error)
            self._ending = Ending(POLICY_VIOLATION, error.code)

    async def _wait_for_credential(self) -> None:
        timeout = self._around.auth_timeout()
        with trio.move_on_after(timeout):
            while self._principal is None and self._ending is None:
                await self._serve_next()
            return
        self._complain(
            RequestError(ErrorCode.UNAUTHORIZED, f"No credential within {timeout:g} s (auth.timeout)")
        )
        self._ending = Ending(POLICY_VIOLATION, ErrorCode.UNAUTHORIZED)

    async def _serve_next(self) -> None:
        message = await self._socket.receive()
        self._count += 1
        self._around.traffic.received_messages += 1
        wait = self._pace()
        if wait:
            most = self._rate
            error = RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} messages a minute (limits.messages_per_minute)"
            )
            self._complain(error, retry_after=wait)
            await self._socket.pause(wait)
        else:
            try:
                self._obey(cryptointel.parse(message))
            except RequestError as error:
                self._complain(error)
        # Who asks must also listen: answers of a client that does not are not gathered without end.
        if not self._outbox.open:
            await self._stream.drained()

    def _pace(self) -> float:
        """Count a message against the session's rate: 0, or how long it is too early."""
        now = trio.current_time()
        most = self._policy.bounds.messages_per_minute
        if most != self._rate:
            self._rate, self._messages = most, Bucket.per_minute(most, now)
        return self._messages.take(now)

    def _obey(self, command: Command) -> None:
        if isinstance(command, Authenticate):
            if self._policy.auth != "none":
                self._authenticate_by_message(command.token)
            self._tell(cryptointel.authenticated((self._principal or ANONYMOUS).name))
            self._tell_status()
            return
        if self._principal is None:
            raise RequestError(
                ErrorCode.UNAUTHORIZED, 'Authenticate first: send {"type": "auth", "token": "…"}'
            )
        if isinstance(command, Subscribe):
            self._subscribe(command)
        elif isinstance(command, Unsubscribe):
            self._unsubscribe(command)
        else:
            self._tell(cryptointel.pong(self._form, timestamp(time.time())))

    def _authenticate(self, credential: Credential) -> None:
        self._principal = self._around.authenticator().authenticate(credential, time.time())

    def _authenticate_by_message(self, token: str) -> None:
        try:
            self._authenticate(Credential(token, "message"))
        except RequestError as error:
            self._ending = Ending(POLICY_VIOLATION, error.code)
            raise

    def _subscribe(self, command: Subscribe) -> None:
        form = self._form = _form(command.form)
        canonical = self._around.aliases.canonical
        recover = {canonical(name): position for name, position in command.recover.items()}
        joined: list[Joined] = []
        patterns: list[str] = []
        for written in command.names:
            try:
                joined += self._subscribe_one(command, written, canonical(check_name(written)), recover)
            except RequestError as error:
                self._complain(error, label=command.label or written)
            else:
                patterns += [written] if is_pattern(written) else []
        if joined or patterns:
            self._tell(cryptointel.subscribed(form, command.label, joined, patterns))
            self._subscriber.catch_up()
        if form is cryptointel.Form.DOCUMENT:
            self._tell_status()

    def _subscribe_one(
        self, command: Subscribe, written: str, name: str, recover: dict[str, Any]
    ) -> list[Joined]:
        most = self._policy.bounds.subscriptions
        taken = len(self._subscriber) - (STATUS_TOPIC in self._subscriber)
        if name not in self._subscriber and taken >= most:
            raise RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} channels for one connection (limits.subscriptions)"
            )
        label = command.label or (None if is_pattern(name) or written == name else written)
        return self._subscriber.subscribe(
            name, Terms(Wording(_form(command.form), framing.text), label, command.limit), recover
        )

    def _unsubscribe(self, command: Unsubscribe) -> None:
        form = self._form = _form(command.form)
        canonical = self._around.aliases.canonical
        names = command.names or self._subscriber.labelled(command.label or "")
        if not names:
            error = RequestError(ErrorCode.INVALID_CHANNEL, f"Not subscribed to {command.label!r}")
            self._complain(error, label=command.label)
        left = [name for name in names if self._subscriber.unsubscribe(canonical(name))]
        for name in names:
            if name not in left:
                error = RequestError(ErrorCode.INVALID_CHANNEL, f"Not subscribed to {name!r}")
                self._complain(error, label=command.label or name)
        if left:
            self._tell(cryptointel.unsubscribed(form, command.label, left))

    def _tell_status(self) -> None:
        """Read the status too, the first time that a client shows that it speaks the document's form."""
        if self._told_status or self._principal is None or not self._may_read(STATUS_TOPIC):
            return
        self._told_status = True
        if STATUS_TOPIC not in self._subscriber:
            terms = Terms(Wording(cryptointel.Form.DOCUMENT, framing.text))
            self._subscriber.subscribe(STATUS_TOPIC, terms, {})
            self._subscriber.catch_up()

    def _joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        wording = terms.form
        assert isinstance(wording, Wording)  # noqa: S101 - as it was subscribed
        self._tell(cryptointel.subscribed(wording.form, joined.label, [joined], []))

    def _may_read(self, topic: str) -> bool:
        return self._principal is not None and self._principal.may_read(topic)

    def _tell(self, text: bytes) -> None:
        self._outbox.put(framing.text(text))

    def _complain(
        self,
        error: RequestError,
        *,
        label: str | None = None,
        retry_after: float | None = None,
        resume: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        self._around.traffic.errors[error.code] += 1
        complaint = cryptointel.Complaint(
            timestamp=timestamp(time.time()), label=label, retry_after=retry_after, resume=resume or {}
        )
        self._tell(cryptointel.error(self._form, error.code, error.message, complaint))

    def _slow(self, reason: str) -> None:
        """From the flusher: this client cannot be served any longer. It is told where it can resume."""
        if self._ending is not None:
            return
        resume = self._outbox.positions()
        self._subscriber.leave()
        self._complain(RequestError(ErrorCode.SLOW_CLIENT, reason), resume=resume)
        self.end(Ending(POLICY_VIOLATION, ErrorCode.SLOW_CLIENT))


def _form(form: object) -> cryptointel.Form:
    assert isinstance(form, cryptointel.Form)  # noqa: S101 - only this dialect's commands come here
    return form
