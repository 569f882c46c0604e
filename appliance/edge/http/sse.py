"""`GET /sse?channels=…`: the messages of the own protocol as server-sent events, each with a place to come back to."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import attrs
import structlog
import trio
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from appliance.access import credentials
from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.core.instants import timestamp
from appliance.core.places import Place
from appliance.core.subscriptions import Joined, Terms
from appliance.core.topics import check, is_pattern
from appliance.dialects import cryptointel, eventstream, pages
from appliance.dialects.complaint import Complaint
from appliance.edge.description import operation
from appliance.edge.description.operation import Audience, Given, Operation
from appliance.edge.http import denial
from appliance.edge.http.pipe import Pipe
from appliance.edge.http.placing import FORM as _FORM
from appliance.edge.http.placing import Events, Opening
from appliance.runtime.status import NOTHING
from appliance.runtime.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from appliance.access.gate import Peer
    from appliance.access.principals import Principal
    from appliance.access.seals import Seal
    from appliance.core.history import Resumption, Topic
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Ending, Notice, Surroundings

_log = structlog.get_logger("audit")

PATH: Final = "/sse"
_KIND = "text/event-stream"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_SHOWN = ("last_event_id", "lastEventId")
"""Parameters for who cannot set `Last-Event-ID`. A header is newer: browsers that come back add it to the same URL."""


_CHANNELS = "channels"


def describe(audience: Audience) -> Operation:
    place = "The `id` of the last event that was read: each topic goes on behind it"
    return Operation(
        name="streamEvents",
        summary="Stream topics as server-sent events",
        about="Each event has a line of `data`, a message of the protocol's document form (see the AsyncAPI document,"
        " channel `cryptointel`), and mostly an `id` to come back with.",
        tag="streams",
        given=(
            Given(
                name=_CHANNELS,
                where="query",
                about="Names of topics and patterns, with commas between",
                required=True,
                examples=audience.topics,
            ),
            *operation.asked((pages.TIMES,)),
            Given(name="Last-Event-ID", where="header", about=place),
            *(Given(name=name, where="query", about=place) for name in _SHOWN),
        ),
        answers=operation.answered("The events, without end", {"type": "string"}, _KIND),
        refusals={
            HTTPStatus.BAD_REQUEST: "no `channels`, or a parameter is not right",
            HTTPStatus.NOT_FOUND: operation.NO_TOPIC,
            HTTPStatus.TOO_MANY_REQUESTS: "too many topics (`limits.subscriptions`), or too many connections"
            " (`limits.connections_per_minute`)",
            HTTPStatus.SERVICE_UNAVAILABLE: operation.FULL,
        },
    )


class EventStream:
    """One client. It counts as a session, and ends as one."""

    dialect: Final = "cryptointel"
    transport: Final = "sse"
    details: Final[Mapping[str, Any]] = MappingProxyType({"channel": "sse"})
    received: Final = 0

    def __init__(
        self,
        around: Surroundings,
        policy: Policy,
        principal: Principal,
        *,
        peer: Peer,
        way: str | None = None,
        times: bool = False,
    ) -> None:
        self.principal = principal
        self.peer = peer
        self._way = way
        self._around = around
        self._policy = policy
        self._events = Events(
            epoch=around.hub.epoch, store=around.hub.store, seal=self._seal(principal), times=times
        )
        self._pipe = Pipe(most=policy.limits.burst)
        self._scope = trio.CancelScope()
        self._ended = False
        self._counted = NOTHING
        # In the order of serials: an id stands for all that is older.
        self.outbox = around.flusher.outbox(self._pipe, self._slow, burst=policy.limits.burst, ordered=True)
        self._subscriber = Subscriber(
            lambda: around.sight(self.principal),
            self.outbox,
            clock=trio.current_time,
            call_at=around.timers.call_at,
            newcomer=self._joined_newcomer,
            resumed=around.traffic.resumed,
            refused=self._refused,
        )

    @property
    def sent(self) -> int:
        return self._pipe.sent

    @property
    def owed_bytes(self) -> int:
        return self._pipe.size + (0 if self.outbox.open else self.outbox.chain.size)

    def cut(self) -> None:
        self._scope.cancel()

    def account(self) -> None:
        counted = 0, self._pipe.sent, self.outbox.conflated, self.outbox.gaps
        self._around.traffic.add(counted, beyond=self._counted)
        self._counted = counted

    def notice(self, notice: Notice) -> None:
        since = timestamp(notice.since)
        for reading in self._subscriber.readings(notice.channel):
            text = cryptointel.notice(_FORM, reading.label, stale=notice.stale, since=since)
            self.outbox.put(eventstream.event(text))

    def end(self, ending: Ending) -> None:
        self._pipe.push(eventstream.retry(self._retry if ending.retry_after is None else ending.retry_after))
        self._finish()

    def expiring(self, at: float) -> None:
        seconds = max(0.0, at - time.time())
        self.outbox.put(eventstream.event(cryptointel.expiring(_FORM, timestamp(at), seconds)))

    def renew(self, principal: Principal) -> None:
        self.principal = principal
        events = attrs.evolve(self._events, seal=self._seal(principal))
        if events != self._events:
            self._events = events
            self._subscriber.reform(events)
        lost = self._subscriber.reconsider()
        if not len(self._subscriber):
            self.expel(
                RequestError(ErrorCode.UNAUTHORIZED, "Nothing of what was asked for may be read any more")
            )
        elif names := [each.terms.label or each.name for each in lost]:
            text = cryptointel.unsubscribed(_FORM, None, names, reason=ErrorCode.UNAUTHORIZED)
            self.outbox.put(eventstream.event(text))

    def expel(self, error: RequestError) -> None:
        if self._ended:
            return
        complaint = Complaint(
            timestamp=timestamp(time.time()),
            retry_after=error.retry_after,
            resume=self.outbox.positions(),
        )
        self.silence()
        self._around.traffic.refused(error.code, error.limit)
        self._pipe.push(self.outbox.collect())
        self._pipe.push(eventstream.event(cryptointel.error(_FORM, error.code, error.message, complaint)))
        self._finish()

    def subscribe(self, written: Sequence[str], shown: places.Shown | None) -> None:
        """Read what the request names, from the place that it shows; `RequestError` when that cannot be."""
        # Those that a pattern covers too go by their own name, from the start.
        canonical = {self._around.aliases.canonical(check(name)): name for name in written}
        names = sorted(canonical, key=is_pattern)
        self._check(names, shown)
        found: dict[Topic, Joined] = {}
        for name in names:
            terms = Terms(self._events, None if is_pattern(name) else canonical[name])
            for reading in self._subscriber.subscribe(name, terms, partial(self._resume, shown)):
                found.setdefault(reading.topic, reading)
        joined = [*found.values()]
        place = self._place(joined, shown)
        if self._is_in_snapshot(place):
            for reading in joined:
                self.outbox.follow(self._opening(reading, place.serial))
        patterns = [name for name in names if is_pattern(name)]
        text = cryptointel.subscribed(_FORM, None, joined, patterns)
        self.outbox.put(eventstream.retry(self._retry))
        self.outbox.put(eventstream.event(text, self._events.write(place)))
        self._subscriber.catch_up()

    def silence(self) -> None:
        self._subscriber.leave()

    @contextlib.contextmanager
    def ongoing(self) -> Iterator[None]:
        """Be a session while this lasts; the admission counted it in."""
        around = self._around
        around.sessions.add(self)
        around.traffic.opened += 1
        log = _log.bind(client=self.peer.address, path=PATH, dialect=self.dialect, **self.details)
        log.info("session opened", way=self._way, **self.principal.told)
        around.tenures.begin(self)
        began = trio.current_time()
        try:
            with self._scope:
                yield
        finally:
            log.info(
                "session closed",
                principal=self.principal.name,
                seconds=round(trio.current_time() - began, 3),
                events=self.outbox.taken,
                conflated=self.outbox.conflated,
                bytes_sent=self._pipe.sent,
            )
            around.tenures.end(self)
            around.sessions.discard(self)
            around.traffic.closed += 1
            self.account()
            around.admission.close(self._policy, self.principal)
            self.silence()

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
        self._policy.check_subscriptions(len(names), self.principal)
        if isinstance(shown, Position) and (len(names) > 1 or is_pattern(names[0])):
            raise RequestError(
                ErrorCode.INVALID_MESSAGE,
                f"{places.write(shown)!r} is a position in one topic: show the id of an event, or name one channel",
            )

    def _resume(self, shown: places.Shown | None, topic: Topic) -> Resumption | None:
        hub = self._around.hub
        return None if shown is None else places.resume(shown, topic, newest=hub.newest)

    def _opening(self, reading: Joined, behind: int) -> Opening:
        return Opening(reading.topic, reading.label, events=self._events, behind=behind)

    def _place(self, joined: Sequence[Joined], shown: places.Shown | None) -> places.Shown:
        """Give the place of a client that has got nothing yet; one that comes back there misses and repeats nothing."""
        hub = self._around.hub
        if all(reading.after == reading.topic.last for reading in joined):
            return hub.newest
        return Place(hub.epoch, hub.serial, seen=0) if shown is None else shown

    def _is_in_snapshot(self, place: places.Shown) -> TypeGuard[Place]:
        hub = self._around.hub
        return isinstance(place, Place) and place.seen is not None and place.exists(hub.newest)

    def _seal(self, principal: Principal) -> Seal | None:
        return None if principal.entitlements.scope.is_everything else self._around.seal

    def _finish(self) -> None:
        self._ended = True
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + self._policy.limits.goodbye)

    def _slow(self, reason: str) -> None:
        self.expel(RequestError(ErrorCode.SLOW_CLIENT, reason))

    def _refused(self, name: str, error: RequestError) -> None:
        """Tell of a topic that came into being, and cannot be read."""
        self._around.traffic.errors[error.code] += 1
        complaint = Complaint(timestamp=timestamp(time.time()), label=name)
        self.outbox.put(eventstream.event(cryptointel.error(_FORM, error.code, error.message, complaint)))

    def _joined_newcomer(self, joined: Joined, _terms: Terms) -> None:
        self.outbox.put(eventstream.event(cryptointel.subscribed(_FORM, None, [joined], [])))


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
        names = [name for name in request.query_params.get(_CHANNELS, "").split(",") if name]
        if not names:
            raise RequestError(
                ErrorCode.INVALID_MESSAGE, "name channels, as in /sse?channels=price:BTC,signals:high"
            )
        shown, times = _shown(around.seal, request), pages.wants_times(request.query_params)
    if request.method == "HEAD":
        return Response(media_type=_KIND, headers=_HEADERS)  # an answer without a body would never end
    denial.check(traffic, admission.greet(policy, denial.address(request), trio.current_time()))
    denial.check(traffic, admission.open(policy, principal))
    way = credentials.way(principal, request.headers.raw, request.scope["query_string"].decode("latin-1"))
    peer = request.scope["state"]["peer"]
    stream = EventStream(around, policy, principal, peer=peer, way=way, times=times)
    try:
        with denial.telling(traffic):
            stream.subscribe(names, shown)
    except HTTPException:
        admission.close(policy, principal)
        stream.silence()
        raise
    return _EventResponse(stream)


def _shown(seal: Seal, request: Request) -> places.Shown | None:
    """Give the place that a client shows which comes back."""
    header = request.headers.get("last-event-id", "")
    text = header or next(filter(None, map(request.query_params.get, _SHOWN)), "")
    return places.read(seal.open(text)) if text else None
