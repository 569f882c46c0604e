"""A topic: a log with an epoch and contiguous offsets from 1, of which it keeps the newest entries.

Must not know who reads it, nor what time it is: times come in as arguments.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from appliance.core.events import Entry, Mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@attrs.frozen
class Position:
    """Where a reader stands in a topic: it has seen everything up to and with `offset` of `epoch`."""

    epoch: str
    offset: int


@attrs.frozen
class Since:
    """Where a reader wants to begin: with the first entry that has this source time or a later one."""

    at: float


@attrs.frozen
class Retention:
    """What a topic keeps: an entry leaves when any of the bounds is passed."""

    count: int
    age: float | None
    size: int


@attrs.frozen
class Resumption:
    """How a reader that comes back is served: `after` is the offset that its stream goes on from.

    `gap` is from which offset to which it misses entries. `missing` is from which source time to which some may be
    missing; the end is infinite where nobody knows it.
    """

    after: int
    recovered: bool
    gap: tuple[int, int] | None
    missing: tuple[float, float] | None = None


@attrs.frozen(kw_only=True)
class Span:
    """What of a topic is asked for: source times from `since` to before `until`; so many entries, so many bytes.

    One entry fits always.
    """

    count: int
    size: int
    since: float = -math.inf
    until: float = math.inf

    def pick(self, entries: Iterator[Entry]) -> tuple[list[Entry], Entry | None]:
        """Give those of the span, and the last one that was looked at: up to it there are no others."""
        found, room, seen = [], self.size, None
        for seen in entries:
            if self.since <= seen.at < self.until:
                found.append(seen)
                room -= len(seen.body)
                if room <= 0 or len(found) == self.count:
                    break
        return found, seen


@attrs.frozen
class Stretch:
    """What a topic has of a span behind the offset `start`, up to and with the offset `end`."""

    start: int
    end: int
    entries: Sequence[Entry]


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
    forgotten_number: int = 0
    """Its number, or one that is higher where that is not known."""
    forgotten_at: float | None = None
    """The latest source time among them; none: there are none, or they were let go of before a restart."""
    durable: bool = False
    """Whether its entries outlive the process, and their numbers are places of their own."""
    _entries: deque[Entry] = attrs.field(factory=deque, init=False)
    _size: int = attrs.field(default=0, init=False)

    @property
    def first(self) -> int:
        """The oldest offset kept; one past the last when nothing is."""
        return self._entries[0].offset if self._entries else self.last + 1

    def append(self, body: bytes, *, at: float, received: float, serial: int = 0, number: int = 0) -> Entry:
        self.last += 1
        entry = Entry(self.last, at, received, body, serial, number)
        self.restore(entry)
        return entry

    def restore(self, entry: Entry) -> None:
        """Take an entry that has its offset already, the next one."""
        self.latest = entry
        self._entries.append(entry)
        self._size += len(entry.body)
        retention = self.retention
        while self._size > retention.size or len(self._entries) > retention.count:
            self._drop()

    def expire(self, now: float) -> None:
        if self.retention.age is None:
            return
        oldest = now - self.retention.age
        while self._entries and self._entries[0].received < oldest:
            self._drop()

    def after(self, offset: int) -> Iterator[Entry]:
        """Give the kept entries behind `offset`, oldest first."""
        return itertools.islice(self._entries, max(0, offset + 1 - self.first), None)

    def before(self, offset: int) -> Iterator[Entry]:
        """Give the kept entries up to and with `offset`, newest first."""
        return itertools.islice(reversed(self._entries), max(0, self.last - offset), None)

    def forwards(self, after: int, span: Span, *, to: int | None = None) -> Stretch:
        """Give what comes first of a span behind an offset, and up to another.

        The newest entry of a state topic is there even when its history is empty.
        """
        entries = iter([self.latest]) if after < self.last < self.first and self.latest else self.after(after)
        if to is not None:
            entries = itertools.takewhile(lambda entry: entry.offset <= to, entries)
        found, seen = span.pick(entries)
        return Stretch(after, after if seen is None else seen.offset, found)

    def backwards(self, to: int, span: Span) -> Stretch:
        """Give what comes last of a span up to and with an offset; its entries stand in their order all the same."""
        end = min(to, self.last)
        alone = self.mode is Mode.STATE and end == self.last < self.first and self.latest
        found, seen = span.pick(iter([alone]) if alone else self.before(end))
        return Stretch(end if seen is None else seen.offset - 1, end, found[::-1])

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

    def resume_since(self, moment: float) -> Resumption:
        """As `resume`, for a reader that wants what has a source time, or a later one: it begins with the first of it.

        A state topic's newest entry comes in any case.
        """
        begins = next((entry.offset for entry in self._entries if entry.at >= moment), self.last + 1)
        after = begins - 1
        if self.mode is Mode.STATE:
            after = min(after, max(0, self.last - 1))
        missing = self.missing_since(moment)
        return Resumption(after=after, recovered=missing is None, gap=None, missing=missing)

    def missing_since(self, moment: float) -> tuple[float, float] | None:
        """Say between which source times there may have been entries since a moment that are no longer kept."""
        if self.first == 1 and not (self.forgotten or self.forgotten_number):
            return None
        forgotten = self.forgotten_at
        if forgotten is None:
            # Let go of before a restart: most likely what is kept is not older.
            forgotten = self._entries[0].at if self._entries else math.inf
        return None if forgotten < moment else (moment, forgotten)

    def resume_behind(self, serial: int) -> Resumption:
        """As `resume`, for a reader that has seen the entries of all topics up to a serial.

        What it has missed is not known by offset when some of it is no longer kept.
        """
        if serial < self.forgotten:
            return self._resume_with_what_is_left()
        return self._resume_behind(entry for entry in reversed(self._entries) if entry.serial <= serial)

    def resume_behind_number(self, number: int) -> Resumption:
        """As `resume_behind`, for a reader that has seen all that was kept up to a number, before a restart too."""
        if number < self.forgotten_number:
            return self._resume_with_what_is_left()
        return self._resume_behind(entry for entry in reversed(self._entries) if entry.number <= number)

    def _resume_behind(self, seen: Iterator[Entry]) -> Resumption:
        newest = next(seen, None)
        return self.resume(Position(self.epoch, self.first - 1 if newest is None else newest.offset))

    def _resume_with_what_is_left(self) -> Resumption:
        after = self.last - 1 if self.mode is Mode.STATE else self.first - 1
        return Resumption(after=after, recovered=False, gap=None)

    def _drop(self) -> None:
        entry = self._entries.popleft()
        self._size -= len(entry.body)
        self.forgotten = entry.serial
        self.forgotten_number = entry.number
        if self.forgotten_at is None or self.forgotten_at < entry.at:
            self.forgotten_at = entry.at
