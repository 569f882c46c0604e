"""A probe: a plugin is imported and checked in a process of its own before it is imported here.

Must not know what is checked; `examination` is the other end. A file that never ends, exits, crashes or eats memory
does so over there, and is told as any other mistake.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import re
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import attrs
import msgspec
import trio

from appliance.core.errors import PluginError
from appliance.loading.examination import Finding, Surroundings, Task
from appliance.loading.template import Template
from appliance.settings.load import Loaded
from appliance.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.loading.bundle import Bundle
    from appliance.loading.installed import Installed
    from appliance.loading.template import Copy

_COMMAND = """
import sys
sys.path[:] = sys.argv[1:]
sys.argv[1:] = []
from appliance.loading.outset import lightly
with lightly("examination"):
    import appliance.settings.load  # each task has what it makes
    import trio  # as nearly each plugin does
    from appliance.loading import copying
    from appliance.loading.examination import main
copying.serve(main, idle={idle})
"""
_IDLE = 60.0
"""Seconds for which that process waits for another plugin to be checked."""
_ANSWER = 1 << 20
"""Bytes of the longest answer."""
_OUTPUT = 4_096
"""Bytes of what a plugin prints that are kept: the last ones."""
_TOLD = 500
_START = 30.0
"""Seconds that the process may take until it begins: the machine may be busy, and that is no plugin's fault."""
_GRACE = 1.0
"""Seconds that the process may then take longer than it gives the plugin: to tell where it stands."""
_template = Template()
"""What a process for a plugin stands on is the same for each."""
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in ', re.MULTILINE)


async def probe(plugin: Bundle | Installed, loaded: Loaded) -> Finding:
    """Give the names that a plugin registers; a PluginError says what is wrong with it.

    Its settings are filled from what is loaded. However it behaves, once it has begun this ends about when
    `plugins.check_within` does.
    """
    settings = loaded.draft.plugins
    task = Task(plugin, _share(loaded), settings.check_within, settings.check_memory)
    try:
        ended = await _run(task, settings.check_within + _GRACE)
    except OSError as error:
        raise PluginError(
            f"{plugin.file}: cannot be checked: no process can be started ({error.strerror}); "
            "free some memory or processes, then save the file again"
        ) from error
    return _found(ended, task)


@attrs.frozen
class _Ended:
    """A process that has ended: its answer, the last of its output, its status (None: it had to be killed)."""

    answer: bytes
    output: str
    status: int | None


def _share(loaded: Loaded) -> Loaded:
    """Give what a plugin's settings are filled from, and none of the appliance's own secrets."""
    draft = Settings(channels=loaded.draft.channels, sources=loaded.draft.sources)
    places = loaded.places
    plain = attrs.evolve(places, lines=dict(places.lines), origins=dict(places.origins))
    return Loaded(draft, loaded.mistakes, (), plain)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Leave out what speaks for the appliance: its settings, keys among them, and its line to the supervisor."""
    kept = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
    return {
        name: value for name, value in ours.items() if name not in kept and not name.startswith("APPLIANCE_")
    }


def _paths() -> list[str]:
    """Where modules are found here, be that a checkout, an environment or an unpacked zipapp."""
    return [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 - text on both sides


def _command() -> tuple[str, ...]:
    bytecode = ("-B",) if sys.dont_write_bytecode else ()
    return (sys.executable, "-I", *bytecode, "-c", _COMMAND.format(idle=_IDLE), *_paths())


async def _run(task: Task, seconds: float) -> _Ended:
    surroundings = Surroundings(_environment(os.environ), os.getcwd())  # noqa: PTH109 - text on both sides
    answer, output = bytearray(), bytearray()
    copy: Copy | None = None
    with trio.move_on_after(_START):
        copy = await _template.copy(_command(), surroundings.environment)
    if copy is None:
        return _Ended(b"", "", None)
    begun = trio.Event()
    try:
        async with trio.open_nursery() as pipes:  # ends with the process, or a moment after
            pipes.start_soon(_send, copy.stdin, pickle.dumps((surroundings, task)))
            pipes.start_soon(partial(_collect, copy.stdout, answer, first=_ANSWER, heard=begun))
            pipes.start_soon(partial(_collect, copy.stderr, output, last=_OUTPUT))
            with trio.move_on_after(_START):
                await begun.wait()
            with trio.move_on_after(seconds if begun.is_set() else 0) as time:
                await copy.wait()
            status = copy.status
            copy.stop()
            # What else it started may hold on to the pipes.
            pipes.cancel_scope.deadline = trio.current_time() + _GRACE
    finally:
        await copy.end()
    if status is None and not time.cancelled_caught:
        raise BrokenPipeError(errno.EPIPE, "what has started it was ended")
    return _Ended(bytes(answer), output.decode(errors="replace"), status)


async def _send(pipe: trio.abc.SendStream, content: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        async with pipe:
            await pipe.send_all(content)


async def _collect(
    pipe: trio.abc.ReceiveStream,
    kept: bytearray,
    *,
    first: int | None = None,
    last: int | None = None,
    heard: trio.Event | None = None,
) -> None:
    """Read all, and keep no more than the first or last bytes. Something is heard, be it that there is nothing."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            part = await pipe.receive_some()
            if heard is not None:
                heard.set()
            if not part:
                return
            kept += part
            if first is not None:
                del kept[first:]
            if last is not None:
                del kept[:-last]


def _found(ended: _Ended, task: Task) -> Finding:
    try:
        finding = msgspec.json.decode(ended.answer, type=Finding)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PluginError(_why(ended, task)) from None
    if finding.error:
        raise PluginError(finding.error)
    return finding


def _why(ended: _Ended, task: Task) -> str:
    """Tell why there was no answer, from the traceback that there may be instead, and from how the process ended."""
    if ended.status is None and not ended.answer:
        return (
            f"{task.plugin.file}: cannot be checked: the process for it has not begun within {_START:g} s; "
            "see what keeps the machine busy, then save the file again"
        )
    told = ended.answer.decode(errors="replace").lstrip()
    printed = ended.output.strip()[-_TOLD:]
    place = _place(told, task.plugin)
    if ended.status is None or told.startswith("Timeout") or ended.status == -signal.SIGXCPU:
        return (
            f"{place}: is not imported within {task.seconds:g} s (plugins.check_within): a plugin must not wait, "
            "loop or work while it is imported; that belongs into `produce`"
        )
    if ended.status < 0:
        name = signal.Signals(-ended.status).name
        reason, remedy = (
            f"crashes the process ({name}) while it is imported",
            "look for compiled code that it uses",
        )
    else:
        reason = f"ends the process (status {ended.status}) while it is imported"
        remedy = "a plugin must not call os._exit"
    return f"{place}: {reason}: {remedy}" + (f"; it printed: {printed}" if printed else "")


def _place(traceback: str, plugin: Bundle | Installed) -> str:
    """Name the line of the plugin at which a process ended."""
    for frame in _FRAME.finditer(traceback):
        if frame["file"] == str(plugin.file) or frame["file"].startswith(f"{plugin.file}{os.sep}"):
            return f"{frame['file']}:{frame['line']}"
    return str(plugin.file)
