"""What the appliance knows of itself: health of producers, counts of sessions, errors and deliveries.

Must not know who asks, nor in which words they are told.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_SMOOTHED = 10.0
"""Seconds that a rate of events is smoothed over."""


@attrs.define
class Health:
    """Of one channel's producer; times are seconds since 1970."""

    opened: float = attrs.field(factory=time.time)
    started_at: float | None = None
    last_update: float | None = None
    events: int = 0
    errors: int = 0
    recovery_attempts: int = 0
    last_error: str | None = None
    failing: bool = False
    """Whether it has failed, and since then neither published nor said that it can."""
    able: bool = False
    """Whether there was an event, or the producer can be expected to give some."""
    refused: int = 0
    """Rows that the channel could not take."""
    running: bool = False
    stale_after: float | None = None
    """Seconds without an event after which its newest ones are old."""
    stale: bool = False
    quarantined: str | None = None
    offences: Counter[str] = attrs.field(factory=Counter)
    lag: float | None = None
    """Seconds from the source's time of the newest event to when it came here."""
    rate: float = 0.0
    """Events a second, of late."""
    _counted: int = attrs.field(default=0, init=False)

    @property
    def healthy(self) -> bool:
        return self.running and not self.failing and not self.stale and self.quarantined is None

    def updated(self, now: float, at: float) -> None:
        self.events += 1
        self.failing = False
        self.able = True
        self.last_update = now
        self.lag = now - at

    def look(self, now: float, elapsed: float) -> bool:
        """Measure the rate, and whether the newest event is old; True when that has changed."""
        more, self._counted = self.events - self._counted, self.events
        self.rate += (more / elapsed - self.rate) * min(1.0, elapsed / _SMOOTHED)
        quiet = now - (self.opened if self.last_update is None else self.last_update)
        stale = self.stale_after is not None and quiet > self.stale_after
        changed, self.stale = stale != self.stale, stale
        return changed


Counts: TypeAlias = tuple[int, int, int, int]
"""Of one session: bytes received and sent, events that it was not told of, and how often it was told that."""
NOTHING: Final[Counts] = (0, 0, 0, 0)


@attrs.define
class Traffic:
    """Counts of the edge since the start. What a session has counted itself is added when it is asked to, and when it
    ends.
    """

    opened: int = 0
    closed: int = 0
    received_messages: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0
    conflated: int = 0
    gaps: int = 0
    recovered: int = 0
    unrecovered: int = 0
    errors: Counter[str] = attrs.field(factory=Counter)
    limits: Counter[str] = attrs.field(factory=Counter)
    """How often each limit was hit, by its setting."""

    def refused(self, kind: str, limit: str | None = None) -> None:
        """Count what a client was refused, and the limit that it had come to, if it was one."""
        self.errors[kind] += 1
        if limit is not None:
            self.limits[limit] += 1

    def add(self, counted: Counts, *, beyond: Counts) -> None:
        """Add what a session has counted so far, but for what was added before."""
        self.received_bytes += counted[0] - beyond[0]
        self.sent_bytes += counted[1] - beyond[1]
        self.conflated += counted[2] - beyond[2]
        self.gaps += counted[3] - beyond[3]

    def resumed(self, recovered: bool) -> None:  # noqa: FBT001 - its whole message
        """Count a reader that came back to a topic."""
        if recovered:
            self.recovered += 1
        else:
            self.unrecovered += 1


@attrs.frozen
class Sample:
    """The counters at one instant, from which rates are made."""

    at: float
    deliveries: int
    sent_bytes: int
    received_bytes: int
    opened: int
    closed: int
    errors: Mapping[str, int]


@attrs.define
class Rates:
    """Per second, over the last window."""

    deliveries: float = 0.0
    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    opened: float = 0.0
    closed: float = 0.0
    errors: Mapping[str, float] = attrs.field(factory=dict)


WINDOW = 60.0
"""Seconds that rates are measured over."""


class Status:
    """`sample` gives the counters now."""

    def __init__(self, sample: Callable[[], Sample]) -> None:
        self.sample = sample
        self._samples: deque[Sample] = deque()
        self.started = time.time()
        self._looks = 0
        self._healthy_looks = 0
        self.health: dict[str, Health] = {}
        self.traffic = Traffic()

    @property
    def healthy(self) -> bool:
        return all(health.healthy for health in self.health.values())

    @property
    def uptime(self) -> float:
        """Percent of the time since the start in which every producer was healthy."""
        return 100.0 * self._healthy_looks / self._looks if self._looks else 100.0

    def look(self) -> None:
        """Take a sample; to be called steadily."""
        self._looks += 1
        self._healthy_looks += self.healthy
        sample = self.sample()
        self._samples.append(sample)
        while len(self._samples) > 1 and self._samples[0].at < sample.at - WINDOW:
            self._samples.popleft()

    def rates(self) -> Rates:
        """Give the rates over the window, or since the start where that is shorter."""
        if not self._samples:
            return Rates()
        then, now = self._samples[0], self.sample()
        elapsed = now.at - then.at
        if elapsed <= 0:
            return Rates()
        counts = [field.name for field in attrs.fields(Rates) if field.name != "errors"]
        return Rates(
            **{name: (getattr(now, name) - getattr(then, name)) / elapsed for name in counts},
            errors={kind: (count - then.errors.get(kind, 0)) / elapsed for kind, count in now.errors.items()},
        )
