"""Another command in the place of the one that a unit starts, or before it: of the same user, in the same sandbox, with
the same variables, credentials and folders.

So it finds what the appliance will find, and can do no more than that. Must not know what the command is for.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.errors import StartError, UpgradeError
from appliance.ops import systemctl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.ops.upgrade.unit import Unit

_UNITS: Final = Path("/run/systemd/system")
"""Of what is gone with the next boot, whatever happens here. systemd finds a new one there without being told."""
_ENDING: Final = "-examined"
_BEFOREHAND: Final = "90-upgrade.conf"

_FOR_OTHERS: Final = re.compile(
    r"^[ \t]*(OnFailure|OnSuccess|\w+Action|Conflicts|Upholds|Wants|Propagates\w+)[ \t]*=(.*\\\n)*.*\n?",
    re.MULTILINE,
)
"""What reaches beyond the unit, such as the alarm when it fails. An empty value would not take it back."""
_OTHERWISE: Final = """
[Unit]
CollectMode=inactive-or-failed
RefuseManualStart=no

[Service]
Type=oneshot
{user}
RemainAfterExit=no
Restart=no
RestartForceExitStatus=
SuccessExitStatus=
WatchdogSec=0
TimeoutStartSec={within}
Sockets=
FileDescriptorStoreMax=0
BindReadOnlyPaths=-/run/credentials/{own}:/run/credentials/{name}
RuntimeDirectory=
PIDFile=
ExecCondition=
ExecStartPre=
ExecStart=
ExecStart={command}
ExecStartPost=
ExecReload=
ExecStop=
ExecStopPost=
StandardInput=null
Environment=PYTHONDONTWRITEBYTECODE=1
StandardOutput=file:{output}
StandardError=file:{error}
"""
"""What is not as the unit has it: it runs once and tells nobody, and takes nothing away from the one that runs.
Credentials are where that one has them. A file that is new here compiles all of itself when Python keeps no bytecode:
now, and not as it starts, when clients wait for it."""


@attrs.frozen
class Said:
    """What a command has written, and whether it ended well."""

    output: str
    error: str
    good: bool


def run(unit: Unit, words: Sequence[str], *, within: int) -> Said:
    """Run a command to its end, for at most so many seconds."""
    stem = unit.name.removesuffix(".service")
    for left in _UNITS.glob(f"{stem}{_ENDING}-*.service"):
        left.unlink(missing_ok=True)  # of one that was killed
    name = f"{stem}{_ENDING}-{os.getpid()}.service"
    with (
        tempfile.TemporaryDirectory(dir="/run", prefix=f"{stem}-") as folder,
        contextlib.ExitStack() as stack,
    ):
        output, error = Path(folder, "output"), Path(folder, "error")
        text = _FOR_OTHERS.sub("", _specified(systemctl.tell("cat", "--", unit.name), unit.name))
        text += _OTHERWISE.format(
            own=name,
            name=unit.name,
            user=f"User={unit.user}" if unit.user else "",
            within=within,
            command=quoted(words),
            output=output,
            error=error,
        )
        try:
            stack.callback((_UNITS / name).unlink, missing_ok=True)
            (_UNITS / name).write_text(text, encoding="utf-8")
        except OSError as problem:
            raise UpgradeError(f"{_UNITS / name}: {problem.strerror}") from problem
        try:
            systemctl.tell("start", "--", name)
            good = True
        except StartError:
            good = False
        return Said(_read(output), _read(error), good)


@contextlib.contextmanager
def beforehand(unit: Unit, words: Sequence[str]) -> Iterator[None]:
    """Have a command run before each start of the unit within the block; when it fails, the start goes on."""
    folder = _UNITS / f"{unit.name}.d"
    file = folder / _BEFOREHAND
    try:
        try:
            folder.mkdir(exist_ok=True)
            file.write_text(f"[Service]\nExecStartPre=-{quoted(words)}\n", encoding="utf-8")
        except OSError as problem:
            raise UpgradeError(f"{file}: {problem.strerror}") from problem
        systemctl.tell("daemon-reload")
        yield
    finally:
        file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others have something in it
            folder.rmdir()
        systemctl.tell("daemon-reload")


def quoted(words: Sequence[str]) -> str:
    """Give a command as a line of a unit. Variables in it are put in when it runs, as in the unit that it is of."""
    escaped = (word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") for word in words)
    return " ".join(f'"{word}"' for word in escaped)


def _specified(text: str, name: str) -> str:
    """Put in what specifiers stand for that are the unit's name; in another unit they would be that one's."""
    stem = name.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    stands = {"n": name, "N": stem, "p": prefix, "i": instance, "j": prefix.rpartition("-")[2]}
    return re.sub("%(.)", lambda found: stands.get(found[1], found[0]), text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:  # it did not come to run
        return ""
