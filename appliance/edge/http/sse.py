"""`GET /sse?channels=…`: the messages of the own protocol as server-sent events."""

from __future__ import annotations

import contextlib
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check, is_pattern
from appliance.dialects import cryptointel, eventstream
from appliance.edge.http.pipe import Pipe
from appliance.edge.words import Wording
from appliance.runtime.report import timestamp
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Surroundings

_FORM = cryptointel.Form.DOCUMENT
_WORDING = Wording(_FORM, eventstream.event)
_KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent."""
_RETRY = 2.0
"""Seconds that a client waits before it comes back, unless it is told otherwise."""
_GOODBYE = 5.0
"""Seconds that a client has to take the last words."""
_KIND = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream:
    """One client. It counts as a session, and ends as one."""

    received = 0

    def __init__(self, around: Surroundings, policy: Policy, principal: Principal) -> None:
        self._around = around
        self._policy = policy
        self._pipe = Pipe()
        self._scope = trio.CancelScope()
        self._ended = False
        self._outbox = around.flusher.outbox(self._pipe, self._slow, burst=policy.limits.burst)
        self._subscriber = Subscriber(
            around.hub,
            self._outbox,
            clock=trio.current_time,
            call_at=around.timers.call_at,
            newcomer=self._joined_newcomer,
            may_read=principal.may_read,
        )

    @property
    def sent(self) -> int:
        return self._pipe.sent

    def end(self, ending: Ending) -> None:
        self._pipe.push(eventstream.retry(_RETRY if ending.retry_after is None else ending.retry_after))
        self._finish()

    def subscribe(self, names: list[str]) -> None:
        """Read what the request names; `RequestError` for the first that cannot be."""
        most = self._policy.bounds.subscriptions
        if len(names) > most:
            raise RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} channels for one connection (limits.subscriptions)"
            )
        joined: list[Joined] = []
        for written in dict.fromkeys(names):
            name = self._around.aliases.canonical(check(written))
            label = None if is_pattern(name) else written
            joined += self._subscriber.subscribe(name, Terms(_WORDING, label), {})
        self._outbox.put(eventstream.retry(_RETRY))
        patterns = [name for name in names if is_pattern(name)]
        self._outbox.put(eventstream.event(cryptointel.subscribed(_FORM, None, joined, patterns)))
        self._subscriber.catch_up()

    def leave(self) -> None:
        """Stop reading."""
        self._subscriber.leave()

    @contextlib.contextmanager
    def ongoing(self) -> Iterator[None]:
        """Be a session while this lasts; the admission counted it in."""
        around = self._around
        around.sessions.add(self)
        around.traffic.opened += 1
        try:
            with self._scope:
                yield
        finally:
            around.sessions.discard(self)
            around.traffic.closed += 1
            around.traffic.sent_bytes += self._pipe.sent
            around.admission.close(self._policy)
            self.leave()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give the answer, piece by piece, to the last words."""
        while not self._ended or self._pipe.waiting:
            data = eventstream.KEEP_ALIVE
            with trio.move_on_after(_KEEP_ALIVE):
                data = await self._pipe.fetch()
            yield data

    def _finish(self) -> None:
        self._ended = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + _GOODBYE)

    def _slow(self, reason: str) -> None:
        complaint = cryptointel.Complaint(timestamp=timestamp(time.time()), resume=self._outbox.positions())
        self.leave()
        self._around.traffic.errors[ErrorCode.SLOW_CLIENT] += 1
        self._pipe.push(eventstream.event(cryptointel.error(_FORM, ErrorCode.SLOW_CLIENT, reason, complaint)))
        self._finish()

    def _joined_newcomer(self, joined: Joined, _terms: Terms) -> None:
        self._outbox.put(eventstream.event(cryptointel.subscribed(_FORM, None, [joined], [])))


class _EventResponse(StreamingResponse):
    """The session ends with its answer, in whatever way that ends."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._pieces = stream.pieces()
        super().__init__(self._pieces, media_type=_KIND, headers=_HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream.ongoing():
            async with contextlib.aclosing(self._pieces):
                await super().__call__(scope, receive, send)


_STATUS = {
    ErrorCode.INVALID_CHANNEL: HTTPStatus.NOT_FOUND,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.CONNECTION_FULL: HTTPStatus.SERVICE_UNAVAILABLE,
}


def answer(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Open a stream of what the request names, or raise the HTTP error that says why not."""
    names = [name for name in request.query_params.get("channels", "").split(",") if name]
    if not names:
        raise HTTPException(
            HTTPStatus.BAD_REQUEST, "name channels, as in /sse?channels=price:BTC,signals:high"
        )
    if request.method == "HEAD":
        return Response(media_type=_KIND, headers=_HEADERS)  # an answer without a body would never end
    address = request.client.host if request.client is not None else "unix"
    refusal = around.admission.greet(policy, address, trio.current_time()) or around.admission.open(policy)
    if refusal is not None:
        around.traffic.errors[refusal.code] += 1
        retry = {"retry-after": f"{refusal.retry_after:.0f}"}
        raise HTTPException(_STATUS[refusal.code], refusal.message, retry)
    stream = EventStream(around, policy, principal)
    try:
        stream.subscribe(names)
    except RequestError as error:
        around.admission.close(policy)
        stream.leave()
        around.traffic.errors[error.code] += 1
        raise HTTPException(_STATUS.get(error.code, HTTPStatus.BAD_REQUEST), error.message) from None
    return _EventResponse(stream)
