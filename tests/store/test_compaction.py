"""A store that is made small: what it holds is as before, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from appliance.core.errors import StoreError
from appliance.store import compaction, sweeping
from appliance.store.compaction import compact
from appliance.store.exporting import Selection, export
from appliance.store.flaws import Flaws
from appliance.store.inspection import inspect
from appliance.store.store import open_store
from tests.store.batches import batch, contents, records

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.batches import Contents

KILLED = """
import itertools, os, shutil, signal, sys
from pathlib import Path
from appliance.store import reading
from appliance.store.compaction import compact
from tests.store.test_compaction import exported, whole

reading._STEPS = 500  # so that it is also killed while SQLite works
path, original = map(Path, sys.argv[1:])
before = exported(original)
for place in itertools.count(step=7):
    shutil.copy(original, path)
    child = os.fork()
    if not child:
        calls = itertools.count()
        sys.setprofile(lambda *_: next(calls) < place or os.kill(os.getpid(), signal.SIGKILL))
        compact(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert whole(path), place
    assert exported(path) == before, place
    if os.WIFEXITED(status):
        assert os.waitstatus_to_exitcode(status) == 0, place
        print(place)
        break
"""
"""Kills one at every seventh call that it makes or returns from."""


WRITING = """
import os, sys, time
from pathlib import Path
from appliance.store.store import open_store
from tests.store.batches import batch, records
store = open_store(Path(sys.argv[1]), sync="full")
store.write(batch(records("price:A", [2_001], number=store.number + 1)))
print(store.number, flush=True)
"""


class Usage(NamedTuple):
    """As shutil tells it."""

    total: int
    used: int
    free: int


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def fill(path: Path, events: int = 2_000) -> Contents:
    """Keep events in turns in two topics, and let go of many, some of which are not deleted yet."""
    store = open_store(path, sync="full")
    for first in range(1, events, 100):
        store.write(
            batch(
                records("price:A", range(first, first + 100), number=first * 2, body=b"a" * 300),
                records("price:B", range(first, first + 100), number=first * 2 + 100, body=b"b" * 300),
                note={"where": first},
                firsts={"price:A": first - 100},
            )
        )
    store.write(batch(firsts={"price:B": events - 50}))
    found = contents(store)
    store.close()
    return found


def kept(path: Path) -> Contents:
    store = open_store(path, sync="full")
    found = contents(store)
    store.close()
    return found


def exported(path: Path) -> list[bytes]:
    return list(export(path, Selection(), Flaws(), found=lambda _: None))


def whole(path: Path) -> bool:
    return not inspect(path, tell=lambda _: None).flaws


def pragma(path: Path, name: str) -> int:
    connection = sqlite3.connect(path)
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    connection.close()
    return int(value)


def beside(path: Path) -> set[str]:
    return {found.name for found in path.parent.iterdir()}


def test_it_is_smaller_and_holds_what_it_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "MOST_ROWS", 10)
    before = fill(path)
    size = path.stat().st_size
    store = open_store(path, sync="full")
    identity = store.identity
    store.close()
    monkeypatch.undo()
    done = compact(path)
    assert (done.before, done.lacking) == (size, 0)
    assert done.after == path.stat().st_size < size / 10
    assert pragma(path, "freelist_count") == 0
    assert whole(path)
    assert beside(path) == {"store.db", "store.db-kept"}
    assert kept(path) == before
    store = open_store(path, sync="full")
    assert store.identity == identity
    store.write(batch(records("price:A", [2_001], number=before[0] + 1)))
    store.close()


def test_it_goes_on_as_a_store_does(path: Path) -> None:
    """What a file is born with: whose it is, and that it shrinks by itself."""
    fill(path)
    names = ("application_id", "user_version", "auto_vacuum", "page_size")
    before = [pragma(path, name) for name in names]
    compact(path)
    assert [pragma(path, name) for name in names] == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_doing_it_again_changes_nothing(path: Path) -> None:
    before = fill(path)
    size = compact(path).after
    done = compact(path)
    assert (done.before, done.after) == (size, size)
    assert kept(path) == before


def test_what_a_killed_one_left_in_its_log_is_kept(path: Path, tmp_path: Path) -> None:
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 51)), note={"where": 1}))
    found = contents(store)
    killed = tmp_path / "killed"
    killed.mkdir()
    for each in tmp_path.glob("store.db*"):
        shutil.copy(each, killed)
    store.close()
    done = compact(killed / "store.db")
    assert done.before > done.after  # the log counts
    assert beside(killed / "store.db") == {"store.db", "store.db-kept"}
    assert kept(killed / "store.db") == found


def test_one_that_runs_is_left_alone(path: Path) -> None:
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [1])))
    names = beside(path)
    with pytest.raises(StoreError, match="open in another process"):
        compact(path)
    assert beside(path) == names
    store.write(batch(records("price:A", [2], number=2)))
    store.close()


def test_one_that_is_not_there_is_not_made(path: Path) -> None:
    with pytest.raises(StoreError, match="is not there"):
        compact(path)
    assert beside(path) == set()


def test_without_room_only_free_parts_are_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_FEW_PAGES", 10**6)  # so that the store itself gives none back
    monkeypatch.setattr(compaction, "_PAGES_AT_ONCE", 7)
    before = fill(path)
    free = pragma(path, "freelist_count")
    inode = path.stat().st_ino
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 4096))
    done = compact(path)
    assert free > 20
    assert done.lacking > 0
    assert done.after == path.stat().st_size == done.lacking + 4096
    assert done.before - done.after >= free * 4096
    assert (pragma(path, "freelist_count"), path.stat().st_ino) == (0, inode)
    assert whole(path)
    assert kept(path) == before


def test_what_fails_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fill(path)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=r"store\.db-compact cannot be written \(Input/output error\)"):
        compact(path)
    monkeypatch.undo()
    assert beside(path) == {"store.db", "store.db-kept"}
    assert whole(path)
    assert kept(path) == before


def test_a_damaged_one_is_told_and_left(path: Path) -> None:
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 201), body=b"a" * 300)))
    store.close()
    content = path.read_bytes()
    place = content.index(b"a" * 300, len(content) // 2) // 4096 * 4096
    damaged = content[:place] + b"\xff" * 4096 + content[place + 4096 :]
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match="is damaged"):
        compact(path)
    assert beside(path) == {"store.db", "store.db-kept"}
    assert damaged[4096:] == path.read_bytes()[4096:]  # but for the page that says how it is written


def test_what_a_killed_one_left_does_not_stand_in_the_way(path: Path) -> None:
    before = fill(path)
    path.with_name("store.db-compact").write_bytes(b"half" * 10_000)
    compact(path)
    assert beside(path) == {"store.db", "store.db-kept"}
    assert kept(path) == before


def test_a_link_goes_on_leading_to_it(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "large disk"
    elsewhere.mkdir()
    before = fill(elsewhere / "store.db")
    path.symlink_to(elsewhere / "store.db")
    compact(path)
    assert path.is_symlink()
    assert beside(elsewhere / "store.db") == {"store.db", "store.db-kept"}
    assert kept(elsewhere / "store.db") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_its_owner_stays_its_owner(path: Path) -> None:
    fill(path)
    os.chown(path, 12_345, 54_321)
    compact(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12_345, 54_321, 0o600)


def test_nobody_gets_at_it_meanwhile(path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fill(path)
    attempt = "import sys; from pathlib import Path; from appliance.store.store import open_store\n"
    attempt += "open_store(Path(sys.argv[1]), sync='full')"
    told: list[str] = []
    fsync = os.fsync

    def meanwhile(file: int) -> None:
        if not told:  # the new one is written, and has not taken its place
            done = subprocess.run(
                [sys.executable, "-c", attempt, str(path)],
                capture_output=True,
                text=True,
                cwd=root,
                check=False,
            )
            told.append(done.stderr)
        fsync(file)

    monkeypatch.setattr(os, "fsync", meanwhile)
    compact(path)
    assert "is open in another process" in told[0]
    assert kept(path) == before


def test_one_that_starts_once_it_is_done_keeps_what_it_writes(path: Path, root: Path) -> None:
    """An appliance may open the new file while the old one is still being closed."""
    fill(path)
    compacting = f"""
import subprocess, sys
from pathlib import Path
from appliance.store import compaction
sync = compaction._sync
def started(path, flags):
    sync(path, flags)
    if path.is_dir():
        killing = {(WRITING + "os.kill(os.getpid(), 9)")!r}
        subprocess.run([sys.executable, "-c", killing, sys.argv[1]])
compaction._sync = started
compaction.compact(Path(sys.argv[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", compacting, str(path)], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stderr == ""
    number, topics, _ = kept(path)
    assert number == int(done.stdout)
    assert topics["price:A"].last == 2_001


@pytest.mark.parametrize(
    "ends", ["while True: time.sleep(1)", "os.kill(os.getpid(), 9)"], ids=["runs", "killed"]
)
def test_one_that_comes_in_between_is_left_alone(
    path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    number, _, _ = fill(path)
    come: list[subprocess.Popen[str]] = []

    class Late(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                command = [sys.executable, "-c", WRITING + ends, str(path)]
                come.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root))
                assert come[0].stdout is not None
                come[0].stdout.readline()
                if "kill" in ends:
                    come[0].wait()
            return super().execute(sql, *parameters)

    connect: Any = sqlite3.connect

    def late(*arguments: Any, **options: Any) -> Any:
        stores_own = "check_same_thread" in options
        return connect(*arguments, **options, **({} if stores_own else {"factory": Late}))

    monkeypatch.setattr(sqlite3, "connect", late)
    try:
        with pytest.raises(StoreError, match="is open in another process"):
            compact(path)
    finally:
        with come[0] as process:
            process.kill()
    monkeypatch.undo()
    assert "store.db-compact" not in beside(path)
    assert kept(path)[0] == number + 1


def test_nothing_is_touched_once_the_new_one_is_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside it then may be of an appliance that has started."""
    fill(path)
    theirs = [path.with_name(f"store.db-{ending}") for ending in ("wal", "shm", "journal")]
    fsync = os.fsync

    def late(file: int) -> None:
        fsync(file)
        if stat.S_ISDIR(os.fstat(file).st_mode):
            for found in theirs:
                assert not found.exists()
                found.write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", late)
    compact(path)
    assert [found.read_bytes() for found in theirs] == [b"theirs"] * 3


def test_killed_at_any_call_it_is_the_old_one_or_the_new_one(path: Path, root: Path) -> None:
    fill(path, events=300)
    original = path.rename(path.with_name("original.db"))
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(original)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.stderr == ""
    assert int(done.stdout) > 100
