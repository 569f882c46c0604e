"""The file opened to be read: as it is, only while nobody has it, and without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.store import schema
from appliance.store.faults import DamagedError
from appliance.store.reading import interruptible, opened_to_read, size_on_disk
from appliance.store.store import open_store
from tests.store.batches import batch, records

if TYPE_CHECKING:
    from collections.abc import Callable

HOLDER = """
import sys
from pathlib import Path
from appliance.store.store import open_store
from tests.store.batches import batch, records
store = open_store(Path(sys.argv[1]), sync="full")
store.write(batch(records("price:A", range(1, 8))))
print("has it", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 6))))
    store.close()
    return path


def holding(path: Path, root: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def lying(folder: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in folder.iterdir()}


def count(path: Path) -> int:
    with opened_to_read(path) as connection:
        (found,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    return int(found)


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as caught, opened_to_read(path):
        pass
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_all_is_there_and_nothing_changes(path: Path) -> None:
    before = lying(path.parent)
    assert count(path) == 5
    assert lying(path.parent) == before


def test_nothing_can_be_written(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StoreError), opened_to_read(path) as connection:
        connection.execute("DELETE FROM entries")
    assert path.read_bytes() == before


def test_what_a_killed_one_left_in_its_log_is_there_and_stays_there(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "store.db"
    with holding(path, root) as holder:
        holder.kill()
    before = lying(tmp_path)
    assert len(before["store.db-wal"]) > 0
    assert count(path) == 7
    assert lying(tmp_path) == before
    assert size_on_disk(path) == len(before["store.db"]) + len(before["store.db-wal"])


def test_one_that_runs_is_named_and_not_disturbed(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "store.db"
    with holding(path, root) as holder:
        before = lying(tmp_path)
        message = refused(path)
        assert lying(tmp_path) == before
        holder.kill()
    named = f"({holder.pid})" if Path("/proc/locks").exists() else ""
    assert f"is open in another process {named}".rstrip() in message
    assert "stop that one" in message


def test_no_appliance_starts_on_it_meanwhile_but_others_may_read_it(path: Path, root: Path) -> None:
    names = set(lying(path.parent))
    with opened_to_read(path):
        done = subprocess.run(
            [sys.executable, "-c", HOLDER, str(path)], capture_output=True, text=True, cwd=root, check=False
        )
        assert "open in another process" in done.stderr
        reader = f"from tests.store.test_reading import count, Path; print(count(Path({str(path)!r})))"
        done = subprocess.run(
            [sys.executable, "-c", reader], capture_output=True, text=True, cwd=root, check=False
        )
        assert done.stdout == "5\n"
    assert set(lying(path.parent)) == names
    open_store(path, sync="full").close()


def test_a_log_that_came_meanwhile_is_not_taken_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when an appliance starts and is killed in between."""
    left = path.with_name("left")
    left.mkdir()
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [6], number=6)))
    for found in path.parent.glob("store.db*"):
        shutil.copy(found, left)
    store.close()
    connect = sqlite3.connect

    def late(*arguments: object, **options: object) -> sqlite3.Connection:
        shutil.copy(left / "store.db", path)
        shutil.copy(left / "store.db-wal", path.parent)
        return connect(*arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3, "connect", late)
    assert count(path) == 6
    monkeypatch.undo()
    assert path.with_name("store.db-wal").read_bytes() == (left / "store.db-wal").read_bytes()


def test_one_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    assert "is not there: an appliance makes it when it serves; name its folder" in refused(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_what_is_no_file_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "store.db"
    make(path)
    assert "is no file" in refused(path)


def test_an_empty_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch()
    assert "is empty: no appliance has kept anything in it" in refused(path)
    assert set(lying(tmp_path)) == {"store.db"}


@pytest.mark.parametrize(("more", "words"), [(1, "run the newer appliance"), (-1, "is empty")])
def test_one_of_another_version_is_told(path: Path, more: int, words: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.NEWEST + more}")
    connection.close()
    assert words in refused(path)


def test_one_of_an_older_version_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    names = set(lying(path.parent))
    assert f"is of version {schema.NEWEST - 1}, and this appliance reads version {schema.NEWEST}" in refused(
        path
    )
    assert set(lying(path.parent)) == names


def test_one_of_others_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE theirs (a)")
    theirs.close()
    assert "is a database of another application" in refused(path)


def test_one_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError) as caught, opened_to_read(path):
        pass
    assert caught.value.reason == "file is not a database"


def test_what_this_user_may_not_do_is_told(own_folder: Path) -> None:
    path = own_folder / "store.db"
    open_store(path, sync="full").close()
    path.chmod(0o000)
    assert "cannot be read (permission denied): be the user of the appliance, or root" in refused(path)
    path.chmod(0o400)
    own_folder.chmod(0o500)
    message = refused(path)
    assert "cannot be read where nothing can be written: be the user of the appliance, or root" in message
    assert f"copy it and {path.name}-wal" in message
    own_folder.chmod(0o000)
    assert "cannot be read (Permission denied)" in refused(path)


def test_a_name_is_of_any_characters(path: Path) -> None:
    folder = path.parent / "a?mode=rwc#%20 é"
    folder.mkdir()
    odd = path.rename(folder / path.name)
    assert count(odd) == 5


def test_what_the_reader_raises_comes_through(path: Path) -> None:
    names = set(lying(path.parent))
    with pytest.raises(KeyError), opened_to_read(path):
        raise KeyError
    with pytest.raises(DamagedError), opened_to_read(path) as connection:
        connection.execute("SELECT 1 FROM nowhere")
    assert set(lying(path.parent)) == names


def test_ctrl_c_ends_a_statement_that_takes_long() -> None:
    connection = sqlite3.connect(":memory:")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    pressed = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    pressed.start()
    with pytest.raises(KeyboardInterrupt), interruptible(connection):
        connection.execute(endless).fetchone()
    pressed.join()
    with pytest.raises(sqlite3.OperationalError, match="no such table"), interruptible(connection):
        connection.execute("SELECT 1 FROM nowhere")
