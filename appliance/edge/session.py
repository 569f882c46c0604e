"""A session: one WebSocket client from its admission to its end, whatever dialect it speaks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from appliance.access import credentials
from appliance.access.principals import Credential, Principal
from appliance.api import SessionInfo
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.dialects import framing
from appliance.dialects.complaint import Complaint
from appliance.edge.ear import Ear
from appliance.edge.surroundings import Ending
from appliance.edge.websocket import Hangup
from appliance.runtime.status import NOTHING
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.gate import Peer
    from appliance.core.outbox import Outbox
    from appliance.core.subscriptions import Joined, Terms
    from appliance.edge.admission import Refusal
    from appliance.edge.line import Caller, Dialogue, Line
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Notice, Surroundings
    from appliance.edge.websocket import Socket
    from appliance.runtime.sight import Sight

_log = structlog.get_logger("audit")

POLICY_VIOLATION = 1008
GOING_AWAY = 1001
INTERNAL_ERROR = 1011
RESTART = 1012
TRY_LATER = 1013


class Session:
    """Made when the socket is open; `run` is its life. It is the `Line` of its dialogue."""

    transport: Final = "websocket"

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
        self._silent = False
        self._stream = socket.stream
        self.outbox: Outbox = around.flusher.outbox(self._stream, self._slow, burst=policy.limits.burst)
        self.subscriber = Subscriber(
            lambda: self.sight,
            self.outbox,
            clock=trio.current_time,
            call_at=around.timers.call_at,
            newcomer=self._joined_newcomer,
            resumed=around.traffic.resumed,
            refused=lambda name, error: self.complain(error, label=name),
        )
        self._dialogue = dialogue(self)
        socket.before_too_big(self._too_big)
        self._ear = Ear(socket, policy, lambda: self.outbox.taken)
        self._started = trio.current_time()
        self._count = 0
        self._counted = NOTHING

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

    @property
    def owed_bytes(self) -> int:
        # What an open outbox holds is shared, and on its way.
        return self._stream.waiting + (0 if self.outbox.open else self.outbox.chain.size)

    def cut(self) -> None:
        self._stream.abort()

    def account(self) -> None:
        stream, outbox = self._stream, self.outbox
        counted = stream.received, stream.sent, outbox.conflated, outbox.gaps
        if counted != self._counted:
            self.around.traffic.add(counted, beyond=self._counted)
            self._counted = counted

    def ping(self) -> None:
        self._stream.push(self._dialogue.ping)

    def notice(self, notice: Notice) -> None:
        self._dialogue.notice(notice)

    # One of those that may not stay for ever.

    @property
    def peer(self) -> Peer:
        return self.caller.peer

    def expiring(self, at: float) -> None:
        self._dialogue.expiring(at)

    def renew(self, principal: Principal) -> None:
        self.principal = principal
        self._dialogue.renewed(self.subscriber.reconsider())

    def silence(self) -> None:
        self._silent = True
        self._dialogue.leave()
        self.subscriber.leave()

    def expel(self, error: RequestError) -> None:
        if self._ending is not None:
            return
        resume = self.outbox.positions() if error.code is ErrorCode.SLOW_CLIENT else None
        self.silence()
        self.complain(error, resume=resume)
        self.end(_turned_away(error))

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
            around.tenures.end(self)
            self._dialogue.leave()
            self.subscriber.leave()
            around.sessions.discard(self)
            if self.principal is not None:
                around.admission.leave(self.principal)
            ending = self._ending or Ending(INTERNAL_ERROR, "internal error")
            self._stream.push(self.outbox.collect())
            try:
                await self._socket.close(ending.code, ending.text, within=self.policy.limits.goodbye)
            finally:
                self._account(log, ending)

    def _account(self, log: Any, ending: Ending) -> None:  # noqa: ANN401 - any structlog logger
        """Write down what the session was."""
        self.account()
        self.around.traffic.closed += 1
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
        error = RequestError(refusal.code, refusal.message, limit=refusal.limit)
        self.complain(error, retry_after=refusal.retry_after)
        self._stream.push(self.outbox.collect())
        code = RESTART if refusal.code is ErrorCode.SERVER_RESTART else TRY_LATER
        ending = Ending(code, refusal.code, refusal.retry_after)
        await self._socket.close(ending.code, ending.text, within=self.policy.limits.goodbye)

    # The line of the dialogue.

    @property
    def sight(self) -> Sight:
        return self.around.sight(self.principal)

    def authenticate(self, token: str) -> Principal:
        try:
            credential = Credential(token, "message")
            principal = self.around.gate().admit(credential, self.peer, time.time())
            if not self._is_of_another(principal):
                return self._seat(principal)
        except RequestError as error:
            self._ending = _turned_away(error)
            raise
        assert self.principal is not None  # noqa: S101 - it is another's
        problem = f"This session is that of {self.principal.name!r}: for another, open another one"
        raise RequestError(ErrorCode.UNAUTHORIZED, problem)

    def _is_of_another(self, principal: Principal) -> bool:
        """Whether it is somebody else already; who is anonymous may still say who it is."""
        before = self.principal
        return before is not None and before.kind != "anonymous" and _who(before) != _who(principal)

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
        self.around.traffic.refused(error.code, error.limit)
        complaint = Complaint(
            timestamp=timestamp(time.time()),
            label=label,
            retry_after=error.retry_after if retry_after is None else retry_after,
            resume=resume or {},
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
            head = self.caller.head
            way = credentials.way(self.principal, head.headers, head.query)
            log.info("session opened", dialect=self.dialect, way=way, **self.details, **self.principal.told)
            self.around.hooks.opened(self._info())
        while self._ending is None:
            await self._serve_next()

    def _look_at_request(self) -> None:
        """Take the credential that the request shows; one that is wrong ends the session, none may come later."""
        head = self.caller.head
        try:
            self._seat(self.policy.admit(head.headers, head.query, self.around.gate(), self.caller.peer))
        except RequestError as error:
            if error.code is not ErrorCode.UNAUTHORIZED or not self._dialogue.takes_credentials:
                self.complain(error)
                self._ending = _turned_away(error)

    def _seat(self, principal: Principal) -> Principal:
        """Go on as this principal's session, or raise RequestError where it has too many."""
        before, admission = self.principal, self.around.admission
        if before is None or _who(before) != _who(principal):
            refused = admission.enter(principal)
            if refused is not None:
                raise RequestError(
                    refused.code, refused.message, retry_after=refused.retry_after, limit=refused.limit
                )
            if before is not None:
                admission.leave(before)
        if before is None:
            self.principal = principal
        else:
            self.renew(principal)
        self.around.tenures.begin(self)
        return principal

    async def _wait_for_credential(self) -> None:
        timeout = self.around.settings().auth.timeout
        with trio.move_on_after(timeout):
            while self.principal is None and self._ending is None:
                await self._serve_next()
            return
        self.complain(
            RequestError(
                ErrorCode.UNAUTHORIZED,
                f"No credential within {timeout:g} s (auth.timeout)",
                limit="auth.timeout",
            )
        )
        self._ending = Ending(POLICY_VIOLATION, ErrorCode.UNAUTHORIZED)

    async def _serve_next(self) -> None:
        message = await self._ear.hear()
        if message is None:
            self._is_idle()
            return
        self._count += 1
        self.around.traffic.received_messages += 1
        if self._silent:
            return
        wait = self._ear.count()
        if wait:
            most = self._ear.rate
            error = RequestError(
                ErrorCode.RATE_LIMITED,
                f"At most {most} messages a minute (limits.messages_per_minute)",
                limit="messages_per_minute",
            )
            self.complain(error, retry_after=wait)
            await self._socket.pause(wait)
        else:
            await self.around.turnstile.enter()
            try:
                await self._dialogue.hear(message)
            except RequestError as error:
                self.complain(error)
        # Who asks must also listen: answers of a client that does not are not gathered without end.
        if not self.outbox.open:
            await self._stream.drained()

    def _is_idle(self) -> None:
        idle = self.policy.limits.idle
        self.complain(
            RequestError(
                ErrorCode.IDLE_TIMEOUT, f"No message either way for {idle:g} s (limits.idle)", limit="idle"
            )
        )
        self._ending = Ending(GOING_AWAY, ErrorCode.IDLE_TIMEOUT)

    def _too_big(self) -> None:
        """From the socket, before it closes: the client is told which limit it has passed."""
        most = self.policy.bounds.message_bytes
        self.complain(
            RequestError(
                ErrorCode.INVALID_MESSAGE,
                f"A message is at most {most} bytes (limits.message_bytes)",
                limit="message_bytes",
            )
        )
        self._stream.push(self.outbox.collect())

    def _joined_newcomer(self, joined: Joined, terms: Terms) -> None:
        self._dialogue.joined_newcomer(joined, terms)

    def _slow(self, reason: str) -> None:
        """From the flusher: this client cannot be served any longer. It is told where it can resume."""
        self.expel(RequestError(ErrorCode.SLOW_CLIENT, reason))


def _who(principal: Principal) -> tuple[str, str]:
    return principal.kind, principal.name


def _turned_away(error: RequestError) -> Ending:
    if error.retry_after is None:
        return Ending(POLICY_VIOLATION, error.code)
    return Ending(TRY_LATER, error.code, error.retry_after)
