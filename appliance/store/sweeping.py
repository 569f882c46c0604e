"""Deleting entries that were let go of, some at each write, so that no write waits for many.

Must not know why they were let go of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

MOST_ROWS: Final = 5_000
"""Entries that are deleted in one transaction."""
EVERYTHING: Final = 2**63 - 1
"""An offset that none is behind."""
_MOST_PAGES: Final = 256
"""Pages that are given back to the disk in one transaction."""
_FEW_PAGES: Final = 1_024
"""Free pages that are always kept for what comes."""
_SHARE: Final = 4
"""One page of so many may be free."""


@attrs.frozen
class Departure:
    """Entries of a topic that are let go of: those behind an offset, up to another."""

    topic: int
    behind: int
    upto: int


def sweep(
    connection: sqlite3.Connection, departures: Iterable[Departure], leftovers: Mapping[int, int]
) -> dict[int, int]:
    """Delete what there is time for, within a transaction; gives the leftovers: topics, and the offset of each up to
    which its entries are still to be deleted.
    """
    budget, left, at_once = MOST_ROWS, dict(leftovers), []
    for departure in departures:
        size = departure.upto - departure.behind
        if departure.topic not in left and size <= budget:
            at_once.append((departure.topic, departure.upto))
            budget -= size
        else:
            left[departure.topic] = max(departure.upto, left.get(departure.topic, 0))
    if at_once:
        connection.executemany("DELETE FROM entries WHERE topic = ? AND offset <= ?", at_once)
    for topic in list(left):
        if budget <= 0:
            break
        deleted, upto = _delete(connection, topic, left[topic], most=budget)
        budget -= max(1, deleted)
        if upto == left[topic]:
            del left[topic]
    _note(connection, leftovers, left)
    _give_back(connection)
    return left


def _delete(connection: sqlite3.Connection, topic: int, upto: int, *, most: int) -> tuple[int, int]:
    """Delete the oldest entries; gives how many they were, and up to where none is left."""
    bound = connection.execute(
        "SELECT offset FROM entries WHERE topic = ? AND offset <= ? ORDER BY offset LIMIT 1 OFFSET ?",
        (topic, upto, most - 1),
    ).fetchone()
    end = upto if bound is None else bound[0]
    rows = connection.execute("DELETE FROM entries WHERE topic = ? AND offset <= ?", (topic, end)).rowcount
    return rows, end


def _note(connection: sqlite3.Connection, before: Mapping[int, int], now: Mapping[int, int]) -> None:
    changed = now.items() - before.items()
    if changed:
        connection.executemany("INSERT OR REPLACE INTO leftovers VALUES (?, ?)", changed)
    if done := [(topic,) for topic in before.keys() - now.keys()]:
        connection.executemany("DELETE FROM leftovers WHERE topic = ?", done)


def _give_back(connection: sqlite3.Connection) -> None:
    """Make the file smaller when much of it is free: the rest is soon used again."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free <= _FEW_PAGES:
        return
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if free * _SHARE > pages:
        for _ in range(_MOST_PAGES):  # Python's module takes one step of this statement, which is one page
            connection.execute("PRAGMA incremental_vacuum(1)")
