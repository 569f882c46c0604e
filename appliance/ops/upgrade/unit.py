"""A unit of systemd that runs the appliance: what it starts, how it is, and how it is started anew.

Must not know what is upgraded.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from appliance.core.errors import StartError, UpgradeError
from appliance.ops import systemctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SERVE: Final = "serve"
_WITHIN: Final = 10.0
_LINES: Final = 20
"""Of the log, where something went wrong."""
_FACTS: Final = ("LoadState", "User", "TriggeredBy")
_STATE: Final = ("ActiveState", "SubState", "InvocationID", "MainPID", "NRestarts", "Result")


@attrs.frozen(kw_only=True)
class State:
    """What systemd says of the unit at a moment. `invocation` is another one for each start, `pid` is 0 for none."""

    active: str
    sub: str
    invocation: str
    pid: int
    restarts: int
    result: str

    @property
    def starts(self) -> bool:
        return self.active == "activating" and self.sub != "auto-restart"

    @property
    def serves(self) -> bool:
        return self.active in ("active", "reloading")


@attrs.frozen(kw_only=True)
class Unit:
    """`words` is its command; the one at `place` is the file of the appliance. `sockets` keep its ports open."""

    name: str
    user: str
    sockets: tuple[str, ...]
    words: tuple[str, ...]
    place: int

    @property
    def file(self) -> Path:
        """The file itself, not a link to it."""
        return Path(self.words[self.place]).resolve()

    def asking(self, file: Path, command: str) -> list[str]:
        """Give its command with another file, and another subcommand that takes the options of `serve`."""
        after = [command if word == _SERVE else word for word in self.words[self.place + 1 :]]
        return [*self.words[: self.place], str(file), *after]

    def instead(self, *words: str) -> list[str]:
        """Give the command that has these words behind its file."""
        return [*self.words[: self.place + 1], *words]

    def state(self) -> State:
        told = systemctl.show(self.name, *_STATE)
        return State(
            active=told.get("ActiveState", ""),
            sub=told.get("SubState", ""),
            invocation=told.get("InvocationID", ""),
            pid=int(told.get("MainPID") or 0),
            restarts=int(told.get("NRestarts") or 0),
            result=told.get("Result", ""),
        )

    @contextlib.contextmanager
    def restarting(self) -> Iterator[Callable[[], bool | None]]:
        """Ask for a restart, and give what says whether it was one: it serves, it does not, or None as long as neither
        is known. Starts that failed before do not count against it.
        """
        with contextlib.suppress(StartError):  # of one that has not run since the boot there are none
            systemctl.tell("reset-failed", "--", self.name)
        words = ["systemctl", "--quiet", "--no-ask-password", "restart", "--", self.name]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as asking:  # noqa: S603 - of systemd, with a unit's name
            try:
                yield lambda: None if asking.poll() is None else asking.returncode == 0
            finally:
                asking.kill()  # which only ends the waiting

    def log(self, since: float) -> list[str]:
        """Give the last lines since a time, its own and what systemd says of it, as far as they can be had."""
        # Not with --lines, which beside --since gives the first ones.
        words = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--unit={self.name}"]
        words += [f"--since=@{since:.6f}"]
        try:
            # What was written to the journal is in it once it has been asked to sync.
            subprocess.run(["journalctl", "--sync"], capture_output=True, timeout=_WITHIN, check=False)  # noqa: S607 - as below
            done = subprocess.run(  # noqa: S603 - of systemd, with our own words
                words, capture_output=True, timeout=_WITHIN, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return []
        return done.stdout.decode(errors="replace").splitlines()[-_LINES:]


def runs_build(pid: int, build: str) -> bool:
    """Whether a process runs from the folder of a build. Where the system does not tell root, it is taken to."""
    try:
        mapped = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except PermissionError:
        return True
    except OSError:  # it has ended
        return False
    return f"/{build}/" in mapped


def find(name: str) -> Unit:
    """Ask systemd for the unit of that name; UpgradeError where it runs no appliance in one file."""
    name = name if "." in name else f"{name}.service"
    told = systemctl.show(name, *_FACTS)
    if told.get("LoadState") != "loaded":
        raise UpgradeError(
            f"there is no unit {name}: name the one that runs the appliance, with --unit; "
            "or only put the file in place, with --no-restart"
        )
    words = _command(name)
    place = next((place for place, word in enumerate(words) if _is_zipapp(word)), None)
    if place is None:
        raise UpgradeError(
            f"{name} runs `{shlex.join(words)}`, where no word is the appliance in one file: upgrade it the way it "
            "was installed, as with pip or pipx"
        )
    if _SERVE not in words[place + 1 :]:
        raise UpgradeError(
            f"{name} runs `{shlex.join(words)}`, which does not serve: name the unit that does, with --unit"
        )
    sockets = tuple(each for each in told.get("TriggeredBy", "").split() if each.endswith(".socket"))
    return Unit(name=name, user=told.get("User", ""), sockets=sockets, words=tuple(words), place=place)


def _is_zipapp(word: str) -> bool:
    path = Path(word)
    return path.is_absolute() and path.is_file() and zipfile.is_zipfile(path)


def _command(name: str) -> Sequence[str]:
    """Give the words of ExecStart; `systemctl show` would not tell where each ends."""
    started = _property(name, "Service", "ExecStart")
    if not started:
        raise UpgradeError(f"{name} starts nothing: name the unit that runs the appliance, with --unit")
    path, words, *_ = started[0]
    return [path, *words[1:]]


def _property(name: str, interface: str, property_: str) -> Any:  # noqa: ANN401 - whatever its type is
    label = "".join(sign if sign.isascii() and sign.isalnum() else f"_{ord(sign):02x}" for sign in name)
    words = ["busctl", "--json=short", "get-property", "org.freedesktop.systemd1"]
    words += [f"/org/freedesktop/systemd1/unit/{label}", f"org.freedesktop.systemd1.{interface}", property_]
    try:
        done = subprocess.run(  # noqa: S603 - of systemd, with our own words
            words, capture_output=True, text=True, timeout=_WITHIN, check=True
        )
    except subprocess.CalledProcessError as error:
        raise UpgradeError(f"`{shlex.join(words)}` failed: {error.stderr.strip()}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise UpgradeError(f"`{shlex.join(words)}` cannot be asked: {error}") from error
    return json.loads(done.stdout)["data"]
