"""Messages that come once an interval with what has changed: whether a client got each, and what it must say.

Must not know sockets, frames or texts. Judged are the server's own times in the messages, never a clock here: the
load's machine may be as late as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.load_offsets import Findings
    from tests.bench.numbered import Turns


@attrs.frozen
class Digest:
    """What a message says: the newest number of each symbol that it tells of."""

    stream: str
    at: float
    """When the server sent it, in seconds since 1970, as it says."""
    numbers: Mapping[str, int]

    @property
    def newest(self) -> int:
        return max(self.numbers.values(), default=0)


@attrs.frozen(kw_only=True)
class Stream:
    """What clients are promised of a stream of digests: all symbols, or those `chosen`."""

    turns: Turns
    chosen: frozenset[str] | None = None
    interval: float | None = None
    """Seconds between two messages, when every beat has something to tell; without it, any rhythm will do."""


@attrs.define
class Follower:
    """Where one client stands in one stream. A message counts for the beat that it is nearest to."""

    stream: Stream
    told: int = 0
    """The newest number that it knows of."""
    beats: int = 0
    off: float = 0.0
    """The farthest that a message was from its beat, in seconds."""
    _first: float = 0.0

    def is_foreign(self, digest: Digest) -> bool:
        """Whether a message tells of symbols that were not chosen: right only before the choice was made."""
        return self.stream.chosen is not None and not digest.numbers.keys() <= self.stream.chosen

    def take(self, digest: Digest, findings: Findings) -> None:
        changed = self.stream.turns.changed(self.told, digest.newest, self.stream.chosen)
        if not changed or digest.numbers != changed:
            findings.misfits += 1
        self.told = max(self.told, digest.newest)
        self._keep_time(digest.at, findings)

    def begin_anew(self) -> None:
        """Count from the next message on, with what is known."""
        self.beats, self.off = 0, 0.0

    def _keep_time(self, at: float, findings: Findings) -> None:
        interval = self.stream.interval
        if self.beats == 0:
            self._first = at
        elif interval is not None:
            late = at - (self._first + self.beats * interval)
            self.off = max(self.off, abs(late))
            if abs(late) >= interval / 2:
                findings.offbeat += 1
                self._first = at - self.beats * interval
        self.beats += 1
