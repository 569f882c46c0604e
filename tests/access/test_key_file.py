"""The file of kept keys."""

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from appliance.access.key_file import FILE_NAME, KeyFile
from appliance.access.keyring import Ring, Terms
from appliance.core.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    tmp_path.chmod(0o700)
    return KeyFile(tmp_path / FILE_NAME)


def make(file: KeyFile, name: str = "ann") -> str:
    return file.change(lambda ring: ring.create(Terms(name=name), NOW)).text


def test_where_there_is_no_file_there_are_no_keys(file: KeyFile) -> None:
    assert file.read() == Ring()
    assert file.signature() is None
    assert file.uses() == {}


def test_what_is_changed_is_read_and_nobody_elses(file: KeyFile) -> None:
    text = make(file)
    assert [key.name for key in file.read().keys] == ["ann"]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert text not in file.path.read_text()
    assert [entry.name for entry in file.path.parent.iterdir()] == [FILE_NAME]


def test_a_change_shows_in_the_signature(file: KeyFile) -> None:
    make(file)
    first = file.signature()
    assert first == file.signature()
    make(file, "bob")
    assert file.signature() != first


def test_a_change_that_fails_leaves_the_file(file: KeyFile) -> None:
    make(file)
    before = file.path.read_bytes()
    with pytest.raises(ValueError, match="has a key"):
        make(file)
    assert file.path.read_bytes() == before


def test_commands_at_the_same_time_lose_nothing(file: KeyFile) -> None:
    threads = [threading.Thread(target=make, args=(file, f"key {number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in file.read().keys} == {f"key {number}" for number in range(12)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_is_open_to_others_is_not_trusted(file: KeyFile, mode: int) -> None:
    make(file)
    file.path.chmod(mode)
    with pytest.raises(StartError, match="chmod 600"):
        file.read()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: text[:0],
        lambda text: text.replace('"version": 1', '"version": 9'),
        lambda text: text.replace('"created"', '"read": ["no topic"], "created"'),
        lambda text: text.replace('"digest": "', '"digest": "00'),
        lambda text: text.replace('"created"', '"addresses": ["10.0.0.1/8"], "created"'),
        lambda text: text.replace('"created"', '"publish": ["a:b"], "created"'),
        lambda text: text.replace('"created"', '"seats": 5, "created"'),
        lambda text: text.replace('"created"', '"views": [{"only": "no condition"}], "created"'),
        lambda text: text.replace('"created"', '"views": [{"hide": ["a.b"]}], "created"'),
        lambda text: text[:0] + "[" * 5000,
    ],
)
def test_a_file_that_is_damaged_says_so(file: KeyFile, change: object) -> None:
    assert callable(change)
    make(file)
    before = file.path.read_text()
    damaged = change(before)
    assert damaged != before
    file.path.write_text(damaged)
    with pytest.raises(StartError, match="is not what `appliance keys` writes"):
        file.read()
    with pytest.raises(StartError):
        make(file, "bob")
    assert file.path.read_text() == damaged


def test_a_folder_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be written"):
        make(KeyFile(tmp_path / "nowhere" / FILE_NAME))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_who_is_not_the_owner_is_told_who_is(file: KeyFile) -> None:
    os.chown(file.path.parent, 65_534, -1)
    with pytest.raises(StartError, match="sudo -u"):
        make(file)


def test_uses_are_kept_beside(file: KeyFile) -> None:
    make(file)
    before = file.signature()
    file.keep_uses({"a": 5.5})
    assert file.uses() == {"a": 5.5}
    assert file.signature() == before
    uses = file.path.with_name("keys.uses.json")
    assert stat.S_IMODE(uses.stat().st_mode) == 0o600
    uses.write_text(json.dumps({"a": "yesterday"}))
    assert file.uses() == {}
