"""Who has a file, as the kernel tells it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.store import holder as module
from appliance.store.holder import among, holder
from appliance.store.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

FILE = "fe:00:1038"
HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("has it", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1: POSIX  ADVISORY  WRITE 4711 fe:00:1038 1073741824 1073742335", 4711),
        ("2: POSIX  ADVISORY  READ 4711 fe:00:1038 0 EOF", 4711),
        ("1: POSIX  ADVISORY  WRITE 4711 fe:00:10381 0 EOF", None),
        ("1: POSIX  ADVISORY  WRITE 4711 fe:01:1038 0 EOF", None),
        ("1: FLOCK  ADVISORY  WRITE 4711 fe:00:1038 0 EOF", None),
        ("1: -> POSIX  ADVISORY  WRITE 4711 fe:00:1038 0 EOF", None),
        ("1: POSIX  ADVISORY  WRITE 0 fe:00:1038 0 EOF", None),
        (f"1: POSIX  ADVISORY  WRITE {os.getpid()} fe:00:1038 0 EOF", None),
        ("", None),
    ],
    ids=[
        "a writer",
        "a reader",
        "another file",
        "another disk",
        "another lock",
        "who waits",
        "hidden",
        "self",
        "none",
    ],
)
def test_a_line_tells_who_has_the_file(line: str, expected: int | None) -> None:
    assert among([line], FILE) == expected


def test_another_process_that_has_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path, sync="full").close()
    assert holder(path) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = holder(path)
        process.kill()
    # Where the system does not tell of locks, nobody is named.
    assert found == (process.pid if module._LOCKS.exists() else None)
    assert holder(path) is None


def test_where_the_system_does_not_tell_nobody_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCKS", tmp_path / "locks")
    assert holder(tmp_path) is None
    assert holder(tmp_path / "nothing") is None
