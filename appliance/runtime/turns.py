"""Turns: who does much at once lets others run in between.

Must not know what is done.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

import trio

SLICE = 0.002
"""Seconds that one may take before others get a turn."""
_ROOM = 0.0005
"""Seconds of a round of the loop that those behind a turnstile may take together: events go before them."""
_ABREAST = 8
"""So many at most go through a turnstile in a round, however little each does."""


async def turn_over(begun: float) -> float:
    """Let others run when the turn that began then has taken its slice; give the beginning of the one that goes on."""
    if perf_counter() - begun <= SLICE:
        return begun
    await trio.lowlevel.checkpoint()
    return perf_counter()


class Rounds(trio.abc.Instrument):
    """Counts the rounds of the loop, in each of which every task that can run does so once."""

    def __init__(self) -> None:
        self.count = 0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's
        self.count += 1


_of_this_run: Final = trio.lowlevel.RunVar[Rounds]("rounds")


def rounds() -> Rounds:
    """Give those of this loop."""
    try:
        return _of_this_run.get()
    except LookupError:
        counted = Rounds()
        trio.lowlevel.add_instrument(counted)
        _of_this_run.set(counted)
        return counted


class Turnstile:
    """Lets those through who all have something to do at the same time: in each round of the loop as many as there is
    room for, and at least one. Those behind them follow about in the order in which they came.
    """

    def __init__(self, *, room: float = _ROOM) -> None:
        """`room` are the seconds of a round that they may take together; none is for one in each round."""
        self._room = room
        self._line = trio.Semaphore(_ABREAST)
        self._rounds: Rounds | None = None
        self._round = -1
        self._begun = 0.0

    async def enter(self) -> None:
        """Wait for one's turn; what is done behind it does not wait for anything."""
        line = self._line
        if line.value == _ABREAST and self._has_room():
            return
        if line.value:
            line.acquire_nowait()  # to wait for it would take one round more
        else:
            await line.acquire()
        try:
            await trio.lowlevel.checkpoint()
            while not self._has_room():
                await trio.lowlevel.checkpoint()
        finally:
            line.release()

    def _has_room(self) -> bool:
        """Whether one more may go through in this round; who is the first in it always may."""
        if self._rounds is None:
            self._rounds = rounds()  # it is made outside of any loop, perhaps
        if self._rounds.count == self._round:
            return perf_counter() - self._begun <= self._room
        self._round, self._begun = self._rounds.count, perf_counter()
        return True
