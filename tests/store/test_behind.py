"""The mark of a store that is behind what clients were told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.core.events import Entry
from appliance.core.kept import Batch, Record
from appliance.store.behind import Mark
from appliance.store.store import open_store

if TYPE_CHECKING:
    from pathlib import Path


def record(offset: int) -> Record:
    return Record("c", "c:a", "first", Entry(offset, 1.0, 1.0, b"{}", number=offset))


def epochs(path: Path) -> tuple[str, str, int]:
    store = open_store(path, sync="full")
    (kept,) = store.topics("c")
    found = kept.epoch, store.identity, kept.last
    store.close()
    return found


def test_positions_end_when_the_process_ended_behind(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(Batch(records=[record(1)]))
    store.close()
    first, identity, _ = epochs(path)
    assert first == "first"
    store = open_store(path, sync="full")
    store.fall_behind()
    store.close()
    second, other, last = epochs(path)
    assert (second != first, other != identity, last) == (True, True, 1)
    assert epochs(path) == (second, other, 1)


def test_who_has_caught_up_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(Batch(records=[record(1)]))
    store.fall_behind()
    store.write(Batch(records=[record(2)]))
    store.catch_up()
    store.close()
    assert epochs(path)[0] == "first"
    assert epochs(path)[2] == 2


def test_positions_end_when_they_are_expected_to(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Mark(path).expect_behind()
    store = open_store(path, sync="full")
    store.write(Batch(records=[record(1)]))
    store.close()
    first, _, _ = epochs(path)
    assert first == "first"
    for _ in range(2):
        Mark(path).expect_behind()
    second, _, last = epochs(path)
    assert (second != first, last) == (True, 1)
    assert epochs(path)[0] == second
