"""What an operator is told of a fault: one line that names the file, and a remedy that can be pasted."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
from pathlib import Path

import pytest

from appliance.core.errors import StoreError
from appliance.store import faults

PATH = Path("/var/lib/appliance/store.db")


def met(code: int) -> StoreError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return faults.explained(PATH, error)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "make room on the file system of /var/lib/appliance"),
        (sqlite3.SQLITE_BUSY, "stop that one"),
        (sqlite3.SQLITE_BUSY_RECOVERY, "stop that one"),
        (sqlite3.SQLITE_IOERR, "look at its health"),
        (sqlite3.SQLITE_IOERR_FSYNC, "as SQLite says it"),
        (sqlite3.SQLITE_READONLY, "let this user write it"),
        (sqlite3.SQLITE_CANTOPEN, "let this user write it"),
        (sqlite3.SQLITE_CORRUPT, "move the file away"),
        (sqlite3.SQLITE_CORRUPT_INDEX, "move the file away"),
        (sqlite3.SQLITE_NOTADB, "move the file away"),
        (sqlite3.SQLITE_ERROR, "move the file away"),
        (sqlite3.SQLITE_TOOBIG, "as SQLite says it"),
    ],
)
def test_each_fault_has_its_remedy(code: int, remedy: str) -> None:
    message = str(met(code))
    assert message.startswith(str(PATH))
    assert remedy in message
    assert "\n" not in message


def test_what_python_finds_in_a_file_is_a_damage_and_misuse_is_none() -> None:
    assert "is damaged (Could not decode)" in str(
        faults.explained(PATH, sqlite3.OperationalError("Could not decode"))
    )
    assert "is damaged" not in str(faults.explained(PATH, sqlite3.ProgrammingError("closed")))


def test_an_error_of_sqlite_becomes_one_of_the_store() -> None:
    with pytest.raises(StoreError, match="is damaged") as caught, faults.explaining(PATH):
        sqlite3.connect(":memory:").execute("SELECT 1 FROM nowhere")
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    with pytest.raises(KeyError), faults.explaining(PATH):
        raise KeyError


@pytest.mark.parametrize("name", ["store.db", "my store's.db"])
def test_the_command_moves_the_file_away_with_those_beside_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "my state"
    folder.mkdir()
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{name}{suffix}").touch()
    (folder / "api-key").touch()
    message = str(faults.damaged(folder / name, "bad page"))
    subprocess.run(["sh", "-c", message.split("`")[1]], check=True)
    assert sorted(found.name for found in folder.iterdir()) == ["api-key", "away"]
    assert len(list((folder / "away").iterdir())) == 3


def test_a_file_of_others_and_a_newer_one_are_told_apart() -> None:
    assert "is a database of another application: move it away" in str(
        faults.foreign(PATH, "a database of another application")
    )
    newer = str(faults.newer(PATH, 9, 1))
    assert "version 9" in newer
    assert "versions up to 1" in newer
    assert "run the newer appliance" in newer
    assert shlex.quote(str(PATH.parent)) in newer
