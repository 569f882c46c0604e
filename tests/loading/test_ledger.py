from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs
import pytest

from appliance.core.errors import StartError
from appliance.loading.ledger import FILE_NAME, Accounts, PluginState, read, write

if TYPE_CHECKING:
    from pathlib import Path

FEES = PluginState(name="fees", file="/p/fees.py", origin="folder", state="loaded", channels=("fees",))
TIDES = PluginState(
    name="tides", file="/p/tides.py", origin="folder", state="refused", error="/p/tides.py:1: broken"
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / FILE_NAME, [FEES, TIDES], now=5.0)
    found = read(tmp_path / FILE_NAME)
    assert (found.pid, found.written, found.plugins) == (os.getpid(), 5.0, (FEES, TIDES))
    write(tmp_path / FILE_NAME, [], now=6.0)
    assert read(tmp_path / FILE_NAME).plugins == ()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    write(tmp_path / FILE_NAME, [FEES], now=5.0)
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / FILE_NAME, [FEES], now=5.0)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(tmp_path / "folder", [TIDES], now=6.0)
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, "folder"}
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "nowhere" / FILE_NAME, [TIDES], now=6.0)


def test_a_file_that_is_none_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is not there: the appliance writes it when it serves"):
        read(tmp_path / FILE_NAME)
    for content in (b"", b"{}", b"\xff", b'{"pid": "x"}'):
        (tmp_path / FILE_NAME).write_bytes(content)
        with pytest.raises(StartError, match=r"is not what the appliance writes .* remove it"):
            read(tmp_path / FILE_NAME)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StartError, match="cannot be read"):
        read(tmp_path / "folder")


def test_a_state_begins_when_it_becomes_another() -> None:
    accounts = Accounts(None)
    assert [state.since for state in accounts.since([FEES, TIDES], now=1.0)] == [1.0, 1.0]
    better = attrs.evolve(TIDES, state="loaded", error="")
    assert [state.since for state in accounts.since([FEES, better], now=2.0)] == [1.0, 2.0]
    accounts.since([FEES], now=3.0)
    assert [state.since for state in accounts.since([FEES, better], now=4.0)] == [1.0, 4.0]


def test_plugins_of_one_installed_file_are_told_apart() -> None:
    one = attrs.evolve(FEES, origin="installed", name="one")
    states = Accounts(None).since([one, attrs.evolve(one, name="two")], now=1.0)
    assert [state.name for state in states] == ["one", "two"]


def test_the_file_is_written_only_when_something_changed(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    accounts = Accounts(file)
    accounts.keep((FEES,), now=1.0)
    accounts.keep((FEES,), now=2.0)
    assert read(file).written == 1.0
    accounts.keep((FEES, TIDES), now=3.0)
    assert read(file).written == 3.0
    Accounts(None).keep((FEES,), now=1.0)
