"""The way in for events from outside: all of a submission are checked before the first is given to the hub.

Must not know how a submission travelled here, nor in which words its receipt is sent.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import time
from collections import Counter
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import msgspec
import structlog
import trio

from appliance.core.errors import ApplianceError, PublishError
from appliance.core.idempotency import Answers, Bounds
from appliance.runtime.journal import Place
from appliance.runtime.submission import MOST_FLAWS, Flaw, Reading, RefusedError
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from appliance.api import Event
    from appliance.core.topics import Aliases
    from appliance.loading.configured import Configured
    from appliance.runtime.hub import Hub, Prepared
    from appliance.runtime.journal import Journal, Places
    from appliance.runtime.status import Health
    from appliance.runtime.submission import Publisher, Submission
    from appliance.settings.tree import PublishSettings

    Noting: TypeAlias = Callable[[Places], Mapping[str, Any]]

_log = structlog.get_logger()

MOST_PLACES = 200_000
"""Places that all remembered receipts together may name, which bounds their memory."""
_ANSWERS = ":answers"
"""Whose notes they are: no channel has such a name."""
_encode = msgspec.json.Encoder(order="sorted").encode


@attrs.frozen
class Receipt:
    """The places of each event. A duplicate is the receipt of the same submission, which came before."""

    events: Places
    duplicate: bool = False

    def content(self, counts: Callable[[str], bool] = lambda _topic: True) -> dict[str, Any]:
        """Tell the places in topics whose events somebody may count."""
        return {
            "published": len(self.events),
            "duplicate": self.duplicate,
            "events": [
                {"topics": [attrs.asdict(place) for place in places if counts(place.topic)]}
                for places in self.events
            ],
        }


class Outcome(enum.StrEnum):
    """What became of a submission."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """It was accepted before."""
    REFUSED = "refused"


class Intake:
    """`channels` are those that there are, `health` that of each one's producer; both change. `settings` gives those
    of the moment.
    """

    def __init__(
        self,
        channels: Mapping[str, Configured],
        *,
        hub: Hub,
        journal: Journal,
        health: Mapping[str, Health],
        aliases: Aliases,
        transform: Callable[[Event], Event | None],
        settings: Callable[[], PublishSettings],
    ) -> None:
        self._channels = channels
        self._hub = hub
        self._journal = journal
        self._health = health
        self._aliases = aliases
        self._transform = transform
        self._settings = settings
        self._answers: Answers[Receipt] = Answers(self._bounds)
        self._forgotten: set[str] = set()
        self._under_way: dict[tuple[str, str], trio.Event] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self.events = 0
        """Those of the submissions that were accepted."""

    async def take_up(self) -> None:
        """Remember what was answered before a restart."""
        kept = await self._journal.adopt_state(_ANSWERS)
        for owner, key, given in sorted(
            ((*name.split("\0", 1), given) for name, given in kept.items()), key=lambda each: each[2]["at"]
        ):
            places = tuple(tuple(Place(*place) for place in event) for event in given["places"])
            digest, weight = bytes.fromhex(given["digest"]), sum(map(len, places))
            self._answers.remember(owner, key, digest, Receipt(places), now=given["at"], weight=weight)

    async def take(self, submission: Submission, publisher: Publisher) -> Receipt:
        """Publish all events of a submission, or none: RefusedError says why, KeyReusedError that its key is taken.

        Other tasks run in between. Once the first event is published, cancellation waits for the last.
        """
        try:
            receipt = await self._answer(submission, publisher)
        except ApplianceError:
            self.outcomes[Outcome.REFUSED] += 1
            raise
        self.outcomes[Outcome.REPEATED if receipt.duplicate else Outcome.ACCEPTED] += 1
        self.events += 0 if receipt.duplicate else len(receipt.events)
        return receipt

    async def _answer(self, submission: Submission, publisher: Publisher) -> Receipt:
        await trio.lowlevel.checkpoint()
        if submission.key is None:
            return await self._take(submission, publisher)
        owner, key, digest = publisher.name, submission.key, _digest(submission.events)
        async with self._alone(owner, key):
            known = self._answers.recall(owner, key, digest, time.time())
            if known is not None:
                return attrs.evolve(known, duplicate=True)
            noting = partial(self._noting, owner, key, digest)
            receipt = await self._take(submission, publisher, noting)
            weight = sum(map(len, receipt.events))
            self._answers.remember(owner, key, digest, receipt, now=time.time(), weight=weight)
            kept = self._journal.state(_ANSWERS)
            gone = {_name(*each) for each in self._answers.forgotten()} | self._forgotten
            self._forgotten = {name for name in gone if name in kept}
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

    def _noting(self, owner: str, key: str, digest: bytes, places: Places) -> Mapping[str, Any]:
        """What is noted with events that are kept: the answer under their key, and that others are forgotten.

        An event whose channel is not durable is gone after a restart, and has no place then.
        """
        if not any(places):
            return {}
        told = [[attrs.astuple(place) for place in event] for event in places]
        answer = {"digest": digest.hex(), "places": told, "at": time.time()}
        return {**dict.fromkeys(self._forgotten), _name(owner, key): answer}

    async def _take(
        self, submission: Submission, publisher: Publisher, noting: Noting | None = None
    ) -> Receipt:
        events = [self._transform(event) for event in await self._read(submission, publisher)]
        # Prepared at once, so that nobody else's turn comes between: all are possible, or none is published.
        return await self._publish(self._prepare(submission, events), noting)

    async def _read(self, submission: Submission, publisher: Publisher) -> list[Event]:
        count, most = len(submission.events), self._settings().events
        if not 0 < count <= most:
            problem = f"{count} events, but a request has 1 to {most} (publish.events)"
            raise RefusedError(
                [Flaw(submission.within or "", problem, limit="publish.events" if count else None)]
            )
        reading = Reading(self._channels, publisher, self._aliases, time.time())
        events: list[Event] = []
        turn = perf_counter()
        for place, raw in enumerate(submission.events):
            event = reading.event(raw, lambda *steps, place=place: submission.path(place, *steps))
            if event is not None:
                events.append(event)
            if len(reading.flaws) >= MOST_FLAWS:
                break
            turn = await turn_over(turn)
        if reading.flaws:
            raise RefusedError(reading.flaws[:MOST_FLAWS])
        return events

    def _prepare(self, submission: Submission, events: list[Event | None]) -> list[Prepared | None]:
        """See that the hub can take all events, and make the topics that they need."""
        prepared: list[Prepared | None] = []
        flaws: list[Flaw] = []
        for place, event in enumerate(events):
            try:
                prepared.append(None if event is None else self._hub.prepare(event))
            except PublishError as error:
                flaws.append(Flaw(submission.path(place, "data"), str(error), limit=error.limit))
            except Exception as error:  # noqa: BLE001 - the route is a plugin's and may raise anything
                channel = "" if event is None else event.channel
                _log.warning("a route broke on an event from outside", channel=channel, error=repr(error))
                problem = f"the route of {channel} cannot take it: {error!r}"
                flaws.append(Flaw(submission.path(place, "data"), problem))
            if len(flaws) == MOST_FLAWS:
                break
        if flaws:
            for topic in {topic for event in prepared if event is not None for topic in event.topics}:
                self._hub.release(topic)
            raise RefusedError(flaws)
        return prepared

    async def _publish(self, events: list[Prepared | None], noting: Noting | None) -> Receipt:
        """Publish what is left of the events; one that a plugin has dropped has no places."""
        places = await self._journal.publish_kept(events, channel=_ANSWERS, noting=noting)
        now = time.time()
        for event in events:
            if event is not None and event.channel in self._health:  # which may have gone meanwhile
                self._health[event.channel].updated(now, event.at)
        return Receipt(places)


def _name(owner: str, key: str) -> str:
    """Name the note of an answer; neither an owner nor a key has such a character."""
    return f"{owner}\0{key}"


def _digest(events: Sequence[object]) -> bytes:
    """Make a digest of what is to be published, in whatever order its fields were written."""
    try:
        return hashlib.sha256(_encode(events)).digest()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return b""  # no JSON: it is refused when it is read
