"""How long to wait before trying again: doubling, with jitter, up to a most.

Must not know time or chance: a random number comes in as an argument.
"""

from __future__ import annotations

import attrs


@attrs.define
class Backoff:
    """Waits of `first`, twice that, and so on up to `most`, each cut by up to a half by chance."""

    first: float
    most: float
    failures: int = 0

    def next(self, chance: float) -> float:
        """Give the next wait; `chance` is a random number from 0 to 1."""
        longest = min(self.most, self.first * 2.0 ** min(self.failures, 63))
        self.failures += 1
        return longest * (1 - chance / 2)

    def reset(self) -> None:
        self.failures = 0
