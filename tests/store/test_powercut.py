"""What a power cut does to clients who come back: nothing where all is on disk, a new beginning where it may not be."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.store import powercut
from appliance.store.store import Store, open_store
from tests.store.batches import batch, contents, records

if TYPE_CHECKING:
    from appliance.store.powercut import Sync

HERE = "5e9a3a30-6d4c-4a6a-8b7e-0f54d1f3a9b1"
LATER = "c1b0c0de-17a1-4c6e-9f0c-6f0d2a7f7f55"


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kernel tells which boot this is."""
    path = tmp_path / "boot_id"
    path.write_text(f"{HERE}\n")
    monkeypatch.setattr(powercut, "_BOOT", path)
    return path


def crashed(folder: Path, sync: Sync) -> tuple[Store, Path]:
    """A store, and its file as it lies on the disk after the writes."""
    store = open_store(folder / "store.db", sync=sync)
    store.write(batch(records("price:A", [1, 2]), records("signals:a", [1], number=3), note={"where": 3}))
    copy = folder / "copy"
    copy.mkdir()
    for path in folder.glob("store.db*"):
        shutil.copy(path, copy)
    store.close()
    return store, copy / "store.db"


def epochs(store: Store) -> list[str]:
    return [kept.epoch for channel in ("price", "signals") for kept in store.topics(channel)]


@pytest.mark.parametrize("later", ["full", "normal"])
def test_what_may_be_lost_begins_anew_when_the_machine_went_down(
    tmp_path: Path, boot: Path, later: Sync
) -> None:
    before, path = crashed(tmp_path, "normal")
    boot.write_text(f"{LATER}\n")
    store = open_store(path, sync=later)
    assert store.identity != before.identity
    assert "e1" not in epochs(store)
    assert store.number == 3
    assert store.state("price") == {"where": 3}
    assert [len(kept.entries) for kept in store.topics("price")] == [2]
    identity, found = store.identity, epochs(store)
    store.close()
    again = open_store(path, sync=later)
    assert (again.identity, epochs(again)) == (identity, found)
    again.close()


def test_a_topic_that_began_anew_goes_on_in_its_new_epoch(tmp_path: Path, boot: Path) -> None:
    _, path = crashed(tmp_path, "normal")
    boot.write_text(f"{LATER}\n")
    store = open_store(path, sync="normal")
    (kept,) = store.topics("price")
    store.write(batch(records("price:A", [3], number=4, epoch=kept.epoch)))
    (after,) = store.topics("price")
    assert (after.epoch, [entry.offset for entry in after.entries]) == (kept.epoch, [1, 2, 3])
    store.close()


@pytest.mark.parametrize(("sync", "went_down"), [("normal", False), ("full", True), ("full", False)])
def test_otherwise_all_goes_on(tmp_path: Path, boot: Path, sync: Sync, went_down: bool) -> None:  # noqa: FBT001 - a case
    before, path = crashed(tmp_path, sync)
    if went_down:
        boot.write_text(f"{LATER}\n")
    store = open_store(path, sync="normal")
    assert (store.identity, epochs(store)) == (before.identity, ["e1", "e1"])
    store.close()


def test_what_was_closed_is_on_disk(tmp_path: Path, boot: Path) -> None:
    before, _ = crashed(tmp_path, "normal")
    boot.write_text(f"{LATER}\n")
    store = open_store(tmp_path / "store.db", sync="normal")
    assert (store.identity, epochs(store)) == (before.identity, ["e1", "e1"])
    store.close()


def test_what_was_before_a_start_that_flushes_is_on_disk(tmp_path: Path, boot: Path) -> None:
    before, path = crashed(tmp_path, "normal")
    open_store(path, sync="full").close()
    boot.write_text(f"{LATER}\n")
    store = open_store(path, sync="full")
    assert store.identity == before.identity
    store.close()


def test_where_boots_are_not_known_each_start_is_one(tmp_path: Path, boot: Path) -> None:
    boot.unlink()
    before, path = crashed(tmp_path, "normal")
    store = open_store(path, sync="normal")
    assert store.identity != before.identity
    store.close()


def test_a_kernel_tells_its_boot() -> None:
    """The text is the same each time, else each start would be a boot."""
    folder = Path(powercut._BOOT)
    assert folder.read_text() == folder.read_text() != ""


def test_numbers_and_entries_stay_as_they_are(tmp_path: Path, boot: Path) -> None:
    _, path = crashed(tmp_path, "normal")
    untouched = open_store(path, sync="normal")
    expected = contents(untouched)
    copy = tmp_path / "another"
    shutil.copytree(path.parent, copy)
    untouched.close()
    boot.write_text(f"{LATER}\n")
    store = open_store(copy / "store.db", sync="normal")
    number, topics, states = contents(store)
    assert (
        number,
        {name: attrs.evolve(kept, epoch="e1") for name, kept in topics.items()},
        states,
    ) == expected
    store.close()
    with sqlite3.connect(copy / "store.db") as connection:
        assert connection.execute("SELECT boot FROM head").fetchone() == ("",)
    connection.close()
