"""A look at the process: what it finds, and that nobody waits for it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
import trio

from appliance.ops.metrics import process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


async def test_it_finds_this_process() -> None:
    found = await process.look()
    assert found is not None
    assert 1 << 20 < found.resident < found.virtual
    assert time.time() - 86_400 < found.started <= time.time()
    with os.scandir("/proc/self/fd") as listed:
        assert found.open_files == len(list(listed)) - 1  # the listing itself is one


async def test_without_proc_there_is_nothing_to_find(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "_ITSELF", tmp_path / "self")
    assert await process.look() is None


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many files as a server with many clients has, though not open."""
    itself = tmp_path / "self"
    (itself / "fd").mkdir(parents=True)
    for number in range(5_000):
        (itself / "fd" / str(number)).symlink_to("/dev/null")
    (itself / "stat").write_text(Path("/proc/self/stat").read_text())
    (tmp_path / "stat").write_text(Path("/proc/stat").read_text())
    monkeypatch.setattr(process, "_ITSELF", itself)
    monkeypatch.setattr("appliance.runtime.turns.SLICE", 0.0)


@pytest.mark.usefixtures("crowded")
async def test_others_get_their_turns_while_files_are_counted() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(count)
        found = await process.look()
        nursery.cancel_scope.cancel()
    assert found is not None
    assert found.open_files == 4_999
    assert turns > 1_000
