"""What a start of this version would meet."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

import appliance
from appliance.cli import outlook
from appliance.cli.serving import Request
from appliance.store import schema, spare
from appliance.store.store import open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "appliance.toml"
    written.write_text("[limits]\nsessions = 10\n")
    return written


def look(file: Path | None, folder: Path, *overrides: str) -> dict[str, Any]:
    return outlook.look(
        Request(file=file, listen=(), overrides=overrides, state_dir=str(folder), environment={})
    )


def set_version(path: Path, version: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_all_is_good_and_nothing_is_made(file: Path, folder: Path) -> None:
    found = look(file, folder)
    assert found["version"] == appliance.__version__
    assert (found["mistakes"], found["warnings"], found["store"]) == ([], [], None)
    assert "price" in found["channels"]
    assert list(folder.iterdir()) == []


def test_without_a_file_it_is_the_embedded_default(folder: Path) -> None:
    assert look(None, folder)["mistakes"] == []


def test_mistakes_are_told_all_at_once_with_those_of_plugins(
    file: Path, folder: Path, tmp_path: Path
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text("import nothing_that_is_there\n")
    file.write_text(f'plugins_dir = ["{plugins}"]\n[limits]\nsesions = 1\nconnections = -1\n')
    told = "\n".join(look(file, folder)["mistakes"])
    assert "limits.sesions" in told
    assert "limits.connections" in told
    assert "nothing_that_is_there" in told


def test_a_file_that_is_no_toml_is_a_mistake(file: Path, folder: Path) -> None:
    file.write_text("[limits\n")
    (told,) = look(file, folder)["mistakes"]
    assert str(file) in told


def test_warnings_are_no_mistakes(file: Path, folder: Path) -> None:
    found = look(file, folder, "limits.sessions=20000")
    assert found["mistakes"] == []


def test_a_store_of_this_version_goes_on(file: Path, folder: Path) -> None:
    open_store(folder / "store.db", sync="full").close()
    assert look(file, folder)["store"] == {
        "folder": str(folder),
        "version": schema.NEWEST,
        "becomes": schema.NEWEST,
        "reverted": None,
        "problem": None,
    }


def test_an_older_store_is_brought_up_to_date(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(folder / "store.db", sync="full").close()
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    store = look(file, folder)["store"]
    assert (store["version"], store["becomes"], store["problem"]) == (1, 2, None)


def test_a_disk_without_room_for_the_copy_is_a_problem(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(folder / "store.db", sync="full").close()
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    with (folder / "store.db").open("r+b") as grown:
        grown.truncate(2**43)  # of which nothing is on the disk
    problem = look(file, folder)["store"]["problem"]
    assert "a copy of it kept: make room for 8.8 TB on the file system of" in problem


def test_a_newer_store_is_a_problem(file: Path, folder: Path) -> None:
    path = folder / "store.db"
    open_store(path, sync="full").close()
    set_version(path, 9)
    store = look(file, folder)["store"]
    assert (store["version"], store["becomes"], store["reverted"]) == (9, 9, None)
    assert "is of version 9, and this appliance knows versions up to 1" in store["problem"]


def test_the_copy_of_a_newer_store_is_known(file: Path, folder: Path) -> None:
    path = folder / "store.db"
    open_store(path, sync="full").close()
    spare.place(path, 1).write_bytes(path.read_bytes())
    set_version(path, 9)
    assert look(file, folder)["store"]["reverted"] == 1


def test_a_store_that_cannot_be_used_now_either_is_a_warning(file: Path, folder: Path) -> None:
    (folder / "store.db").write_bytes(b"no database" * 100)
    found = look(file, folder)
    assert (found["mistakes"], found["store"]) == ([], None)
    assert "is damaged" in found["warnings"][-1]
