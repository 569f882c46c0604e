"""The garbage of this process: what refers to itself in a circle, which only a look at everything finds.

Python looks whenever enough is new. With thousands of clients that takes half a second, in which nobody hears anything;
here it happens once much has gathered, and so seldom that all looks together take a small share of the time.

Must not know whose garbage it is.
"""

from __future__ import annotations

import gc
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from appliance.ops import memory

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at how much has gathered, which takes no time."""
_YOUNG: Final = (2_000, 10)
"""So many new objects are looked at by themselves, and so many times that: it takes some milliseconds at most."""
_NEVER: Final = 2**31 - 1
_SHARE: Final = 0.01
"""Of the time, that looking at everything may take. Where memory is short, `memory.trim` does so at once."""
_MUCH: Final = 1.25
"""Times what there was when everything was looked at last: it may be worth another look."""
_TOO_MUCH: Final = 4.0
"""Times what there was, from which on memory is worth more than time."""


def _held() -> int:
    """Give the bytes that this process holds; where the system does not tell, the number of things."""
    return memory.resident() or sys.getallocatedblocks()


class Sweeper:
    """Looks through everything when that is due, in place of Python."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = perf_counter,
        held: Callable[[], int] = _held,
        sweep: Callable[[], object] = gc.collect,
    ) -> None:
        self._now = now
        self._held = held
        self._sweep = sweep
        self._swept()

    async def run(self) -> None:
        thresholds = gc.get_threshold()
        gc.set_threshold(*_YOUNG, _NEVER)
        try:
            while True:
                await trio.sleep(LOOK_EVERY)
                self.look()
        finally:
            gc.set_threshold(*thresholds)

    def look(self) -> None:
        """Look through everything, if that is due: the more there is, the longer it will take."""
        held = self._held()
        rest = held * self._pace / _SHARE
        rested = self._now() - self._ended >= rest
        if held >= _TOO_MUCH * self._left or (held >= _MUCH * self._left and rested):
            self._swept()

    def _swept(self) -> None:
        held, begun = self._held(), self._now()
        self._sweep()
        self._left, self._ended = self._held(), self._now()
        self._pace = (self._ended - begun) / held
