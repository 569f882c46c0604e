"""A topic: a log with an epoch and contiguous offsets from 1, of which it keeps the newest entries.

Must not know who reads it, nor what time it is: times come in as arguments.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING

import attrs

from appliance.core.events import Entry, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen
class Position:
    """Where a reader stands in a topic: it has seen everything up to and with `offset` of `epoch`."""

    epoch: str
    offset: int


@attrs.frozen
class Retention:
    """What a topic keeps: an entry leaves when any of the bounds is passed."""

    count: int
    age: float | None
    size: int


@attrs.frozen
class Resumption:
    """How a reader that comes back is served: `after` is the offset that its stream goes on from."""

    after: int
    recovered: bool
    gap: tuple[int, int] | None


@attrs.define(eq=False)
class Topic:
    """One log. The newest entry of a state topic is kept whatever its age."""

    name: str
    mode: Mode
    message: str
    epoch: str
    retention: Retention
    last: int = 0
    latest: Entry | None = None
    forgotten: int = 0
    """Serial of the newest entry that is no longer kept."""
    _entries: deque[Entry] = attrs.field(factory=deque, init=False)
    _size: int = attrs.field(default=0, init=False)

    @property
    def first(self) -> int:
        """The oldest offset kept; one past the last when nothing is."""
        return self._entries[0].offset if self._entries else self.last + 1

    def append(self, body: bytes, *, at: float, received: float, serial: int = 0) -> Entry:
        self.last += 1
        entry = Entry(self.last, at, received, body, serial)
        self.latest = entry
        self._entries.append(entry)
        self._size += len(body)
        retention = self.retention
        while self._size > retention.size or len(self._entries) > retention.count:
            self._drop()
        return entry

    def expire(self, now: float) -> None:
        if self.retention.age is None:
            return
        oldest = now - self.retention.age
        while self._entries and self._entries[0].received < oldest:
            self._drop()

    def after(self, offset: int) -> Iterator[Entry]:
        """Give the kept entries behind `offset`, oldest first."""
        return itertools.islice(self._entries, max(0, offset + 1 - self.first), None)

    def resume(self, position: Position) -> Resumption:
        """Say how a reader that has seen `position` goes on: with all it missed, or with what is left of it.

        What is left is the newest entry of a state topic, and all that is kept of a log.
        """
        known = position.epoch == self.epoch and position.offset <= self.last
        after = self.last - 1 if self.mode is Mode.STATE and self.last else self.first - 1
        # A state topic's newest entry is there even when its history is empty.
        if known and position.offset >= min(self.first - 1, after):
            return Resumption(after=position.offset, recovered=True, gap=None)
        return Resumption(after=after, recovered=False, gap=(position.offset + 1, after) if known else None)

    def resume_behind(self, serial: int) -> Resumption:
        """As `resume`, for a reader that has seen the entries of all topics up to a serial.

        What it has missed is not known by offset when some of it is no longer kept.
        """
        if serial >= self.forgotten:
            seen = next((entry for entry in reversed(self._entries) if entry.serial <= serial), None)
            return self.resume(Position(self.epoch, self.first - 1 if seen is None else seen.offset))
        after = self.last - 1 if self.mode is Mode.STATE else self.first - 1
        return Resumption(after=after, recovered=False, gap=None)

    def _drop(self) -> None:
        entry = self._entries.popleft()
        self._size -= len(entry.body)
        self.forgotten = entry.serial
