"""A producer's handle for publishing: checks what it is given and passes it to the hub."""

from __future__ import annotations

import math
import time
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from appliance.api import Event
from appliance.core.beat import Beat
from appliance.core.buckets import Bucket
from appliance.core.errors import PublishError
from appliance.core.fitting import misfits
from appliance.core.topics import check
from appliance.runtime.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from appliance.api import Channel
    from appliance.runtime.hub import Hub
    from appliance.runtime.status import Health

T = TypeVar("T")

SLICE = 0.002
"""Seconds that a producer may publish before others get a turn."""


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
    threads: trio.CapacityLimiter
    most_watched: int
    transform: Callable[[Event], Event | None]
    """Gives what becomes of an event; None when it is to reach nobody."""
    most_events: Callable[[], float]
    """Events a second that a producer may publish; past it, it is made to wait."""


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

    def declare(self, *keys: str) -> None:
        self._hub.declare(self._channel.name, keys)

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        now = time.time()
        if self._closed:
            raise PublishError(f"{self.channel}: this producer has ended, another may have taken its place")
        event = self._workshop.transform(Event(self._channel.name, key, data, now if at is None else at))
        if event is not None:
            self._check(event)
            self._hub.publish(event, now)
            self._health.updated(now, event.at)
        self._published += 1
        # Events published in a row are written together: a turn for others comes once a slice, not at each of them.
        if perf_counter() - self._turn > SLICE:
            await self._pause()
            self._wake()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    def every(self, seconds: float) -> AsyncIterator[int]:
        return _Beats(seconds, self._wake)

    def watch(self, *patterns: str) -> AsyncIterator[Event]:
        for pattern in patterns:
            check(pattern)
        watch = Watch(self.channel, patterns, most=self._workshop.most_watched)
        self._watches.append(watch)
        self._hub.observe(watch)
        return watch

    async def blocking(self, work: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the work takes
        return await trio.to_thread.run_sync(
            work, *arguments, limiter=self._workshop.threads, abandon_on_cancel=True
        )

    async def _pause(self) -> None:
        """Give others a turn; a long one, when this producer has published more than its share."""
        now, most = trio.current_time(), self._workshop.most_events()
        if self._budget is None or self._budget.rate != most:
            self._budget = Bucket(rate=most, size=most, updated=now)
        wait = self._budget.take_all(self._published, now)
        self._published = 0
        if wait and now - self._told_flood >= 1:
            self._told_flood = now
            self._floods(most)
        await trio.sleep(wait)

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
