"""Which events are shown where at most so many a second are: one at once, and behind each pause the newest of it.

Must not know what time it is, nor what an event says.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.core.events import Entry


class Thinning:
    """Of one topic. What it holds back is to be released once the pause is over, unless something newer comes."""

    def __init__(self, rate: float) -> None:
        self.pause = 1 / rate
        self._due = -math.inf
        self._held: Entry | None = None

    @property
    def holds(self) -> bool:
        return self._held is not None

    def take(self, entry: Entry, now: float) -> Entry | None:
        """Give back an entry that is shown at once; one that is not is held instead of the one before it."""
        # A clock that is set back must not make the pause longer.
        self._due = min(self._due, now + self.pause)
        if self._held is None and now >= self._due:
            self._due = now + self.pause
            return entry
        self._held = entry
        return None

    def remains(self, now: float) -> float:
        """Say how many seconds of the pause are left."""
        return max(0.0, self._due - now)

    def release(self) -> Entry | None:
        """Give what is held: the pause is over, and another begins."""
        held, self._held = self._held, None
        if held is not None:
            self._due += self.pause
        return held
