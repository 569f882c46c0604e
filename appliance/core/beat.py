"""A steady beat: which count comes next, and when. Time comes in as an argument."""

from __future__ import annotations

import math

import attrs


@attrs.define
class Beat:
    """Counts 0, 1, 2… every so many seconds from the first look; what was missed is skipped, so the rhythm stays."""

    seconds: float
    _start: float | None = attrs.field(default=None, init=False)
    _count: int = attrs.field(default=0, init=False)

    def next(self, now: float) -> tuple[int, float]:
        """Give the next count and the time that it is due."""
        if self._start is None:
            self._start = now
        else:
            self._count = max(self._count + 1, math.ceil((now - self._start) / self.seconds))
        return self._count, self._start + self._count * self.seconds
