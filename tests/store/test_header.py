"""The version of a file is told by its first bytes, also while an appliance has it."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.store import header, schema
from appliance.store.store import open_store
from tests.store.batches import batch, records

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_file_that_an_appliance_has_is_of_its_version(path: Path) -> None:
    store = open_store(path, sync="full")
    # By another process: in this one, closing the file would give up the locks on it.
    for _ in range(2):
        assert os.waitstatus_to_exitcode(_ask(path)) == schema.NEWEST
        store.write(batch(records("price:A", [1])))
    store.close()
    assert header.version(path) == schema.NEWEST


def _ask(path: Path) -> int:
    child = os.fork()
    if not child:
        os._exit(header.version(path) or 0)
    return os.waitpid(child, 0)[1]


def test_a_file_of_a_newer_appliance_is_of_that_version(path: Path) -> None:
    open_store(path, sync="full").close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    assert header.version(path) == 7


def test_where_there_is_none_there_is_no_version(path: Path) -> None:
    assert header.version(path) is None
    path.touch()
    assert header.version(path) is None


def test_one_that_is_just_made_has_no_version_yet(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert header.version(path) == 0


@pytest.mark.parametrize("content", [b"x", b"SQLite format 3\0", b"no database" * 100])
def test_what_begins_otherwise_is_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        header.version(path)


def test_a_database_of_others_is_told(path: Path) -> None:
    with sqlite3.connect(path) as theirs:
        theirs.execute("PRAGMA user_version = 1")
    theirs.close()
    with pytest.raises(StoreError, match="of another application"):
        header.version(path)


def test_a_file_that_is_not_for_us_is_told(own_folder: Path) -> None:
    path = own_folder / "store.db"
    open_store(path, sync="full").close()
    path.chmod(0o000)
    with pytest.raises(StoreError, match=r"cannot be read \(Permission denied\)"):
        header.version(path)
