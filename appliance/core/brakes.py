"""A brake: who fails again and again has to wait, longer each time, and is told how long.

Must not know what fails. Time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Hashable

FIRST: Final = 1.0
"""Seconds of the first wait; each further one is twice as long."""
FORGOTTEN: Final = 60.0
"""Seconds after which a failure no longer counts, one after the other."""
MOST: Final = 65_536
"""How many of those who fail are remembered at once."""
_DOUBLINGS: Final = 40


@attrs.define
class _Failures:
    count: float
    updated: float
    until: float

    def left(self, now: float) -> float:
        """How many still count; it also is how much they matter."""
        return max(0.0, self.count - max(0.0, now - max(self.updated, self.until)) / FORGOTTEN)


class Brake:
    """Remembers who has failed how often, within a bound."""

    def __init__(self, most: int = MOST) -> None:
        self._failures: Remembered[Hashable, _Failures] = Remembered(most, _Failures.left)

    def __len__(self) -> int:
        return len(self._failures)

    def fail(self, who: Hashable, *, free: int, longest: float, now: float) -> float:
        """Count a failure: 0, or how long it is too early for another try. Those that are too early do not count.

        As many as are `free` in a row cost nothing.
        """
        failures = self._failures.find(who)
        if failures is None:
            failures = _Failures(0.0, now, now)
            self._failures.keep(who, failures, now)
        elif now < failures.until:
            return min(failures.until - now, longest)
        failures.count = failures.left(now) + 1
        failures.updated = failures.until = now
        # What counts is kept within bounds, too: else the last wait would be remembered for weeks.
        failures.count = min(failures.count, free + _DOUBLINGS)
        doublings = failures.count - free
        if doublings > 0:
            failures.until = now + min(longest, FIRST * 2 ** (doublings - 1))
        return 0.0
