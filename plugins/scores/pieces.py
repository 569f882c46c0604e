"""Sequences that are noted in pieces, so that a change of one is a change of one piece.

Must not know what they are sequences of, nor who keeps the pieces.
"""

from __future__ import annotations

import bisect
import operator
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_LONGEST = 32  # items
_WIDTH = 15.0  # seconds
_DUE = operator.attrgetter("due")


class Due(Protocol):
    @property
    def due(self) -> float: ...


T = TypeVar("T")
D = TypeVar("D", bound=Due)


@attrs.define
class _Piece:
    number: int
    items: int


class Series(Generic[T]):
    """Grows at its end, and is let go of from its beginning. What is let go of within a piece may come back with it."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._pieces: deque[_Piece] = deque()
        self._changed: set[int] = set()
        self._gone: set[int] = set()
        self._next = 0

    def append(self, item: T) -> None:
        self.items.append(item)
        if not self._pieces or self._pieces[-1].items >= _LONGEST:
            self._pieces.append(_Piece(self._next, 0))
            self._next += 1
        self._pieces[-1].items += 1
        self._changed.add(self._pieces[-1].number)

    def drop(self, count: int) -> None:
        """Let go of the first ones."""
        del self.items[:count]
        while count > 0 and self._pieces:
            first = self._pieces[0]
            dropped = min(count, first.items)
            first.items -= dropped
            count -= dropped
            if not first.items:
                self._pieces.popleft()
                self._changed.discard(first.number)
                self._gone.add(first.number)

    def changes(self) -> Iterator[tuple[int, Sequence[T] | None]]:
        """Give the pieces that changed since this was asked last, by number; none for one that is let go of."""
        for number in self._gone:
            yield number, None
        end = len(self.items)
        for piece in reversed(self._pieces):
            if piece.number not in self._changed:
                break  # those before it did not change either
            yield piece.number, self.items[end - piece.items : end]
            end -= piece.items
        self._gone.clear()
        self._changed.clear()

    @property
    def pieces(self) -> Iterable[int]:
        """The numbers of all that may have been noted, and was not let go of."""
        return {*self._gone, *(piece.number for piece in self._pieces)}

    def recall(self, pieces: Mapping[int, Sequence[T]]) -> None:
        """Begin with what `changes` gave."""
        for number, items in sorted(pieces.items()):
            self.items += items
            self._pieces.append(_Piece(number, len(items)))
            self._next = number + 1


class Schedule(Generic[D]):
    """What is due, in the order of time. Its pieces are stretches of time."""

    def __init__(self) -> None:
        self.items: list[D] = []
        self._due: Counter[int] = Counter()
        self._changed: set[int] = set()
        self._noted: set[int] = set()

    def add(self, item: D) -> bool:
        """Give whether it is the first for its moment; others do not count."""
        place = bisect.bisect_left(self.items, item.due, key=_DUE)
        if place < len(self.items) and self.items[place].due == item.due:
            return False
        self.items.insert(place, item)
        self._due[_stretch(item)] += 1
        self._changed.add(_stretch(item))
        return True

    def pop(self) -> D:
        """Take the one that is due last."""
        item = self.items.pop()
        self._changed.add(_stretch(item))
        self._settle([item])
        return item

    def take(self, limit: float) -> list[D]:
        """Take those that were due before that. A piece stays as it is until nothing in it is due."""
        end = bisect.bisect_left(self.items, limit, key=_DUE)
        taken = self.items[:end]
        del self.items[:end]
        self._settle(taken)
        return taken

    def changes(self) -> Iterator[tuple[int, Sequence[D] | None]]:
        """Give the pieces that changed since this was asked last, by number; none for one in which nothing is due."""
        for number in self._noted - self._due.keys():
            yield number, None
        changed = self._changed & self._due.keys()
        for number in changed:
            begin = bisect.bisect_left(self.items, number, key=_stretch)
            end = bisect.bisect_right(self.items, number, key=_stretch)
            yield number, self.items[begin:end]
        self._noted = self._noted & self._due.keys() | changed
        self._changed.clear()

    @property
    def pieces(self) -> Iterable[int]:
        """The numbers of all that may have been noted, and was not let go of."""
        return self._noted

    def recall(self, pieces: Mapping[int, Sequence[D]], limit: float) -> None:
        """Begin with what `changes` gave, but for what was due before that."""
        items = (item for number in pieces for item in pieces[number] if item.due >= limit)
        self.items = sorted(items, key=_DUE)
        self._due.update(map(_stretch, self.items))
        self._noted = set(pieces)

    def _settle(self, items: Iterable[D]) -> None:
        for item in items:
            number = _stretch(item)
            self._due[number] -= 1
            if not self._due[number]:
                del self._due[number]


def _stretch(item: Due) -> int:
    return int(item.due // _WIDTH)
