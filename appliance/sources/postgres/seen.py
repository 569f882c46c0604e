"""Which rows within a window of time have been told: so that each is told once, and a late one is known for what it is.

Must not know the database. It is made from what was noted, and gives what is to be noted with the rows that are told.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from appliance.sources.postgres.rows import Head

EDGE = "edge"
_PAGE = "seen/"
_MOST_ON_A_PAGE = 10_000
_LONGEST = 40
"""Identities of more characters are told apart by their hash."""


class Seen:
    """The rows from `edge` on that were told. `edge` is in microseconds since 1970.

    What is noted are pages, each a list of tags: a page is taken away when the edge has passed all of them.
    A row is told apart by its identity and its time, so that the same one with another time is another.
    """

    def __init__(self, state: Mapping[str, Any], *, span: int) -> None:
        """Take up what was noted before, `edge` at the least. No page spans more than so many microseconds."""
        self.edge: int = state[EDGE]
        self._span = span
        self._times: dict[str, int] = {}
        self._by_time: list[tuple[int, str]] = []
        self._hashes: dict[str, int] = {}
        self._sum = 0
        self._pages: list[tuple[int, str]] = []
        self._gone: list[str] = []
        self._next = 0
        for name in state:
            if name.startswith(_PAGE):
                self._add_page(name, state[name])
                self._next = max(self._next, int(name.removeprefix(_PAGE)) + 1)

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, head: Head) -> bool:
        return _tag(head) in self._times

    @property
    def digest(self) -> tuple[int, int]:
        """How many of these rows the table should have, and the sum of their hashes."""
        return len(self._hashes), self._sum

    def tell(self, heads: Iterable[Head]) -> dict[str, Any]:
        """Take note of rows that are told; gives what is to be noted with them."""
        told = {
            _tag(head): head.hash for head in heads if head.micros is not None and head.micros >= self.edge
        }
        note: dict[str, Any] = {EDGE: self.edge, **dict.fromkeys(self._gone)}
        self._gone.clear()
        for page in self._paged(sorted(told.keys() - self._times.keys(), key=_time)):
            name = f"{_PAGE}{self._next}"
            self._next += 1
            self._add_page(name, page)
            note[name] = page
        for tag, number in told.items():
            if tag not in self._hashes:
                self._hashes[tag] = number
                self._sum += number
        return note

    def expire(self, edge: int) -> None:
        """Let go of rows before the edge, which never goes back."""
        self.edge = max(self.edge, edge)
        while self._by_time and self._by_time[0][0] < self.edge:
            _, tag = heapq.heappop(self._by_time)
            if self._times.pop(tag, None) is not None:
                self._sum -= self._hashes.pop(tag, 0)
        while self._pages and self._pages[0][0] < self.edge:
            self._gone.append(heapq.heappop(self._pages)[1])

    def expect(self, hashes: Mapping[str, int]) -> None:
        """Expect these rows in the table, by their tags, and no others that were told."""
        self._hashes = {tag: number for tag, number in hashes.items() if tag in self._times}
        self._sum = sum(self._hashes.values())

    def _add_page(self, name: str, tags: Sequence[str]) -> None:
        heapq.heappush(self._pages, (max(map(_time, tags)), name))
        for tag in tags:
            if tag not in self._times:
                self._times[tag] = _time(tag)
                heapq.heappush(self._by_time, (_time(tag), tag))

    def _paged(self, tags: Sequence[str]) -> Iterator[list[str]]:
        """Part tags, which are in the order of time. A single row of the far future must not keep all others."""
        page: list[str] = []
        for tag in tags:
            if page and (len(page) == _MOST_ON_A_PAGE or _time(tag) - _time(page[0]) > self._span):
                yield page
                page = []
            page.append(tag)
        if page:
            yield page


class Comparison:
    """Goes through the rows that the table has within the window; then it knows which of those told are still there."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._there: dict[str, int] = {}

    def missing(self, heads: Iterable[Head]) -> list[Head]:
        """Give those that were never told."""
        found = list(heads)
        self._there.update((_tag(head), head.hash) for head in found)
        return [head for head in found if head not in self._seen]

    def finish(self) -> None:
        """Expect those from now on. A row that has been deleted is not told again should it come back."""
        self._seen.expect(self._there)


def _tag(head: Head) -> str:
    """Time and identity. The time comes first, so that it can be read from it."""
    identity = head.identity
    if len(identity) > _LONGEST:
        identity = hashlib.sha256(identity.encode()).hexdigest()[:_LONGEST]
    return f"{head.micros} {identity}"


def _time(tag: str) -> int:
    return int(tag.partition(" ")[0])
