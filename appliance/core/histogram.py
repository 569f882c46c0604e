"""A distribution in buckets, four to a doubling: constant memory, quantiles within the bucket's width.

Must not know what was measured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS = 4
_BUCKETS = 160
_LEAST = 1e-6


class Histogram:
    """Of times in seconds, from a microsecond to days."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        place = 0 if value <= _LEAST else min(_BUCKETS - 1, math.ceil(_STEPS * math.log2(value / _LEAST)))
        self._counts[place] += count
        self.count += count
        self.total += value * count
        self.longest = max(self.longest, value)

    def quantile(self, share: float) -> float:
        """Give the upper edge of the bucket that holds the quantile; 0 when nothing was observed."""
        wanted = share * self.count
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen and seen >= wanted:
                return min(self.longest, _LEAST * 2 ** (place / _STEPS))
        return 0.0

    def doublings(self) -> Iterator[tuple[float, int]]:
        """Give, for each doubling, its upper edge and how many were observed up to there."""
        seen = self._counts[0]
        yield _LEAST, seen
        for place in range(1, _BUCKETS - _STEPS, _STEPS):  # the last bucket holds all that is longer, too
            seen += sum(self._counts[place : place + _STEPS])
            yield _LEAST * 2 ** ((place + _STEPS - 1) // _STEPS), seen

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0
