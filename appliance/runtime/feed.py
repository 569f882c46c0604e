"""A producer's handle for publishing: checks what it is given and passes it to the hub."""

from __future__ import annotations

import math
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec
import trio

from appliance.api import Event
from appliance.core.beat import Beat
from appliance.core.buckets import Bucket
from appliance.core.errors import PublishError
from appliance.core.fitting import misfits
from appliance.core.topics import check, join
from appliance.runtime.turns import SLICE, turn_over
from appliance.runtime.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from appliance.api import Channel, Mode, Row
    from appliance.runtime.hub import Hub, Prepared
    from appliance.runtime.journal import Journal
    from appliance.runtime.status import Health

T = TypeVar("T")

_MOST_TOLD = 5
"""Rows of one call that are told of one by one when they are refused."""


class _Beats:
    """Counts 0, 1, 2… on a steady beat; `woken` is called at each.

    Not a generator: a producer that fails inside its loop would leave one behind, half run, for the collector.
    """

    def __init__(self, seconds: float, woken: Callable[[], None]) -> None:
        self._beat = Beat(seconds)
        self._woken = woken

    def __aiter__(self) -> _Beats:
        return self

    async def __anext__(self) -> int:
        count, due = self._beat.next(trio.current_time())
        await trio.sleep_until(due)
        self._woken()
        return count


@attrs.frozen(kw_only=True)
class Workshop:
    """What all feeds share."""

    hub: Hub
    journal: Journal
    threads: trio.CapacityLimiter
    most_watched: int
    transform: Callable[[Event], Event | None]
    """Gives what becomes of an event; None when it is to reach nobody."""
    most_events: Callable[[], float]
    """Events a second that a producer may publish; past it, it is made to wait."""
    settled: Callable[[], Awaitable[None]]
    """Waits until clients have taken all that was published."""


class HubFeed:
    """Made for one run of one producer, and closed with it."""

    def __init__(
        self,
        channel: Channel,
        workshop: Workshop,
        health: Health,
        log: Any,  # noqa: ANN401 - any structlog logger
        floods: Callable[[float], None],
    ) -> None:
        """`floods` is told when the producer is over what it may publish, for as long as it is about once a second."""
        self._channel = channel
        self._workshop = workshop
        self._hub = workshop.hub
        self._health = health
        self._turn = 0.0
        self._watches: list[Watch] = []
        self._floods = floods
        self._told_flood = -math.inf
        self._budget: Bucket | None = None
        self._published = 0
        self._closed = False
        self.log = log

    def close(self) -> None:
        """Watch nothing and take nothing any more."""
        self._closed = True
        for watch in self._watches:
            self._hub.overlook(watch)
        self._watches.clear()

    @property
    def channel(self) -> str:
        return self._channel.name

    @property
    def mode(self) -> Mode:
        return self._channel.mode

    @property
    def state(self) -> Mapping[str, Any]:
        return self._workshop.journal.state(self.channel)

    def declare(self, *keys: str) -> None:
        self._hub.declare(self._channel.name, keys)

    def ready(self) -> None:
        self._health.failing = False
        self._health.able = True

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        now = time.time()
        self._check_open()
        journal = self._workshop.journal
        event = self._workshop.transform(Event(self._channel.name, key, data, now if at is None else at))
        if event is not None:
            self._check(event)
            if journal.keeps(event.channel):
                await journal.publish([self._hub.prepare(event)])
            else:
                self._hub.publish(event, now)
            self._health.updated(now, event.at)
        self._published += 1
        # Events published in a row are written together: a turn for others comes once a slice, not at each of them.
        if perf_counter() - self._turn > SLICE:
            await self._pause()
            self._wake()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        now = time.time()
        self._check_open()
        _check_note(self.channel, note)
        events: list[Prepared] = []
        refused: list[tuple[Row, Exception]] = []
        for row in rows:
            try:
                event = self._prepare(row, now)
            except Exception as error:  # noqa: BLE001 - what a plugin's route or schema raises is this row's trouble alone
                refused.append((row, error))
            else:
                events += [] if event is None else [event]
            self._published += 1
            self._turn = await turn_over(self._turn)
        self._refuse(refused)
        await self._workshop.journal.publish(events, channel=self.channel, note=note or {})
        for event in events:
            self._health.updated(now, event.at)
        # Who catches up with much is made to wait, too, but floods nobody: its rows were there before.
        await trio.sleep(self._excess())
        self._wake()

    def _prepare(self, row: Row, now: float) -> Prepared | None:
        """Make the event of a row, if the channel can take it and it is to reach anybody."""
        event = Event(self.channel, row.key, row.data, now if row.at is None else row.at)
        changed = self._workshop.transform(event)
        if changed is None:
            return None
        self._check(changed)
        return self._hub.prepare(changed)

    def _refuse(self, refused: list[tuple[Row, Exception]]) -> None:
        """Tell of rows that reach nobody."""
        self._health.refused += len(refused)
        for row, error in refused[:_MOST_TOLD]:
            problem = str(error) if isinstance(error, PublishError) else repr(error)
            self.log.error(
                "row refused",
                topic=join(self.channel, row.key),
                error=problem,
                remedy="correct the row, or what its channel takes",
            )
        if len(refused) > _MOST_TOLD:
            self.log.error("more rows refused", rows=len(refused) - _MOST_TOLD)

    def _check_open(self) -> None:
        if self._closed:
            raise PublishError(f"{self.channel}: this producer has ended, another may have taken its place")

    def every(self, seconds: float) -> AsyncIterator[int]:
        return _Beats(seconds, self._wake)

    async def settled(self) -> None:
        await self._workshop.settled()
        self._wake()

    def watch(self, *patterns: str, exact: bool = False) -> AsyncIterator[Event]:
        for pattern in patterns:
            check(pattern)
        watch = Watch(self.channel, patterns, most=self._workshop.most_watched, exact=exact)
        self._watches.append(watch)
        self._hub.observe(watch)
        self._health.able = True  # whether it has something to say is up to other channels
        return watch

    async def blocking(self, work: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the work takes
        return await trio.to_thread.run_sync(
            work, *arguments, limiter=self._workshop.threads, abandon_on_cancel=True
        )

    async def _pause(self) -> None:
        """Give others a turn; a long one, when this producer has published more than its share."""
        wait, now = self._excess(), trio.current_time()
        if wait and now - self._told_flood >= 1:
            self._told_flood = now
            self._floods(self._workshop.most_events())
        await trio.sleep(wait)

    def _excess(self) -> float:
        """Give the seconds by which this producer is ahead of its share."""
        now, most = trio.current_time(), self._workshop.most_events()
        if self._budget is None or self._budget.rate != most:
            self._budget = Bucket(rate=most, size=most, updated=now)
        wait = self._budget.take_all(self._published, now)
        self._published = 0
        return wait

    def _wake(self) -> None:
        self._turn = perf_counter()

    def _check(self, event: Event) -> None:
        schema = self._channel.schema
        if schema is None:
            return
        if wrong := misfits(event.data, schema):
            problems = "; ".join(map(str, wrong))
            raise PublishError(
                f"{self._channel.name}: the event of {event.key!r} does not fit its schema: {problems}"
            )


def _check_note(channel: str, note: Mapping[str, Any] | None) -> None:
    """Find what the store could not keep before it is among what others want to be kept."""
    try:
        msgspec.json.encode(note)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise PublishError(f"{channel}: a note is JSON: {error}") from error
