"""The copy of a store that a newer version has changed, and the way back to it."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError, StoreInUseError
from appliance.store import header, schema, spare
from appliance.store.store import open_store
from tests.store.batches import batch, contents, offsets, records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.batches import Contents


def change(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE head ADD COLUMN more TEXT")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make this the appliance of the next version."""

    def make() -> None:
        monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, change))
        monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)

    return make


def filled(path: Path) -> Contents:
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 51)), note={"where": 50}))
    found = contents(store)
    store.close()
    return found


def upgraded(path: Path) -> None:
    """As the next version leaves it, with one event more."""
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [51], number=51)))
    store.close()


def test_a_copy_is_kept_before_a_file_is_brought_to_another_version(
    path: Path, newer: Callable[[], None]
) -> None:
    before = filled(path)
    assert [each.name for each in path.parent.iterdir() if "version" in each.name] == []
    newer()
    upgraded(path)
    copy = spare.place(path, 1)
    assert (header.version(path), header.version(copy)) == (2, 1)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (50,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    store = open_store(path, sync="full")
    assert store.number == before[0] + 1
    store.close()


def test_a_new_file_needs_no_copy(path: Path, newer: Callable[[], None]) -> None:
    newer()
    open_store(path, sync="full").close()
    assert not list(path.parent.glob("*version*"))


def test_where_no_copy_can_be_kept_the_file_stays_as_it_is(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    newer()
    spare.place(path, 1).mkdir()  # in its way
    with pytest.raises(StoreError, match=r"store\.db-copy cannot be written"):
        open_store(path, sync="full")
    assert header.version(path) == 1
    spare.place(path, 1).rmdir()
    monkeypatch.setattr(os, "open", _full(os.open))
    with pytest.raises(StoreError, match="No space left"):
        open_store(path, sync="full")
    monkeypatch.undo()
    assert header.version(path) == 1
    assert not list(path.parent.glob("*-copy"))


def _full(real: Callable[..., int]) -> Callable[..., int]:
    def opened(path: str | os.PathLike[str], *words: int, **more: int) -> int:
        if str(path).endswith("-copy"):
            raise OSError(28, "No space left on device")
        return real(path, *words, **more)

    return opened


def test_the_appliance_before_goes_back_to_the_copy_and_topics_begin_anew(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    number, topics, state = filled(path)
    newer()
    upgraded(path)
    monkeypatch.undo()
    assert spare.newest(path) == 1
    assert spare.revert(path) == 1
    assert header.version(path) == 1
    assert header.version(spare.place(path, 2)) == 2  # nothing is thrown away
    assert not spare.place(path, 1).exists()
    store = open_store(path, sync="full")
    found = contents(store)
    assert (found[0], found[2]) == (number, state)
    assert offsets(found[1]["price:A"]) == offsets(topics["price:A"])
    assert found[1]["price:A"].epoch != topics["price:A"].epoch
    store.close()
    assert spare.revert(path) is None


def test_and_forward_again(path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    newer()
    upgraded(path)
    monkeypatch.undo()
    spare.revert(path)
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, change))
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    upgraded(path)
    assert (header.version(path), header.version(spare.place(path, 1))) == (2, 1)


def test_what_a_killed_appliance_left_in_its_log_is_no_part_of_the_copy(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    newer()
    child = os.fork()
    if not child:
        store = open_store(path, sync="full")
        store.write(batch(records("price:A", [51], number=51)))
        os._exit(0)  # without closing it
    os.waitpid(child, 0)
    assert path.with_name("store.db-wal").stat().st_size > 0
    monkeypatch.undo()
    assert spare.revert(path) == 1
    store = open_store(path, sync="full")
    assert store.number == 50
    store.close()
    with sqlite3.connect(spare.place(path, 2)) as aside:
        assert aside.execute("SELECT count(*) FROM entries").fetchone() == (51,)
    aside.close()


@pytest.mark.parametrize("step", ["hardlink_to", "replace"])
def test_cut_short_it_can_be_done_again(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    filled(path)
    newer()
    upgraded(path)
    monkeypatch.undo()
    with monkeypatch.context() as failing:
        failing.setattr(type(path), step, _failing)
        with pytest.raises(StoreError, match=r"cannot be replaced \(Input/output error\)"):
            spare.revert(path)
    assert header.version(path) == 2
    assert spare.revert(path) == 1
    store = open_store(path, sync="full")
    assert store.number == 50
    store.close()


def _failing(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_one_that_is_not_newer_stays(path: Path) -> None:
    assert spare.revert(path) is None
    before = filled(path)
    assert spare.revert(path) is None
    store = open_store(path, sync="full")
    assert contents(store) == before
    store.close()


def test_without_a_copy_there_is_no_way_back(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    newer()
    upgraded(path)
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"is of version 2.*no copy from before is there"):
        spare.revert(path)


def test_one_that_an_appliance_has_is_left_to_it(
    path: Path, newer: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    newer()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        store = open_store(path, sync="full")
        store.write(batch(records("price:A", [51], number=51)))
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    try:
        _wait_for_version(path)
        monkeypatch.undo()
        with pytest.raises(StoreInUseError, match=rf"is open in another process \({child}\)"):
            spare.revert(path)
    finally:
        os.close(writing)
        os.waitpid(child, 0)
    assert header.version(path) == 2


def _wait_for_version(path: Path) -> None:
    while header.version(path) != 2:
        os.sched_yield()
