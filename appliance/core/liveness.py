"""Whether a silent client still lives: any received byte is a sign of life.

Must not know what time it is, nor how a client is asked.
"""

from __future__ import annotations

import enum

import attrs


class Verdict(enum.Enum):
    ALIVE = enum.auto()
    PING = enum.auto()
    """Silent for the interval: ask for a sign of life."""
    GONE = enum.auto()
    """Silent for the timeout after being asked."""


@attrs.define
class Liveness:
    """Of one client. `received` is a count of bytes that only grows."""

    heard: float
    received: int = 0
    asked: float | None = None

    def judge(self, received: int, now: float, *, interval: float, timeout: float) -> Verdict:
        if received != self.received:
            self.received, self.heard, self.asked = received, now, None
            return Verdict.ALIVE
        if self.asked is not None:
            return Verdict.GONE if now - self.asked >= timeout else Verdict.ALIVE
        if now - self.heard >= interval:
            self.asked = now
            return Verdict.PING
        return Verdict.ALIVE
