"""How a producer behaves: what it does too much of is counted, and past a bound it is to be ended.

Must not know what a producer is. Time comes in as an argument.
"""

from __future__ import annotations

import enum
from collections import Counter, deque

import attrs


class Offence(enum.StrEnum):
    """What a producer does to others."""

    BLOCKS = "blocks the loop"
    FLOODS = "floods"
    LINGERS = "does not stop"
    IS_SILENT = "publishes nothing"


_WEIGHTS = {Offence.BLOCKS: 4}
"""Who keeps the loop to himself keeps everybody waiting: that weighs as much as several of the others."""


@attrs.define
class Conduct:
    """Offences that weigh `most` within `window` seconds are too many."""

    most: int
    window: float
    counts: Counter[Offence] = attrs.field(factory=Counter)
    _recent: deque[float] = attrs.field(factory=deque, init=False)

    def offend(self, offence: Offence, now: float) -> bool:
        """Count an offence; True when it is one too many."""
        self.counts[offence] += 1
        self._recent.extend([now] * _WEIGHTS.get(offence, 1))
        while self._recent[0] <= now - self.window:
            self._recent.popleft()
        return len(self._recent) >= self.most
