"""Calls at a later time, all from one task. A call must not wait."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    def __init__(self) -> None:
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._sooner = trio.Event()

    def __len__(self) -> int:
        return len(self._calls)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call once trio's clock has reached `when`."""
        entry = (when, next(self._order), call)
        heapq.heappush(self._calls, entry)
        if self._calls[0] is entry:
            self._sooner.set()

    def call_in(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once so many seconds have passed."""
        self.call_at(trio.current_time() + seconds, call)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self._sooner = trio.Event()
            with trio.move_on_at(self._calls[0][0] if self._calls else float("inf")):
                await self._sooner.wait()
            now = trio.current_time()
            while self._calls and self._calls[0][0] <= now:
                _, _, call = heapq.heappop(self._calls)
                call()
