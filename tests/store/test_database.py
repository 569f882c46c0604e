"""The file itself: who may read it, whose it is, and what is said of one that cannot be used."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.store import schema
from appliance.store.store import open_store
from tests.store.batches import batch, contents, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.batches import Contents

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(path, sync="full")
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def filled(path: Path) -> Contents:
    store = open_store(path, sync="full")
    store.write(
        batch(
            records("price:A", range(1, 151), body=b"a" * 200),
            records("price:B", range(1, 4), number=151, body=b"b" * 9_000),
            note={f"seen/{place}": "x" * 100 for place in range(200)},
        )
    )
    found = contents(store)
    store.close()
    return found


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_all_files_are_for_their_owner_only(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        store = open_store(path, sync="full")
        store.write(batch(records("price:A", [1])))
    finally:
        os.umask(before)
    assert {found.name: mode(found) for found in path.parent.iterdir()} == {
        "store.db": 0o600,
        "store.db-kept": 0o600,
        "store.db-wal": 0o600,
    }
    store.close()


def test_an_empty_file_is_begun(path: Path) -> None:
    path.touch()
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [1])))
    assert store.number == 1
    store.close()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "cannot be made" in refused(tmp_path / "nowhere" / "store.db")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_what_is_no_file_is_told(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    assert "is no file: move it away" in refused(path)


def test_a_folder_that_takes_no_file_is_told(own_folder: Path) -> None:
    own_folder.chmod(0o500)
    assert f"let this user write {own_folder}" in refused(own_folder / "store.db")


def test_a_file_that_cannot_be_written_is_told(own_folder: Path) -> None:
    path = own_folder / "store.db"
    filled(path)
    path.chmod(0o400)
    assert "let this user write it" in refused(path)
    path.chmod(0o600)
    own_folder.chmod(0o500)  # the log beside it cannot be made
    assert "let this user write it and the folder" in refused(path)
    own_folder.chmod(0o700)
    open_store(path, sync="full").close()


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE theirs (a)", "PRAGMA user_version = 7", "PRAGMA application_id = 1234"]
)
def test_a_database_of_others_is_refused_and_left_as_it_is(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as theirs:
        theirs.execute(statement)
    theirs.close()
    before = path.read_bytes()
    assert "is a database of another application: move it away" in refused(path)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_file_of_a_newer_appliance_is_refused_and_left_as_it_is(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {schema.NEWEST + 1}")
    newer.close()
    before = path.read_bytes()
    message = refused(path)
    assert f"of version {schema.NEWEST + 1}" in message
    assert "run the newer appliance" in message
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no database", b"SQLite format 3\0", random.Random(1).randbytes(3 * PAGE)]
)
def test_a_file_of_anything_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    message = refused(path)
    assert re.search("damaged|another application", message)
    assert path.read_bytes() == content


def test_the_remedy_for_a_damaged_file_holds(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    (path.parent / "store.db-wal").write_bytes(b"of it")
    message = refused(path)
    assert os.system(message.split("`")[1]) == 0  # noqa: S605 - as an operator would paste it
    store = open_store(path, sync="full")
    assert store.number == 0
    store.close()


@pytest.mark.parametrize("fill", [b"\0" * PAGE, b"\xff" * PAGE, random.Random(2).randbytes(PAGE)])
def test_a_damaged_page_is_told_or_does_not_matter(path: Path, fill: bytes) -> None:
    expected = filled(path)
    whole = path.read_bytes()
    told = 0
    for place in range(0, len(whole), PAGE):
        path.write_bytes(whole[:place] + fill + whole[place + PAGE :])
        told += damage_is_told(path, expected)
    assert told > len(whole) // PAGE - 8


def test_a_truncated_file_is_told(path: Path) -> None:
    expected = filled(path)
    whole = path.read_bytes()
    for size in (*range(PAGE, len(whole), PAGE), len(whole) - 1, 100, 17):
        path.write_bytes(whole[:size])
        assert damage_is_told(path, expected), size


def damage_is_told(path: Path, expected: Contents) -> bool:
    """Whether reading everything is refused; else it is all there."""
    try:
        store = open_store(path, sync="full")
        try:
            whole = contents(store) == expected  # apart, because telling all of the difference takes long
            assert whole
        finally:
            store.close()
    except StoreError as error:
        assert str(path) in str(error)  # noqa: PT017 - some do not raise
        assert "move" in str(error)  # noqa: PT017 - as above
        return True
    return False


def test_a_table_that_is_missing_is_told(path: Path) -> None:
    for table in ("head", "topics", "leftovers"):
        filled(path)
        with sqlite3.connect(path) as connection:
            connection.execute(f"DROP TABLE {table}")
        connection.close()
        assert "is damaged" in refused(path)
        path.unlink()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM head",
        "DELETE FROM entries WHERE offset = 2",
        "UPDATE entries SET body = x'00' WHERE offset = 2",
        "UPDATE entries SET body = 'text' WHERE offset = 2",
        "UPDATE topics SET last = last + 1",
        "UPDATE state SET value = '{'",
        "UPDATE topics SET epoch = CAST(x'ff' AS TEXT)",
    ],
)
def test_contents_that_do_not_fit_are_told(path: Path, statement: str) -> None:
    expected = filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert damage_is_told(path, expected)
