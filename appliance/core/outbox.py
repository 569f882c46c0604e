"""What a session is still owed: frames for the next write, and cursors into the topics' histories.

While the socket takes what it is given, an outbox is *open* and only collects finished frames. When the socket is
full it is *shut*: nothing more is queued; a cursor per topic remembers the first offset that the client has not
got, and the histories, which all sessions share, hold the rest. So a slow client costs no memory: of a state topic
it gets the newest value and a notice of what was skipped, of a log topic every event, as long as the history has it.

Must not know sockets, tasks or time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from appliance.core.events import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.chain import Chain
    from appliance.core.events import Entry
    from appliance.core.history import Topic


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
    """Owned by one session. `changed` is called when there is something to write that was not there before.

    `burst` bounds the bytes that gather for one write. `owner` is what the flusher needs to know it by.
    """

    __slots__ = (
        "_burst",
        "_changed",
        "_cursors",
        "_held",
        "_readings",
        "_root",
        "_whole",
        "chain",
        "conflated",
        "full",
        "open",
        "owner",
        "taken",
    )

    def __init__(
        self,
        changed: Callable[[Outbox], None],
        root: Chain,
        *,
        burst: int,
        owner: Any = None,  # noqa: ANN401 - whoever writes it out
    ) -> None:
        self.chain = root
        self.open = True
        self.full = False
        self.owner = owner
        self.taken = 0
        self.conflated = 0
        self._root = root
        self._changed = changed
        self._burst = burst
        self._readings: dict[Topic, Reading] = {}
        self._cursors: dict[Topic, int] = {}
        self._whole: set[Topic] = set()
        self._held: dict[Topic, tuple[int, int, bytes]] = {}

    # From the hub, for each event of each session: the hot path.

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None:
        """Take a live event."""
        if self.open:
            chain = self.chain
            following = chain.following
            if following is None or following.frame is not frame:
                following = chain.then(frame)
            self.chain = following
            if chain is self._root:
                changed = self._changed  # a local: calling what lies in a slot costs more than reading it
                changed(self)
            elif following.size > self._burst:
                self.open = False
        elif topic not in self._cursors:
            self._cursors[topic] = offset
            # Only a full socket is a reason to leave events out.
            if not self.full:
                self._whole.add(topic)

    # From a throttle, whose client wants only the newest of what comes between two updates.

    def renew(self, topic: Topic, offset: int, frame: bytes) -> None:
        """Take a live event; while the outbox is not open, newer ones replace it."""
        if self.open:
            self.offer(topic, offset, frame)
        else:
            self._cursors.setdefault(topic, offset)

    def hold(self, topic: Topic, offset: int, frame: bytes) -> None:
        """Keep the newest event of a topic until it is released, or given from the history before that."""
        first = self._held[topic][0] if topic in self._held else offset
        self._held[topic] = first, offset, frame

    def release(self, topic: Topic) -> None:
        if topic in self._held:
            _, offset, frame = self._held.pop(topic)
            self.renew(topic, offset, frame)

    # From the session.

    def put(self, frame: bytes) -> None:
        """Take an answer to the client itself; it goes out before any owed event."""
        chain = self.chain
        self.chain = chain.then(frame)
        if chain is self._root:
            self._changed(self)

    def follow(self, reading: Reading) -> None:
        """Begin (or go on in other words) to read a topic."""
        self._readings[reading.topic] = reading
        # What a limit would have left out may be owed in other words, that have none.
        if reading.topic in self._cursors and not self.full:
            self._whole.add(reading.topic)

    def replay(self, topic: Topic, after: int) -> None:
        """Owe the client everything of a topic behind `after`: the next in turn at once, the rest as it can take it."""
        if after >= topic.last:
            return
        self._cursors.setdefault(topic, after + 1)
        self._whole.add(topic)
        if not self.open:
            return
        chain = self.chain
        self._catch_up(topic, self._burst - chain.size)
        self.open = topic not in self._cursors
        if chain is self._root:
            self._changed(self)

    def forget(self, topic: Topic) -> None:
        """Stop reading a topic; nothing more of it is owed."""
        self._readings.pop(topic, None)
        self._cursors.pop(topic, None)
        self._whole.discard(topic)
        self._held.pop(topic, None)

    def positions(self) -> dict[str, tuple[str, int]]:
        """Give, for each topic, the epoch and the last offset that has left for the client."""
        return {topic.name: (topic.epoch, self._next(topic) - 1) for topic in self._readings}

    # From the flusher.

    def collect(self) -> bytes:
        """Give what has gathered, for one write."""
        chain = self.chain
        self.taken += chain.count
        self.chain = self._root
        return chain.joined

    def shut(self) -> None:
        """The socket is full."""
        self.open = False
        self.full = True

    def take(self, budget: int) -> bytes:
        """Give what is owed next, about `budget` bytes of it; nothing when the client is up to date.

        Raises `Lost` when a log topic's history has moved on.
        """
        self.full = False
        for topic in list(self._cursors):
            room = budget - self.chain.size
            if room <= 0:
                break
            self._catch_up(topic, room)
        if self.chain is self._root:
            self.open = True
        return self.collect()

    def _catch_up(self, topic: Topic, budget: int) -> None:
        reading = self._readings[topic]
        cursor = self._cursors[topic]
        if topic.mode is Mode.STATE and (topic not in self._whole or cursor < topic.first):
            self._skip_to_newest(reading, cursor)
        elif cursor < topic.first:
            raise Lost(topic.name, cursor, topic.first - 1)
        else:
            for entry in topic.after(cursor - 1):
                if budget <= 0:
                    # To the end of the line: the next budget is another topic's.
                    del self._cursors[topic]
                    self._cursors[topic] = entry.offset
                    return
                frame = reading.frame(entry)
                self.chain = self.chain.then(frame)
                budget -= len(frame)
        del self._cursors[topic]
        self._whole.discard(topic)
        self._held.pop(topic, None)

    def _next(self, topic: Topic) -> int:
        """Give the first offset that has not left for the client."""
        if topic in self._cursors:
            return self._cursors[topic]
        return self._held[topic][0] if topic in self._held else topic.last + 1

    def _skip_to_newest(self, reading: Reading, cursor: int) -> None:
        latest = reading.topic.latest
        if latest is None:
            return
        if latest.offset > cursor:
            self.conflated += latest.offset - cursor
            notice = reading.gap(cursor, latest.offset - 1)
            if notice:
                self.chain = self.chain.then(notice)
        self.chain = self.chain.then(reading.frame(latest))
