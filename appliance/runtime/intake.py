"""The way in for events from outside: all of a submission are checked before the first is given to the hub.

Must not know how a submission travelled here, nor in which words its receipt is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import structlog
import trio

from appliance.core.errors import PublishError
from appliance.core.idempotency import Answers, Bounds
from appliance.runtime.feed import SLICE
from appliance.runtime.submission import MOST_FLAWS, Flaw, Reading, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from appliance.api import Event
    from appliance.core.history import Topic
    from appliance.core.topics import Aliases
    from appliance.loading.configured import Configured
    from appliance.runtime.hub import Hub
    from appliance.runtime.status import Health
    from appliance.runtime.submission import Publisher, Submission
    from appliance.settings.tree import PublishSettings

_log = structlog.get_logger()

MOST_PLACES = 200_000
"""Places that all remembered receipts together may name, which bounds their memory."""
_encode = msgspec.json.Encoder(order="sorted").encode


@attrs.frozen
class Place:
    """What an event became: an entry of a topic."""

    topic: str
    epoch: str
    offset: int


@attrs.frozen
class Receipt:
    """The places of each event. A duplicate is the receipt of the same submission, which came before."""

    events: tuple[tuple[Place, ...], ...]
    duplicate: bool = False

    def content(self) -> dict[str, Any]:
        return {
            "published": len(self.events),
            "duplicate": self.duplicate,
            "events": [{"topics": [attrs.asdict(place) for place in places]} for places in self.events],
        }


class Intake:
    """`channels` are those that there are, `health` that of each one's producer; both change. `settings` gives those
    of the moment.
    """

    def __init__(
        self,
        channels: Mapping[str, Configured],
        *,
        hub: Hub,
        health: Mapping[str, Health],
        aliases: Aliases,
        transform: Callable[[Event], Event | None],
        settings: Callable[[], PublishSettings],
    ) -> None:
        self._channels = channels
        self._hub = hub
        self._health = health
        self._aliases = aliases
        self._transform = transform
        self._settings = settings
        self._answers: Answers[Receipt] = Answers(self._bounds)
        self._under_way: dict[tuple[str, str], trio.Event] = {}

    async def take(self, submission: Submission, publisher: Publisher) -> Receipt:
        """Publish all events of a submission, or none: RefusedError says why, KeyReusedError that its key is taken.

        Other tasks run in between. Once the first event is published, cancellation waits for the last.
        """
        await trio.lowlevel.checkpoint()
        if submission.key is None:
            return await self._take(submission, publisher)
        owner, key, digest = publisher.name, submission.key, _digest(submission.events)
        async with self._alone(owner, key):
            known = self._answers.recall(owner, key, digest, time.time())
            if known is not None:
                return attrs.evolve(known, duplicate=True)
            receipt = await self._take(submission, publisher)
            weight = sum(map(len, receipt.events))
            self._answers.remember(owner, key, digest, receipt, now=time.time(), weight=weight)
            return receipt

    def _bounds(self) -> Bounds:
        settings = self._settings()
        return Bounds(settings.keys, settings.keys_age, MOST_PLACES)

    @contextlib.asynccontextmanager
    async def _alone(self, owner: str, key: str) -> AsyncIterator[None]:
        """Let who comes with the same key meanwhile wait for the first answer."""
        while (other := self._under_way.get((owner, key))) is not None:
            await other.wait()
        done = self._under_way[owner, key] = trio.Event()
        try:
            yield
        finally:
            del self._under_way[owner, key]
            done.set()

    async def _take(self, submission: Submission, publisher: Publisher) -> Receipt:
        events = [self._transform(event) for event in await self._read(submission, publisher)]
        # Nobody else's turn comes between these two, so that what was found to be possible still is.
        self._reserve(submission, events)
        return await self._publish(events)

    async def _read(self, submission: Submission, publisher: Publisher) -> list[Event]:
        count, most = len(submission.events), self._settings().events
        if not 0 < count <= most:
            problem = f"{count} events, but a request has 1 to {most} (publish.events)"
            raise RefusedError([Flaw(submission.within or "", problem)])
        reading = Reading(self._channels, publisher, self._aliases, time.time())
        events: list[Event] = []
        turn = perf_counter()
        for place, raw in enumerate(submission.events):
            event = reading.event(raw, lambda *steps, place=place: submission.path(place, *steps))
            if event is not None:
                events.append(event)
            if len(reading.flaws) >= MOST_FLAWS:
                break
            turn = await _slice(turn)
        if reading.flaws:
            raise RefusedError(reading.flaws[:MOST_FLAWS])
        return events

    def _reserve(self, submission: Submission, events: list[Event | None]) -> None:
        """See that the hub can take all events, and make the topics that they need."""
        reserved: dict[Topic, None] = {}
        flaws: list[Flaw] = []
        for place, event in enumerate(events):
            if event is None:
                continue
            try:
                reserved.update(dict.fromkeys(self._hub.check(event)))
            except PublishError as error:
                flaws.append(Flaw(submission.path(place, "data"), str(error)))
            except Exception as error:  # noqa: BLE001 - the route is a plugin's and may raise anything
                _log.warning(
                    "a route broke on an event from outside", channel=event.channel, error=repr(error)
                )
                problem = f"the route of {event.channel} cannot take it: {error!r}"
                flaws.append(Flaw(submission.path(place, "data"), problem))
            if len(flaws) == MOST_FLAWS:
                break
        if flaws:
            for topic in reserved:
                self._hub.release(topic)
            raise RefusedError(flaws)

    async def _publish(self, events: list[Event | None]) -> Receipt:
        """Publish what is left of the events; one that a plugin has dropped has no places."""
        places: list[tuple[Place, ...]] = []
        turn = perf_counter()
        with trio.CancelScope(shield=True):
            for event in events:
                now = time.time()
                entered = [] if event is None else self._hub.publish(event, now)
                places.append(tuple(Place(topic.name, topic.epoch, topic.last) for topic in entered))
                if event is not None and event.channel in self._health:  # which may have gone meanwhile
                    self._health[event.channel].updated(now, event.at)
                turn = await _slice(turn)
        return Receipt(tuple(places))


async def _slice(turn: float) -> float:
    """Let others run when the turn has taken its slice; give the beginning of the turn that goes on."""
    if perf_counter() - turn <= SLICE:
        return turn
    await trio.lowlevel.checkpoint()
    return perf_counter()


def _digest(events: Sequence[object]) -> bytes:
    """Make a digest of what is to be published, in whatever order its fields were written."""
    try:
        return hashlib.sha256(_encode(events)).digest()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""  # no JSON: it is refused when it is read
