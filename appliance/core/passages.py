"""Passages: stretches of a topic's history as clients are told of them, joined to one frame.

Many who catch up with the same history are given the same passages, whichever offset each of them begins at. Must not
know who is told.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from appliance.core.events import Entry
    from appliance.core.history import Topic

BLOCK: Final = 64
"""Entries of a passage at most: it ends where the offsets reach a multiple."""
_LARGE: Final = 16_384
"""Bytes at which a passage ends before that."""
_MOST_BYTES: Final = 16 * 1024**2
PLACE: Final = 512
"""Bytes that a passage takes on the shelf beside its frame, which may be empty."""


@attrs.frozen
class Passage:
    """Ends with the offset `last`; `events` is how many of its entries are told."""

    last: int
    frame: bytes
    events: int


def read(topic: Topic, first: int, render: Callable[[Entry], bytes], *, block: int = BLOCK) -> Passage:
    """Render what a topic has from an offset on that it keeps, to the end of the passage."""
    frames, size, last = [], 0, first
    for entry in itertools.islice(topic.after(first - 1), end(topic, first, block=block) - first + 1):
        last = entry.offset
        if frame := render(entry):  # nothing is what is said of entries that do not concern the reader
            frames.append(frame)
            size += len(frame)
        if size >= _LARGE:
            break
    return Passage(last, b"".join(frames), len(frames))


def end(topic: Topic, first: int, *, block: int = BLOCK) -> int:
    """Give the offset with which the passage ends that begins with another, unless it grows large before."""
    return min(topic.last, first + -first % block)


class Shelf:
    """Keeps the passages that were asked for last, as far as they fit in so many bytes."""

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._passages: OrderedDict[Hashable, Passage] = OrderedDict()

    def take(self, name: Hashable, make: Callable[[], Passage]) -> Passage:
        """Give the passage of a name, which is made where it is not there."""
        passages = self._passages
        passage = passages.get(name)
        if passage is not None:
            passages.move_to_end(name)
            return passage
        passage = passages[name] = make()
        self._size += PLACE + len(passage.frame)
        while self._size > self._most:
            _, gone = passages.popitem(last=False)
            self._size -= PLACE + len(gone.frame)
        return passage
