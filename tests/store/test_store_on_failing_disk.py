"""The store on a disk that is full or fails, at each single call of a write: all or nothing, and it is known which."""

from __future__ import annotations

import itertools
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.store import database
from appliance.store.store import Store, open_store
from tests.store.batches import batch, contents, records
from tests.store.failing_disk import BROKEN, FULL, UNFLUSHED, FailingDisk, failing_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.core.kept import Batch
    from tests.store.batches import Contents

FAILURES = {"full": FULL, "broken": BROKEN, "unflushed": UNFLUSHED}
FOR_EVER = sys.maxsize
LARGE = b"x" * 3_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    with failing_disk() as disk:
        yield disk


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is moved to the file with each write."""
    monkeypatch.setattr(database, "CHECKPOINT", 1)


def begun(path: Path) -> Store:
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 7), body=LARGE), note={"where": 1, "seen": [1]}))
    return store


def change(number: int = 7) -> Batch:
    return batch(
        records("price:A", range(7, 12), number=number, body=LARGE),
        records("price:B", [1], number=number + 5, body=LARGE * 5),
        note={"where": 2, "seen": None},
        firsts={"price:A": 4},
    )


def another() -> Batch:
    """What is written next has the numbers and offsets of what was not kept."""
    return batch(records("price:A", [7], number=7, epoch="e1"), note={"where": 3})


def outcome(folder: Path, *batches: Batch) -> Contents:
    """What a store holds that was given these without a failure."""
    store = begun(folder / "outcome.db")
    try:
        for each in batches:
            store.write(each)
        return contents(store)
    finally:
        store.close()
        (folder / "outcome.db").unlink()


def as_found(path: Path, folder: Path) -> Contents:
    """What a start would find now if the process died, with all that it has asked the disk to write."""
    shutil.copytree(path.parent, folder)
    store = open_store(folder / path.name, sync="full")
    try:
        return contents(store)
    finally:
        store.close()
        shutil.rmtree(folder)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("times", [1, FOR_EVER], ids=["once", "until it is healed"])
@pytest.mark.parametrize("how", FAILURES)
def test_a_write_is_whole_or_refused_whichever_call_fails(
    memory: Path, disk: FailingDisk, how: str, times: int
) -> None:
    before, after = outcome(memory), outcome(memory, change())
    refused_then_another = outcome(memory, another())
    refusals = 0
    for place in itertools.count():
        path = memory / f"{place}" / "store.db"
        path.parent.mkdir()
        store = begun(path)
        disk.fail(FAILURES[how], after=place, times=times)
        try:
            store.write(change())
        except StoreError as error:
            failed, refusals = True, refusals + 1
            assert str(path) in str(error)  # noqa: PT017 - most do not raise
        else:
            failed = False
        failures = disk.failures
        disk.heal()
        assert as_found(path, memory / "copy") in ((before, after) if failed else (after,))
        if failed:
            assert contents(store) == before
            store.write(another())
        expected = refused_then_another if failed else after
        assert contents(store) == expected
        assert as_found(path, memory / "copy") == expected
        store.close()
        reopened = open_store(path, sync="full")
        assert contents(reopened) == expected
        reopened.close()
        if not failures:
            break
    assert refusals


@pytest.mark.parametrize("how", ["full", "broken"])
def test_a_start_that_fails_leaves_what_the_next_one_takes(memory: Path, disk: FailingDisk, how: str) -> None:
    for place in itertools.count():
        path = memory / f"{place}" / "store.db"
        path.parent.mkdir()
        disk.fail(FAILURES[how], after=place)
        try:
            store = open_store(path, sync="full")
        except StoreError as error:
            assert str(path) in str(error)  # noqa: PT017 - the last one does not raise
            disk.heal()
            store = open_store(path, sync="full")
        failures = disk.failures
        disk.heal()
        store.write(batch(records("price:A", [1])))
        store.close()
        if not failures and place > 20:
            break


def test_a_full_disk_names_its_remedy_and_nothing_else_is_needed(path: Path, disk: FailingDisk) -> None:
    store = begun(path)
    before = contents(store)
    disk.fail(FULL)
    for _ in range(3):
        with pytest.raises(StoreError, match=f"disk is full: make room on the file system of {path.parent}"):
            store.write(change())
    assert contents(store) == before
    disk.heal()
    store.write(change())
    assert store.number == 12
    store.close()


def test_it_starts_on_a_full_disk(path: Path, disk: FailingDisk) -> None:
    begun(path).close()
    disk.fail(FULL)
    store = open_store(path, sync="full")
    assert store.number == 6
    with pytest.raises(StoreError, match="disk is full"):
        store.write(change())
    disk.heal()
    store.write(change())
    store.close()


def test_a_disk_that_cannot_take_the_log_at_the_end_loses_nothing(path: Path, disk: FailingDisk) -> None:
    store = begun(path)
    store.write(change())
    expected = contents(store)
    disk.fail(FULL)
    store.close()
    disk.heal()
    reopened = open_store(path, sync="full")
    assert contents(reopened) == expected
    reopened.close()


def test_a_disk_that_does_not_read_is_told_and_read_again(path: Path, disk: FailingDisk) -> None:
    begun(path).close()
    store = open_store(path, sync="full")
    disk.fail(BROKEN)
    for read in (store.topics, store.state):
        with pytest.raises(StoreError, match="does not read or write it"):
            read("price")
    with pytest.raises(StoreError, match="does not read or write it"):
        store.write(change())
    disk.heal()
    assert store.state("price") == {"where": 1, "seen": [1]}
    store.write(change())
    assert store.number == 12
    store.close()


def test_a_failure_does_not_let_others_in(path: Path, disk: FailingDisk) -> None:
    store = begun(path)
    disk.fail(FULL)
    with pytest.raises(StoreError):
        store.write(change())
    disk.heal()
    with pytest.raises(StoreError, match="open in another process"):
        open_store(path, sync="full")
    store.close()


def test_what_is_written_is_flushed_as_promised(path: Path, disk: FailingDisk) -> None:
    for sync, flushed in (("full", True), ("normal", False)):
        store = open_store(path, sync=sync)  # type: ignore[arg-type] # the names are those of the type
        number = store.number
        # The first one after a start begins the log, which is flushed in any case.
        store.write(batch(records(f"price:{sync}", [1], number=number + 1)))
        disk.heal()
        for offset in range(2, 12):
            store.write(batch(records(f"price:{sync}", [offset], number=number + offset)))
        assert disk.calls["sync"] == (10 if flushed else 0)
        store.close()


def test_a_channel_of_which_nothing_is_kept_costs_nothing_to_forget(path: Path, disk: FailingDisk) -> None:
    store = begun(path)
    disk.heal()
    store.forget("signals")
    assert disk.calls["write"] == 0
    store.close()


LIMITED = """
import resource, sys
from pathlib import Path
from appliance.core.errors import StoreError
from appliance.store.store import open_store
from tests.store.batches import batch, contents, records
path = Path(sys.argv[1])
store = open_store(path, sync="full")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
offset = 0
try:
    while True:
        store.write(batch(records("price:A", [offset + 1], number=offset + 1, body=b"x" * 10_000)))
        offset += 1
except StoreError as error:
    print(error)
held = contents(store)
assert store.number == offset > 0, (store.number, offset)
try:
    store.write(batch(records("price:A", [offset + 1], number=offset + 1, body=b"x" * 10_000)))
except StoreError:
    assert contents(store) == held
else:
    raise SystemExit("there was no room")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.write(batch(records("price:A", [offset + 1], number=offset + 1)))
store.close()
print(offset + 1)
"""


def test_it_goes_on_when_the_kernel_gives_it_room_again(path: Path, root: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        cwd=root,
    )
    message, last = done.stdout.splitlines()
    assert message.startswith(f"{path}: ")
    store = open_store(path, sync="full")
    assert store.number == int(last)
    (kept,) = store.topics("price")
    assert [entry.number for entry in kept.entries] == list(range(1, int(last) + 1))
    store.close()
