"""A session: one WebSocket client from its admission to its end, whatever dialect it speaks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog
import trio

from appliance.access.principals import Credential, Principal
from appliance.api import SessionInfo
from appliance.core.buckets import Bucket
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.dialects import framing
from appliance.dialects.complaint import Complaint
from appliance.edge.surroundings import Ending
from appliance.edge.websocket import Hangup
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.outbox import Outbox
    from appliance.core.subscriptions import Joined, Terms
    from appliance.edge.admission import Refusal
    from appliance.edge.line import Caller, Dialogue, Line
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Notice, Surroundings
    from appliance.edge.websocket import Socket

_log = structlog.get_logger()

POLICY_VIOLATION = 1008
GOING_AWAY = 1001
INTERNAL_ERROR = 1011
RESTART = 1012
TRY_LATER = 1013

_LOOKS = 8
"""How often, in the time that a session may be idle, it is looked at: it ends that part of the time late at most."""
_LOOK_AGAIN = 60.0
"""Seconds after which it is looked at anyway: a reload may have changed how long it may be idle."""


class Session:
    """Made when the socket is open; `run` is its life. It is the `Line` of its dialogue."""

    def __init__(
        self,
        socket: Socket,
        policy: Policy,
        caller: Caller,
        around: Surroundings,
        dialogue: Callable[[Line], Dialogue],
    ) -> None:
        self.policy = policy
        self.caller = caller
        self.around = around
        self.principal: Principal | None = None
        self._socket = socket
        self._scope = trio.CancelScope()
        self._ending: Ending | None = None
        self._stream = socket.stream
        self.outbox: Outbox = around.flusher.outbox(self._stream, self._slow, burst=policy.limits.burst)
        self.subscriber = Subscriber(
            around.hub,
            self.outbox,
            clock=trio.current_time,
            call_at=around.timers.call_at,
            newcomer=self._joined_newcomer,
            may_read=self.may_read,
        )
        self._dialogue = dialogue(self)
        socket.before_too_big(self._too_big)
        now = trio.current_time()
        self._messages = Bucket.per_minute(policy.bounds.messages_per_minute, now)
        self._rate = policy.bounds.messages_per_minute
        self._started = now
        self._count = 0

    # One of all sessions, and a patient of the heartbeat.

    @property
    def dialect(self) -> str:
        return self._dialogue.name

    @property
    def details(self) -> dict[str, Any]:
        return {**self._dialogue.details}

    @property
    def received(self) -> int:
        return self._stream.received

    @property
    def sent(self) -> int:
        return self._stream.sent

    def ping(self) -> None:
        self._stream.push(self._dialogue.ping)

    def notice(self, notice: Notice) -> None:
        self._dialogue.notice(notice)

    def gone(self) -> None:
        self.end(Ending(GOING_AWAY, "no sign of life"))

    def end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._scope.cancel()

    async def run(self) -> None:
        around = self.around
        around.sessions.add(self)
        around.traffic.opened += 1
        leave = around.heartbeat.watch(self)
        log = _log.bind(client=self.caller.address, path=self.caller.head.path)
        try:
            with self._scope:
                await self._converse(log)
        except Hangup as hangup:
            if hangup.broke_rules:
                around.traffic.errors["bad_frame"] += 1
            self._ending = self._ending or Ending(hangup.code, hangup.reason)
        finally:
            leave()
            self._dialogue.leave()
            self.subscriber.leave()
            around.sessions.discard(self)
            ending = self._ending or Ending(INTERNAL_ERROR, "internal error")
            self._stream.push(self.outbox.collect())
            try:
                await self._socket.close(ending.code, ending.text, within=self.policy.limits.goodbye)
            finally:
                self._account(log, ending)

    def _account(self, log: Any, ending: Ending) -> None:  # noqa: ANN401 - any structlog logger
        """Write down what the session was."""
        traffic = self.around.traffic
        traffic.closed += 1
        traffic.received_bytes += self._stream.received
        traffic.sent_bytes += self._stream.sent
        if self.principal is not None:
            self.around.hooks.closed(self._info())
        log.info(
            "session closed",
            dialect=self.dialect,
            **self.details,
            code=ending.code,
            reason=ending.text,
            principal=self.principal.name if self.principal else None,
            seconds=round(trio.current_time() - self._started, 3),
            events=self.outbox.taken,
            conflated=self.outbox.conflated,
            messages=self._count,
            bytes_sent=self._stream.sent,
            bytes_received=self._stream.received,
        )

    def _info(self) -> SessionInfo:
        """Say of the session what plugins may know."""
        return SessionInfo(
            client=self.caller.address,
            path=self.caller.head.path,
            dialect=self.dialect,
            principal=self.principal.name if self.principal else None,
            details=self.details,
            events=self.outbox.taken,
            seconds=trio.current_time() - self._started,
        )

    async def refuse(self, refusal: Refusal) -> None:
        """Tell a client that is not let in why, in its own words, and close."""
        self.complain(RequestError(refusal.code, refusal.message), retry_after=refusal.retry_after)
        self._stream.push(self.outbox.collect())
        ending = Ending(TRY_LATER, refusal.code, refusal.retry_after)
        await self._socket.close(ending.code, ending.text, within=self.policy.limits.goodbye)

    # The line of the dialogue.

    def may_read(self, topic: str) -> bool:
        return self.principal is not None and self.principal.may_read(topic)

    def authenticate(self, token: str) -> None:
        try:
            credential = Credential(token, "message")
            self.principal = self.around.authenticator().authenticate(credential, time.time())
        except RequestError as error:
            self._ending = Ending(POLICY_VIOLATION, error.code)
            raise

    def tell(self, text: bytes) -> None:
        self.outbox.put(framing.text(text))

    def complain(
        self,
        error: RequestError,
        *,
        label: str | None = None,
        retry_after: float | None = None,
        resume: dict[str, tuple[str, int]] | None = None,
    ) -> None:
        self.around.traffic.errors[error.code] += 1
        complaint = Complaint(
            timestamp=timestamp(time.time()), label=label, retry_after=retry_after, resume=resume or {}
        )
        if text := self._dialogue.complaint(error, complaint):
            self.tell(text)

    async def _converse(self, log: Any) -> None:  # noqa: ANN401 - any structlog logger
        self._look_at_request()
        if self.principal is not None:
            self._dialogue.begin()
        elif self._ending is None:
            await self._wait_for_credential()
        if self.principal is not None:
            log.info("session opened", dialect=self.dialect, **self.details, principal=self.principal.name)
            self.around.hooks.opened(self._info())
        while self._ending is None:
            await self._serve_next()

    def _look_at_request(self) -> None:
        """Take the credential that the request shows; one that is wrong ends the session, none may come later."""
        head = self.caller.head
        try:
            self.principal = self.policy.admit(head.headers, head.query, self.around.authenticator())
        except RequestError as error:
            if error.code is not ErrorCode.UNAUTHORIZED or not self._dialogue.takes_credentials:
                self.complain(error)
                self._ending = Ending(POLICY_VIOLATION, error.code)

    async def _wait_for_credential(self) -> None:
        timeout = self.around.settings().auth.timeout
        with trio.move_on_after(timeout):
            while self.principal is None and self._ending is None:
                await self._serve_next()
            return
        self.complain(
            RequestError(ErrorCode.UNAUTHORIZED, f"No credential within {timeout:g} s (auth.timeout)")
        )
        self._ending = Ending(POLICY_VIOLATION, ErrorCode.UNAUTHORIZED)

    async def _serve_next(self) -> None:
        message = await self._receive()
        if message is None:
            return
        self._count += 1
        self.around.traffic.received_messages += 1
        wait = self._pace()
        if wait:
            most = self._rate
            error = RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} messages a minute (limits.messages_per_minute)"
            )
            self.complain(error, retry_after=wait)
            await self._socket.pause(wait)
        else:
            try:
                await self._dialogue.hear(message)
            except RequestError as error:
                self.complain(error)
        # Who asks must also listen: answers of a client that does not are not gathered without end.
        if not self.outbox.open:
            await self._stream.drained()

    async def _receive(self) -> str | bytes | None:
        """Give the next message; None when the session has ended because there is none either way."""
        quiet_since, taken = trio.current_time(), self.outbox.taken
        while True:
            idle = self.policy.limits.idle
            with trio.move_on_after(_LOOK_AGAIN if idle is None else min(idle / _LOOKS, _LOOK_AGAIN)):
                return await self._socket.receive()
            idle = self.policy.limits.idle
            if idle is None:
                continue
            if taken != self.outbox.taken:
                quiet_since, taken = trio.current_time(), self.outbox.taken
            elif trio.current_time() - quiet_since >= idle:
                self.complain(
                    RequestError(
                        ErrorCode.IDLE_TIMEOUT, f"No message either way for {idle:g} s (limits.idle)"
                    )
                )
                self._ending = Ending(GOING_AWAY, ErrorCode.IDLE_TIMEOUT)
                return None

    def _pace(self) -> float:
        """Count a message against the session's rate: 0, or how long it is too early."""
        now = trio.current_time()
        most = self.policy.bounds.messages_per_minute
        if most != self._rate:
            self._rate, self._messages = most, Bucket.per_minute(most, now)
        return self._messages.take(now)

    def _too_big(self) -> None:
        """From the socket, before it closes: the client is told which limit it has passed."""
        most = self.policy.bounds.message_bytes
        self.complain(
            RequestError(
                ErrorCode.INVALID_MESSAGE, f"A message is at most {most} bytes (limits.message_bytes)"
            )
        )
        self._stream.push(self.outbox.collect())

    def _joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        self._dialogue.joined_newcomer(joined, terms)

    def _slow(self, reason: str) -> None:
        """From the flusher: this client cannot be served any longer. It is told where it can resume."""
        if self._ending is not None:
            return
        resume = self.outbox.positions()
        self._dialogue.leave()
        self.subscriber.leave()
        self.complain(RequestError(ErrorCode.SLOW_CLIENT, reason), resume=resume)
        self.end(Ending(POLICY_VIOLATION, ErrorCode.SLOW_CLIENT))
