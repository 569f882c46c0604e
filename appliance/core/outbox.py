"""What a session is still owed: frames for the next write, and cursors into the topics' histories.

While the socket takes what it is given, an outbox is *open* and only collects finished frames. When the socket is
full it is *shut*: nothing more is queued; a cursor per topic remembers the first offset that the client has not
got, and the histories, which all sessions share, hold the rest. So a slow client costs no memory: of a state topic
it gets the newest value and a notice of what was skipped, of a log topic every event, as long as the history has it.

Must not know sockets, tasks or time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from appliance.core.events import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.history import Topic


MOST_BYTES = 1 << 40
"""A budget for what is bounded by count."""


class Reading(Protocol):
    """How a session is told of a topic: the same for all that subscribed in the same words."""

    @property
    def topic(self) -> Topic: ...

    def frame(self, entry: Entry) -> bytes: ...

    def gap(self, first: int, last: int) -> bytes:
        """Give a notice that entries were left out; empty where the client asked for that itself."""


@attrs.frozen
class Lost(Exception):  # noqa: N818 - the outcome of a slow reader, no error of the program
    """A log topic's history no longer holds what the session is owed."""

    topic: str
    first: int
    last: int


class Outbox:
    """Owned by one session; `changed` is called when there is something to write that was not there before."""

    __slots__ = ("_burst", "_changed", "_cursors", "_readings", "_whole", "conflated", "frames", "full", "open", "taken")

    def __init__(self, changed: Callable[[Outbox], None], *, burst: int) -> None:
        self.frames: list[bytes] = []
        self.open = True
        self.full = False
        self.taken = 0
        self.conflated = 0
        self._changed = changed
        self._burst = burst
        self._readings: dict[Topic, Reading] = {}
        self._cursors: dict[Topic, int] = {}
        self._whole: set[Topic] = set()

    # From the hub, for each event of each session: the hot path.

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None:
        """Take a live event."""
        if self.open:
            frames = self.frames
            frames.append(frame)
            waiting = len(frames)
            if waiting == 1:
                self._changed(self)
            elif waiting >= self._burst:
                self.open = False
        elif topic not in self._cursors:
            self._cursors[topic] = offset
            # Only a full socket is a reason to leave events out.
            if not self.full:
                self._whole.add(topic)

    # From the session.

    def put(self, frame: bytes) -> None:
        """Take an answer to the client itself; it goes out before any owed event."""
        self.frames.append(frame)
        if len(self.frames) == 1:
            self._changed(self)

    def follow(self, reading: Reading) -> None:
        """Begin (or go on in other words) to read a topic."""
        self._readings[reading.topic] = reading

    def replay(self, topic: Topic, after: int) -> None:
        """Owe the client everything of a topic behind `after`: at once where it is little, else as the socket takes it."""
        if after >= topic.last:
            return
        self._cursors[topic] = after + 1
        self._whole.add(topic)
        if not self.open:
            return
        empty = not self.frames
        if len(self.frames) + topic.last - after < self._burst:
            self._catch_up(topic, self.frames, MOST_BYTES)
        else:
            self.open = False
        if empty:
            self._changed(self)

    def forget(self, topic: Topic) -> None:
        """Stop reading a topic; nothing more of it is owed."""
        self._readings.pop(topic, None)
        self._cursors.pop(topic, None)
        self._whole.discard(topic)

    def positions(self) -> dict[str, tuple[str, int]]:
        """Give, for each topic, the epoch and the last offset that has left for the client."""
        return {
            topic.name: (topic.epoch, self._cursors.get(topic, topic.last + 1) - 1) for topic in self._readings
        }

    # From the flusher.

    def collect(self) -> bytes:
        """Give what an open outbox has gathered, joined for one write."""
        frames = self.frames
        self.taken += len(frames)
        joined = frames[0] if len(frames) == 1 else b"".join(frames)
        frames.clear()
        return joined

    def shut(self) -> None:
        """The socket is full."""
        self.open = False
        self.full = True

    def take(self, budget: int) -> list[bytes]:
        """Give the next frames that are owed, about `budget` bytes of them; none when the client is up to date.

        Raises `Lost` when a log topic's history has moved on.
        """
        chunk, self.frames = self.frames, []
        size = sum(map(len, chunk))
        for topic in list(self._cursors):
            if size >= budget:
                break
            size += self._catch_up(topic, chunk, budget - size)
        if not chunk:
            self.open = True
        self.full = False
        self.taken += len(chunk)
        return chunk

    def _catch_up(self, topic: Topic, chunk: list[bytes], budget: int) -> int:
        reading = self._readings[topic]
        cursor = self._cursors[topic]
        if topic.mode is Mode.STATE and (topic not in self._whole or cursor < topic.first):
            frames = self._newest(reading, cursor)
            chunk += frames
            self._settle(topic)
            return sum(map(len, frames))
        if cursor < topic.first:
            raise Lost(topic.name, cursor, topic.first - 1)
        size = 0
        for entry in topic.after(cursor - 1):
            if size >= budget:
                self._cursors[topic] = entry.offset
                return size
            frame = reading.frame(entry)
            chunk.append(frame)
            size += len(frame)
        self._settle(topic)
        return size

    def _newest(self, reading: Reading, cursor: int) -> list[bytes]:
        latest = reading.topic.latest
        if latest is None:
            return []
        frames = [reading.frame(latest)]
        if latest.offset > cursor:
            self.conflated += latest.offset - cursor
            notice = reading.gap(cursor, latest.offset - 1)
            if notice:
                frames.insert(0, notice)
        return frames

    def _settle(self, topic: Topic) -> None:
        del self._cursors[topic]
        self._whole.discard(topic)
