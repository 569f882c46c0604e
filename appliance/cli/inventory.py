"""The plugins of an appliance: as the one that runs tells of them, else as one would load them.

Must not know how that is asked for.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import trio

from appliance.core.instants import timestamp
from appliance.loading import ledger
from appliance.loading.ledger import PluginState  # noqa: TC001 - msgspec reads the annotations when it runs
from appliance.ops.state import state_folder
from appliance.runtime.turnover import Turnover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.settings.load import Loaded

_HEADS = ("NAME", "STATE", "CHANNELS", "FILE")


class Inventory(msgspec.Struct, kw_only=True):
    """`running`: the process `pid` told of its plugins at `written`; else they are what would be loaded now."""

    running: bool
    state_dir: str
    plugins: tuple[PluginState, ...]
    pid: int | None = None
    written: float | None = None


def take(loaded: Loaded, environment: Mapping[str, str]) -> Inventory:
    """Read what a running appliance has written, or try what would be loaded."""
    folder = state_folder(loaded.settings.state_dir, environment)
    told = _told(folder / ledger.FILE_NAME)
    if told is not None and _runs(told.pid, told.written):
        return Inventory(
            running=True, state_dir=str(folder), pid=told.pid, written=told.written, plugins=told.plugins
        )
    turnover = Turnover(loaded)
    trio.run(_assemble, turnover)
    return Inventory(
        running=False,
        state_dir=str(folder),
        plugins=turnover.states,
        written=None if told is None else told.written,
    )


def _told(file: Path) -> ledger.Ledger | None:
    try:
        file.stat()
    except FileNotFoundError:
        return None
    except OSError:
        pass  # to read it raises why, with the remedy
    return ledger.read(file)


async def _assemble(turnover: Turnover) -> None:
    await turnover.assemble(strict=False, warn=lambda _: None)


def _runs(pid: int, written: float) -> bool:
    """Whether the process that wrote still runs, and no later one has its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, as another user
    started = _started(pid)
    return started is None or started <= written


def _started(pid: int) -> float | None:
    """Give when a process started, in seconds since 1970, where the system tells."""
    try:
        uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
        # The second field is a name in brackets, which may hold anything.
        _, _, fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        ticks = int(fields.split()[19])
    except (OSError, ValueError, IndexError):
        return None
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def as_json(inventory: Inventory) -> str:
    return msgspec.json.format(msgspec.json.encode(inventory), indent=2).decode()


def as_table(inventory: Inventory) -> Iterator[str]:
    """Give the lines of a table, each plugin with what is wrong with it."""
    if inventory.running:
        assert inventory.written is not None  # noqa: S101 - by whom it runs
        yield f"The appliance runs as process {inventory.pid}; it told this at {timestamp(inventory.written)}."
    else:
        last = (
            ""
            if inventory.written is None
            else f"; the last one told of its plugins at {timestamp(inventory.written)}"
        )
        yield f"No appliance runs with the state folder {inventory.state_dir}{last}."
        yield "These plugins would be loaded:"
    yield ""
    rows = [_HEADS, *((each.name, each.state, _channels(each), each.file) for each in inventory.plugins)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS) - 1)]
    errors = ["", *(each.error for each in inventory.plugins)]
    for row, error in zip(rows, errors, strict=True):
        yield "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]])
        yield from (f"    {line}" for line in error.splitlines())


def _channels(state: PluginState) -> str:
    sources = (f"source {kind}" for kind in state.sources)
    return ", ".join((*state.channels, *sources)) or "-"
