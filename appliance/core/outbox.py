"""What a session is still owed: frames for the next write, and cursors into the topics' histories.

While the socket takes what it is given, an outbox is *open* and only collects finished frames. When the socket is
full it is *shut*: nothing more is queued; a cursor per topic remembers the first offset that the client has not
got, and the histories, which all sessions share, hold the rest. So a slow client costs no memory: of a state topic
it gets the newest value and a notice of what was skipped, of a log topic every event, as long as the history has it.

Must not know sockets, tasks or time.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import attrs

from appliance.core.events import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.core.chain import Chain
    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.passages import Passage

    _Owed: TypeAlias = tuple[int, int, Entry, tuple[Topic, Iterator[Entry]]]
    """The next entry of a topic, behind what puts it in order: its rank, and the topic's place."""

_AT_ONCE: Final = 128
"""Entries that a client is given at once when it subscribes; who has missed more has to wait for its turn, for many
may come back together.
"""


class Reading(Protocol):
    """How a session is told of a topic: the same for all that subscribed in the same words."""

    @property
    def topic(self) -> Topic: ...

    def frame(self, entry: Entry) -> bytes:
        """Give an entry in the session's words; nothing, when it does not concern the session."""

    def passage(self, first: int) -> Passage:
        """Give the entries from an offset on, as far as they are told in one piece."""

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
    What is owed goes topic by topic, so that a long log does not keep back what is new elsewhere; in an `ordered`
    outbox in the order of the entries' serials.
    """

    __slots__ = (
        "_burst",
        "_changed",
        "_cursors",
        "_held",
        "_ordered",
        "_readings",
        "_root",
        "_whole",
        "chain",
        "conflated",
        "full",
        "gaps",
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
        ordered: bool = False,
        owner: Any = None,  # noqa: ANN401 - whoever writes it out
    ) -> None:
        self.chain = root
        self.open = True
        self.full = False
        self.owner = owner
        self.taken = 0
        self.conflated = 0
        self.gaps = 0
        self._root = root
        self._changed = changed
        self._burst = burst
        self._ordered = ordered
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

    def share(self, frame: bytes) -> bool:
        """Take a frame that is no entry of a topic, unless the client is behind: then False."""
        if not self.open:
            return False
        chain = self.chain
        self.chain = chain.then(frame)
        if chain is self._root:
            self._changed(self)
        elif self.chain.size > self._burst:
            self.open = False
        return True

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

    def replay(self, starts: Iterable[tuple[Topic, int]]) -> None:
        """Owe the client all that topics hold behind an offset each: a little goes at once, much as it can take it."""
        behind = [(topic, after) for topic, after in starts if after < topic.last]
        for topic, after in behind:
            self._cursors.setdefault(topic, after + 1)
            self._whole.add(topic)
        if not behind or not self.open:
            return
        chain = self.chain
        if sum(topic.last - after for topic, after in behind) <= _AT_ONCE:
            self._catch_up(self._burst - chain.size)
        self.open = not self._cursors
        if chain is self._root and (self.chain is not chain or not self.open):
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

    @property
    def owed(self) -> int:
        """Frames and events that have not left for the client; of a state topic that it is behind in, the newest."""
        if not self._cursors:
            return self.chain.count
        return self.chain.count + sum(
            1 if topic.mode is Mode.STATE and topic not in self._whole else topic.last - cursor + 1
            for topic, cursor in self._cursors.items()
        )

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
        self._catch_up(budget - self.chain.size)
        if self.chain is self._root:
            self.open = True
        return self.collect()

    def _catch_up(self, budget: int) -> None:
        """Give about `budget` bytes of what is owed."""
        if self._ordered and len(self._cursors) > 1:
            self._catch_up_in_order(budget)
            return
        for topic, whole in [(topic, self._is_whole(topic)) for topic in self._cursors]:
            if budget <= 0:
                break
            budget -= self._catch_up_with(topic, budget, whole=whole)

    def _catch_up_with(self, topic: Topic, budget: int, *, whole: bool) -> int:
        """Give about `budget` bytes of what is owed of a topic; returns how many they are."""
        cursor, latest = self._cursors[topic], topic.latest
        assert latest is not None  # noqa: S101 - there is a cursor because there are entries
        if not whole or cursor == topic.last:
            size = self._serve(topic, latest)
            self._settle(topic)
            return size
        size = 0
        while cursor <= topic.last and size < budget:
            passage = self._readings[topic].passage(cursor)
            size += self._append(passage.frame, passage.events)
            cursor = passage.last + 1
        if cursor > topic.last:
            self._settle(topic)
        else:
            # To the end of the line: the next budget is another topic's.
            del self._cursors[topic]
            self._cursors[topic] = cursor
        return size

    def _catch_up_in_order(self, budget: int) -> None:
        owed = [self._owed(place, topic) for place, topic in enumerate(self._cursors)]
        heapq.heapify(owed)
        while owed and budget > 0:
            _, place, entry, rest = owed[0]
            topic, entries = rest
            if entry.offset > self._cursors[topic]:
                # Told at the place of what is left out: the entries of other topics that come before this one are
                # behind that, and who goes on from one of them must have been told.
                budget -= self._tell_gap(topic, entry)
                heapq.heapreplace(owed, (entry.serial, place, entry, rest))
                continue
            budget -= self._serve(topic, entry)
            following = next(entries, None)
            if following is None:
                heapq.heappop(owed)
                self._settle(topic)
            else:
                self._cursors[topic] = following.offset
                heapq.heapreplace(owed, (following.serial, place, following, rest))

    def _owed(self, place: int, topic: Topic) -> _Owed:
        """Give the next entry of a topic that the client gets, and those behind it."""
        cursor, latest = self._cursors[topic], topic.latest
        assert latest is not None  # noqa: S101 - there is a cursor because there are entries
        whole, entries = self._is_whole(topic), topic.after(cursor - 1)
        oldest = next(entries) if cursor >= topic.first else None
        rank = 0 if oldest is None else oldest.serial
        if whole and oldest is not None:
            return rank, place, oldest, (topic, entries)
        return rank, place, latest, (topic, iter(()))

    def _is_whole(self, topic: Topic) -> bool:
        """Whether all that is owed of a topic is given, and not only the newest. Raises `Lost`."""
        kept = self._cursors[topic] >= topic.first
        if topic.mode is Mode.STATE:
            return kept and topic in self._whole
        if not kept:
            raise Lost(topic.name, self._cursors[topic], topic.first - 1)
        return True

    def _settle(self, topic: Topic) -> None:
        """Nothing more of a topic is owed."""
        del self._cursors[topic]
        self._whole.discard(topic)
        self._held.pop(topic, None)

    def _serve(self, topic: Topic, entry: Entry) -> int:
        """Give an entry, behind a notice of those before it that are left out; returns the bytes of both."""
        size = self._tell_gap(topic, entry) if entry.offset > self._cursors[topic] else 0
        return size + self._append(self._readings[topic].frame(entry))

    def _tell_gap(self, topic: Topic, entry: Entry) -> int:
        """Give a notice that what is owed before an entry is left out."""
        cursor = self._cursors[topic]
        self.conflated += entry.offset - cursor
        self.gaps += 1
        self._cursors[topic] = entry.offset
        return self._append(self._readings[topic].gap(cursor, entry.offset - 1))

    def _append(self, frame: bytes, events: int = 1) -> int:
        if frame:  # nothing is what a reading says of entries that do not concern it
            self.chain = self.chain.then(frame, events)
        return len(frame)

    def _next(self, topic: Topic) -> int:
        """Give the first offset that has not left for the client."""
        if topic in self._cursors:
            return self._cursors[topic]
        return self._held[topic][0] if topic in self._held else topic.last + 1
