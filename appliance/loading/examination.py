"""The other end of a probe: a process of its own, in which a plugin is imported and checked, and which then ends.

Must not know who asked. What the plugin prints, writes or breaks stays in here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import msgspec

from appliance.core.errors import PluginError
from appliance.loading import plugin
from appliance.loading.bundle import Bundle
from appliance.loading.catalogue import Catalogue
from appliance.loading.configured import arrange
from appliance.loading.importer import blamed, fault

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from appliance.loading.installed import Installed
    from appliance.settings.load import Loaded

BEGUN = b"\n"
"""Stands before the answer: from now on it is the plugin that takes its time."""
_MORE_PROCESSES = 256
"""Processes and threads that a plugin may start while it is imported."""


@attrs.frozen
class Surroundings:
    """Where a plugin is to find itself: as where it is imported afterwards."""

    environment: Mapping[str, str]
    folder: str

    def enter(self) -> None:
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)


@attrs.frozen
class Task:
    """What to examine, with what settings, within how many seconds and bytes of memory."""

    plugin: Bundle | Installed
    loaded: Loaded
    seconds: float
    memory: int


class Finding(msgspec.Struct):
    """What came out: the names that the plugin registers, and what is wrong with it, or with its settings alone."""

    channels: list[str] = []
    sources: list[str] = []
    error: str = ""
    mistakes: list[str] = []


def main() -> None:
    """Read surroundings and a task, write a finding. Whatever the plugin does, it is told: at the worst by the
    traceback of where.
    """
    answers = os.dup(1)
    with os.fdopen(0, "rb") as told:
        given: tuple[Surroundings, Task] = pickle.load(told)  # noqa: S301 - from the appliance itself
    surroundings, task = given
    os.write(answers, BEGUN)
    surroundings.enter()
    sys.dont_write_bytecode = True  # what the plugin brings is here for once
    os.open(os.devnull, os.O_RDONLY)  # takes the place of standard input
    os.dup2(2, 1)
    faulthandler.enable(answers)
    faulthandler.dump_traceback_later(task.seconds, exit=True, file=answers)
    _bound(task)
    finding = examine(task)
    faulthandler.cancel_dump_traceback_later()
    with os.fdopen(answers, "wb") as out:
        _write(out, finding)
    os._exit(0)  # whatever threads or hooks of a plugin are left


def examine(task: Task) -> Finding:
    """Load a plugin, fill its settings from the configuration, and forget it."""
    file = task.plugin.file
    try:
        found = plugin.load(task.plugin) if isinstance(task.plugin, Bundle) else task.plugin.load()
        with contextlib.ExitStack() as end:
            end.callback(found.forget)
            # What other plugins have is not there, so nothing is said of names that are missing.
            told = arrange(Catalogue.of([found]), task.loaded, complete=False).complaints
    except PluginError as error:
        much = isinstance(error.__cause__, MemoryError)
        remedy = f": it may take {task.memory} bytes to be imported (plugins.check_memory)" if much else ""
        return Finding(error=f"{error}{remedy}")
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, Ctrl-C for one
        return Finding(error=str(fault(error, file)))
    if faults := [str(each) for each in told if isinstance(each.what, PluginError)]:
        return Finding(error=str(blamed(file, faults)))
    return Finding(
        [channel.name for channel in found.channels],
        [source.kind for source in found.sources],
        mistakes=[str(each) for each in told],
    )


def _write(out: BinaryIO, finding: Finding) -> None:
    out.write(msgspec.json.encode(finding))


def _bound(task: Task) -> None:
    """Take what an import may not need, before any of it runs."""
    seconds = int(task.seconds) + 1
    _limit(resource.RLIMIT_CORE, 0, 0)
    _limit(resource.RLIMIT_CPU, seconds, seconds + 1)
    _limit(resource.RLIMIT_AS, task.memory, task.memory)
    if there := _processes():
        _limit(resource.RLIMIT_NPROC, there + _MORE_PROCESSES, there + _MORE_PROCESSES)


def _limit(what: int, soft: int, hard: int) -> None:
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def _processes() -> int:
    """Count this user's processes and threads, as the kernel does for its limit; none where it has no list of them."""
    me, count = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == me:
                count += sum(1 for _ in (process / "task").iterdir())
        except OSError:
            continue  # it ended while it was looked at
    return count


if __name__ == "__main__":
    main()
