"""The flusher: one task that writes every outbox with something new, and tends the sockets that are full.

Must not know what the frames say, nor what a socket is: a `Sink` takes bytes.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Literal, Protocol

import attrs
import trio

from appliance.core import chain
from appliance.core.histogram import Histogram
from appliance.core.outbox import Lost, Outbox
from appliance.runtime.turns import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 0.004
"""Seconds of writing before other tasks get a turn, so that 10,000 sockets never stall reads and heartbeats. What those
tasks do in between makes others wait who come later in the batch.
"""

_LOOK = 16
"""Writes between two looks at the clock."""

_LOOK_AGAIN = 0.001
"""Seconds between two looks at whether all is written, while somebody waits for that."""

_BUDGET = 65_536
"""Bytes handed to a socket at a time while its client catches up."""


class Sink(Protocol):
    """Where frames go."""

    def push(self, data: bytes) -> bool:
        """Take all of `data` without waiting; False when the socket is full and some of it still waits."""

    async def drained(self) -> None:
        """Wait until nothing waits any more."""

    @property
    def sent(self) -> int:
        """Bytes that the socket has accepted so far."""


@attrs.define(eq=False)
class _Lane:
    """Where an outbox leads. `slow` is told why its client can no longer be served."""

    sink: Sink
    slow: Callable[[str], None]
    draining: bool = False


class Flusher:
    """`stalled` gives the seconds that a socket may accept nothing."""

    def __init__(self, *, stalled: Callable[[], float]) -> None:
        self._stalled = stalled
        self._root = chain.root()
        self._dirty: list[Outbox] = []
        self._parked: trio.Event | None = None
        self._oldest: float | None = None
        self._draining = 0
        self._turnstile = Turnstile()
        self.latency = Histogram()
        self.deliveries = 0
        self.dropped: Counter[Literal["stalled", "history"]] = Counter()
        """Clients given up: their socket took nothing, or the history is too short for them."""

    def outbox(self, sink: Sink, slow: Callable[[str], None], *, burst: int, ordered: bool = False) -> Outbox:
        """Make an outbox that is written to `sink`."""
        return Outbox(self._changed, self._root, burst=burst, ordered=ordered, owner=_Lane(sink, slow))

    @property
    def behind(self) -> int:
        """Clients whose sockets are full, or that are still catching up."""
        return self._draining

    async def settled(self) -> None:
        """Wait until every client has been handed all that it is owed."""
        while self._dirty or self._draining or self._parked is None:  # noqa: ASYNC110 - no event for each flush
            await trio.sleep(_LOOK_AGAIN)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:  # ends when cancelled
            task_status.started()
            while True:
                if not self._dirty:
                    self._parked = trio.Event()
                    await self._parked.wait()
                batch, self._dirty = self._dirty, []
                since, self._oldest = self._oldest or perf_counter(), perf_counter()
                written = await self._write(batch, nursery)
                self._root.following = None  # what was sent need not be kept
                self.deliveries += written
                if written:
                    self.latency.observe(perf_counter() - since, written)

    def _changed(self, outbox: Outbox) -> None:
        self._dirty.append(outbox)
        if self._parked is not None:
            self._parked.set()
            self._parked = None
            self._oldest = perf_counter()

    async def _write(self, batch: list[Outbox], nursery: trio.Nursery) -> int:
        written = 0
        turn = perf_counter() + SLICE
        for place, outbox in enumerate(batch):
            lane: _Lane = outbox.owner
            if outbox.open:
                before = outbox.taken
                data = outbox.collect()  # nothing, when the session took it itself in the meantime
                if data and not lane.sink.push(data):
                    outbox.shut()
                written += outbox.taken - before
            if not outbox.open and not lane.draining:
                lane.draining = True
                self._draining += 1
                nursery.start_soon(self._drain, outbox, lane)
            if not place % _LOOK and perf_counter() > turn:
                await trio.lowlevel.checkpoint()
                turn = perf_counter() + SLICE
        await trio.lowlevel.checkpoint()
        return written

    async def _drain(self, outbox: Outbox, lane: _Lane) -> None:
        """Feed a client that has fallen behind, as fast as its socket takes it, until it is up to date."""
        try:
            while True:
                await self._accepted(lane.sink)
                await self._turnstile.enter()
                before = outbox.taken
                data = outbox.take(_BUDGET)
                if not data:
                    break
                self.deliveries += outbox.taken - before
                if not lane.sink.push(data):
                    outbox.shut()
        except trio.TooSlowError:
            self.dropped["stalled"] += 1
            lane.slow(f"the socket accepted nothing for {self._stalled():g} s (limits.stalled)")
        except Lost as lost:
            self.dropped["history"] += 1
            lane.slow(f"{lost.topic} no longer keeps offsets {lost.first} to {lost.last} (history)")
        finally:
            lane.draining = False
            self._draining -= 1

    async def _accepted(self, sink: Sink) -> None:
        """Wait until a sink is empty; `trio.TooSlowError` when it makes no progress."""
        while True:
            before = sink.sent
            with trio.move_on_after(self._stalled()):
                await sink.drained()
                return
            if sink.sent == before:
                raise trio.TooSlowError
