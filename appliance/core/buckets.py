"""A token bucket: so many at once, and so many a second after that.

Must not know what time it is: it comes in as an argument.
"""

from __future__ import annotations

import attrs


@attrs.define
class Bucket:
    """Holds up to `size` tokens and gains `rate` of them a second."""

    rate: float
    size: float
    updated: float
    _tokens: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tokens = self.size

    @classmethod
    def per_minute(cls, count: int, now: float) -> Bucket:
        return cls(rate=count / 60, size=count, updated=now)

    def take(self, now: float) -> float:
        """Take a token: 0 when there was one, else the seconds until there will be."""
        self._fill(now)
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) / self.rate

    def take_all(self, count: float, now: float) -> float:
        """Take tokens that may not be there yet: the seconds until they will have been."""
        self._fill(now)
        self._tokens -= count
        return max(0.0, -self._tokens / self.rate)

    def lacking(self, now: float) -> float:
        """Take nothing: 0 when there is anything left, else the seconds until there will be."""
        self._fill(now)
        return 0.0 if self._tokens > 0 else (1 - self._tokens) / self.rate

    def spent(self, now: float) -> float:
        """Give the part of all tokens that is gone: 0, when it is full."""
        self._fill(now)
        return (self.size - self._tokens) / self.size

    def _fill(self, now: float) -> None:
        self._tokens = min(self.size, self._tokens + max(0.0, now - self.updated) * self.rate)
        self.updated = max(self.updated, now)
