"""`GET /sse?channels=…`: the messages of the own protocol as server-sent events, each with a place to come back to."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import attrs
import trio
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.core.instants import timestamp
from appliance.core.places import Place
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check, is_pattern
from appliance.dialects import cryptointel, eventstream
from appliance.dialects.complaint import Complaint
from appliance.edge.http import denial
from appliance.edge.http.pipe import Pipe
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from appliance.access.principals import Principal
    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Topic
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Notice, Surroundings

_FORM = cryptointel.Form.DOCUMENT
_KIND = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_SHOWN = ("last_event_id", "lastEventId")
"""Parameters for who cannot set `Last-Event-ID`. A header is newer: browsers that come back add it to the same URL."""


@attrs.frozen
class _Events:
    """The document's form as events. The id of each is the place of who has read so far: the same for all readers."""

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        text, epoch = cryptointel.update(_FORM, topic, label), topic.epoch

        def render(entry: Entry) -> bytes:
            return eventstream.event(text(entry), places.write(Place(epoch, entry.serial)))

        return render

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        """Without an id: what stands behind the gap is not sent yet."""
        text = cryptointel.gap(_FORM, topic, label)

        def render(first: int, last: int) -> bytes:
            return eventstream.event(text(first, last))

        return render


_EVENTS = _Events()


class _Opening:
    """A topic as one reader is told of it until it is up to date.

    Its snapshot is older than the place where its stream begins: who has got only a part of it comes back for the rest,
    and not for what else was there before.
    """

    def __init__(self, topic: Topic, label: str, *, behind: int) -> None:
        self.topic = topic
        self.gap = _EVENTS.gap(topic, label)
        self._update = _EVENTS.update(topic, label)
        self._behind = behind

    def frame(self, entry: Entry) -> bytes:
        event = self._update(entry)
        if entry.serial > self._behind:
            return event
        place = Place(self.topic.epoch, self._behind, seen=entry.serial)
        return eventstream.placed(event, places.write(place))


class EventStream:
    """One client. It counts as a session, and ends as one."""

    dialect: Final = "cryptointel"
    details: Final[Mapping[str, Any]] = MappingProxyType({"channel": "sse"})
    received: Final = 0

    def __init__(self, around: Surroundings, policy: Policy, principal: Principal) -> None:
        self._around = around
        self._policy = policy
        self._pipe = Pipe()
        self._scope = trio.CancelScope()
        self._ended = False
        # In the order of serials: an id stands for all that is older.
        self._outbox = around.flusher.outbox(self._pipe, self._slow, burst=policy.limits.burst, ordered=True)
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

    def notice(self, notice: Notice) -> None:
        since = timestamp(notice.since)
        for reading in self._subscriber.readings(notice.channel):
            text = cryptointel.notice(_FORM, reading.label, stale=notice.stale, since=since)
            self._outbox.put(eventstream.event(text))

    def end(self, ending: Ending) -> None:
        self._pipe.push(eventstream.retry(self._retry if ending.retry_after is None else ending.retry_after))
        self._finish()

    def subscribe(self, written: Sequence[str], shown: places.Shown | None) -> None:
        """Read what the request names, from the place that it shows; `RequestError` when that cannot be."""
        # Those that a pattern covers too go by their own name, from the start.
        canonical = {self._around.aliases.canonical(check(name)): name for name in written}
        names = sorted(canonical, key=is_pattern)
        self._check(names, shown)
        found: dict[Topic, Joined] = {}
        for name in names:
            terms = Terms(_EVENTS, None if is_pattern(name) else canonical[name])
            for reading in self._subscriber.subscribe(name, terms, partial(self._resume, shown)):
                found.setdefault(reading.topic, reading)
        joined = [*found.values()]
        place = self._place(joined, shown)
        if self._is_in_snapshot(place):
            for reading in joined:
                self._outbox.follow(_Opening(reading.topic, reading.label, behind=place.serial))
        patterns = [name for name in names if is_pattern(name)]
        text = cryptointel.subscribed(_FORM, None, joined, patterns)
        self._outbox.put(eventstream.retry(self._retry))
        self._outbox.put(eventstream.event(text, places.write(place)))
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
            with trio.move_on_after(self._around.settings().sse.keep_alive):
                data = await self._pipe.fetch()
            yield data

    @property
    def _retry(self) -> float:
        return self._around.settings().sse.retry

    def _check(self, names: Sequence[str], shown: places.Shown | None) -> None:
        most = self._policy.bounds.subscriptions
        if len(names) > most:
            raise RequestError(
                ErrorCode.RATE_LIMITED, f"At most {most} channels for one connection (limits.subscriptions)"
            )
        if isinstance(shown, Position) and (len(names) > 1 or is_pattern(names[0])):
            raise RequestError(
                ErrorCode.INVALID_MESSAGE,
                f"{places.write(shown)!r} is a position in one topic: show the id of an event, or name one channel",
            )

    def _resume(self, shown: places.Shown | None, topic: Topic) -> Resumption | None:
        return None if shown is None else places.resume(shown, topic, newest=self._around.hub.serial)

    def _place(self, joined: Sequence[Joined], shown: places.Shown | None) -> places.Shown:
        """Give the place of a client that has got nothing yet; one that comes back there misses and repeats nothing."""
        hub = self._around.hub
        if all(reading.after == reading.topic.last for reading in joined):
            return Place(hub.epoch, hub.serial)
        return Place(hub.epoch, hub.serial, seen=0) if shown is None else shown

    def _is_in_snapshot(self, place: places.Shown) -> TypeGuard[Place]:
        hub = self._around.hub
        return isinstance(place, Place) and place.seen is not None and place.exists(hub.epoch, hub.serial)

    def _finish(self) -> None:
        self._ended = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._policy.limits.goodbye)

    def _slow(self, reason: str) -> None:
        complaint = Complaint(timestamp=timestamp(time.time()), resume=self._outbox.positions())
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


def answer(around: Surroundings, policy: Policy, principal: Principal, request: Request) -> Response:
    """Open a stream of what the request names, or raise the HTTP error that says why not."""
    traffic, admission = around.traffic, around.admission
    with denial.telling(traffic):
        names = [name for name in request.query_params.get("channels", "").split(",") if name]
        if not names:
            raise RequestError(
                ErrorCode.INVALID_MESSAGE, "name channels, as in /sse?channels=price:BTC,signals:high"
            )
        shown = _shown(request)
    if request.method == "HEAD":
        return Response(media_type=_KIND, headers=_HEADERS)  # an answer without a body would never end
    denial.check(traffic, admission.greet(policy, denial.address(request), trio.current_time()))
    denial.check(traffic, admission.open(policy))
    stream = EventStream(around, policy, principal)
    try:
        with denial.telling(traffic):
            stream.subscribe(names, shown)
    except HTTPException:
        admission.close(policy)
        stream.leave()
        raise
    return _EventResponse(stream)


def _shown(request: Request) -> places.Shown | None:
    """Give the place that a client shows which comes back."""
    header = request.headers.get("last-event-id", "")
    text = header or next(filter(None, map(request.query_params.get, _SHOWN)), "")
    return places.read(text) if text else None
