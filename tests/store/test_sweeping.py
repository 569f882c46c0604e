"""Deleting what was let go of, a bounded part with each write."""

from __future__ import annotations

import itertools
import sqlite3
from typing import TYPE_CHECKING

import pytest

from appliance.store import schema, sweeping
from appliance.store.store import open_store
from appliance.store.sweeping import EVERYTHING, Departure, sweep
from tests.store.batches import batch, offsets, records

if TYPE_CHECKING:
    from pathlib import Path

MOST = 10


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    """Topics 1, 2 and 3 with 25 entries each."""
    monkeypatch.setattr(sweeping, "MOST_ROWS", MOST)
    made = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(made, 0)
    rows = [(topic, offset, 0, 0.0, 0.0, 0, b"") for topic in (1, 2, 3) for offset in range(1, 26)]
    made.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    return made


def left(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT topic, count(*) FROM entries GROUP BY topic"))


def noted(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("SELECT topic, upto FROM leftovers"))


def test_what_is_little_goes_at_once(connection: sqlite3.Connection) -> None:
    assert sweep(connection, [Departure(1, 0, 4), Departure(2, 0, 6)], {}) == {}
    assert left(connection) == {1: 21, 2: 19, 3: 25}
    assert noted(connection) == {}


def test_what_is_much_goes_in_parts_and_is_noted(connection: sqlite3.Connection) -> None:
    leftovers = sweep(connection, [Departure(1, 0, 22)], {})
    assert (leftovers, noted(connection), left(connection)[1]) == ({1: 22}, {1: 22}, 15)
    leftovers = sweep(connection, [], leftovers)
    assert (leftovers, noted(connection), left(connection)[1]) == ({1: 22}, {1: 22}, 5)
    leftovers = sweep(connection, [], leftovers)
    assert (leftovers, noted(connection), left(connection)[1]) == ({}, {}, 3)


def test_no_more_than_the_bound_goes_however_many_topics_depart(connection: sqlite3.Connection) -> None:
    leftovers: dict[int, int] = {}
    departures = [Departure(1, 0, 7), Departure(2, 0, EVERYTHING), Departure(3, 0, 8)]
    totals = [75]
    for _ in range(10):
        leftovers = sweep(connection, departures, leftovers)
        assert leftovers == noted(connection)
        departures = []
        totals.append(sum(left(connection).values()))
    assert all(before - after <= MOST for before, after in itertools.pairwise(totals))
    assert (leftovers, left(connection)) == ({}, {1: 18, 3: 17})


def test_many_topics_without_entries_do_not_go_all_at_once(connection: sqlite3.Connection) -> None:
    leftovers = sweep(connection, [Departure(topic, 0, EVERYTHING) for topic in range(100, 150)], {})
    assert len(leftovers) == 50 - MOST


def test_a_leftover_reaches_further_when_more_departs(connection: sqlite3.Connection) -> None:
    leftovers = sweep(connection, [Departure(1, 0, 22)], {})
    leftovers = sweep(connection, [Departure(1, 22, 24)], leftovers)
    assert (leftovers, left(connection)[1]) == ({1: 24}, 5)
    assert sweep(connection, [], leftovers) == {}
    assert left(connection)[1] == 1


@pytest.mark.parametrize("restarts", [True, False])
def test_leftovers_are_not_given_back_and_go_in_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    restarts: bool,  # noqa: FBT001 - a case
) -> None:
    monkeypatch.setattr(sweeping, "MOST_ROWS", MOST)
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 101)), records("signals:a", range(1, 31), number=101)))
    store.write(batch(firsts={"price:A": 81}))
    store.forget("signals")
    for turn in range(12):
        (kept,) = store.topics("price")
        assert offsets(kept) == [*range(81, 101), *range(101, 101 + turn)]
        if restarts:
            store.close()
            store = open_store(path, sync="full")
        store.write(batch(records("price:A", [101 + turn], number=131 + turn)))
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (32,)
        assert connection.execute("SELECT count(*) FROM leftovers").fetchone() == (0,)
    connection.close()


def test_the_file_becomes_small_again(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="normal")
    store.write(batch(records("price:A", range(1, 5_001), body=b"x" * 3_000)))
    store.write(batch(records("signals:a", [1], number=5_001)))
    store.close()
    large = path.stat().st_size
    assert large > 5_000 * 3_000
    store = open_store(path, sync="normal")
    store.forget("price")
    for offset in range(2, 32):
        store.write(batch(records("signals:a", [offset], number=5_000 + offset)))
    store.close()
    assert path.stat().st_size < large / 2
    store = open_store(path, sync="full")
    (kept,) = store.topics("signals")
    assert offsets(kept) == list(range(1, 32))
    store.close()
