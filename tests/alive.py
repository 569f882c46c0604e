"""Processes that somebody else has started: whether they are there."""

from __future__ import annotations

import os
from pathlib import Path

import trio

PATIENCE = 20
"""Seconds within which a process ends, be the machine ever so busy."""


def is_alive(process: int) -> bool:
    """Whether it runs: of one that has ended, somebody may still have to take notice."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state.rpartition(")")[2].split()[0] != "Z"


def is_listed(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def gone(process: int, *, whole: bool = False) -> None:
    """Wait until it has ended; and, where that is asked, until nothing is left of it."""
    with trio.fail_after(PATIENCE):
        while is_alive(process) or (whole and is_listed(process)):  # noqa: ASYNC110 - nobody tells of it
            await trio.sleep(0.01)
