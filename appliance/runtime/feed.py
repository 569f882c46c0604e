"""A producer's handle for publishing: checks what it is given and passes it to the hub."""

from __future__ import annotations

import time
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from appliance.api import Event
from appliance.core.beat import Beat
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
    """What all feeds share: the hub, the threads for blocking code, and how many watched events may wait."""

    hub: Hub
    threads: trio.CapacityLimiter
    most_watched: int


class HubFeed:
    """Made for one run of one producer, and closed with it."""

    def __init__(self, channel: Channel, workshop: Workshop, health: Health, log: Any) -> None:  # noqa: ANN401 - any structlog logger
        self._channel = channel
        self._workshop = workshop
        self._hub = workshop.hub
        self._health = health
        self._turn = 0.0
        self._watches: list[Watch] = []
        self.log = log

    def close(self) -> None:
        """Watch nothing any more."""
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
        self._check(data, key)
        self._hub.publish(Event(self._channel.name, key, data, now if at is None else at), now)
        self._health.updated(now)
        # Events published in a row are written together: a turn for others comes once a slice, not at each of them.
        if perf_counter() - self._turn > SLICE:
            await trio.lowlevel.checkpoint()
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

    def _wake(self) -> None:
        self._turn = perf_counter()

    def _check(self, data: Mapping[str, Any], key: str) -> None:
        schema = self._channel.schema
        if schema is None:
            return
        if wrong := misfits(data, schema):
            problems = "; ".join(map(str, wrong))
            raise PublishError(
                f"{self._channel.name}: the event of {key!r} does not fit its schema: {problems}"
            )
