"""The state folder: where the appliance keeps what must survive a restart, such as the key it made.

Must not know what is kept there.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST: Final = 65_536
"""Bytes of the largest secret file that is read."""


def state_folder(settings_dir: str | None, environment: Mapping[str, str]) -> Path:
    """What the settings name, else systemd's folder, else the user's own (XDG)."""
    if settings_dir:
        first, *rest = Path(settings_dir).parts or (".",)
        return _home(environment).joinpath(*rest) if first == "~" else Path(settings_dir).absolute()
    if by_systemd := environment.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(by_systemd)
    by_user = Path(environment.get("XDG_STATE_HOME", ""))
    if by_user.is_absolute():  # XDG wants relative ones ignored
        return by_user / "appliance"
    return _home(environment) / ".local" / "state" / "appliance"


def _home(environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise StartError(
            f"user {os.getuid()} has no home folder: name a state folder with --state-dir"
        ) from None


@attrs.frozen
class State:
    """A folder that was checked by `open_state`."""

    folder: Path

    def secret(self, name: str, make: Callable[[], str]) -> tuple[str, bool]:
        """Read the secret of this name, or make it; the second value tells whether it was made now.

        Processes that start at once agree on one: a file that exists is never overwritten.
        """
        path = self.folder / name
        found = _read(path)
        if found is not None:
            return found, False
        secret = make()
        if _create(path, secret + "\n"):
            return secret, True
        theirs = _read(path)
        if theirs is None:
            raise StartError(f"{path} leads nowhere: remove it with `rm {_quoted(path)}`")
        return theirs, False


def open_state(path: Path) -> State:
    """Create the folder, for its owner only, or check the one that is there."""
    try:
        _make_folder(path)
        found = path.stat()
    except (FileExistsError, NotADirectoryError):
        raise StartError(
            f"state folder {path}: a file stands in its way: remove it, or name another with --state-dir"
        ) from None
    except OSError as error:
        raise StartError(
            f"state folder {path} cannot be made ({error.strerror}): name another with --state-dir"
        ) from error
    if found.st_uid != os.geteuid():
        raise StartError(
            f"state folder {path} belongs to user {found.st_uid}, and this is user {os.geteuid()}: "
            f"run `chown {os.geteuid()} {_quoted(path)}`, or name another folder with --state-dir"
        )
    try:
        # The permission bits do not tell of read-only mounts and full disks.
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise StartError(
            f"state folder {path} is not writable ({error.strerror}): "
            f"run `chmod u+rwx {_quoted(path)}`, or name another folder with --state-dir"
        ) from error
    return State(path)


def _make_folder(path: Path) -> None:
    # mkdir(parents=True) would give the parents the mode of the umask.
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError


def _read(path: Path) -> str | None:
    try:
        # Not blocking, because opening a FIFO would wait for its other end.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(file).st_mode
            content = os.read(file, LARGEST + 1) if stat.S_ISREG(mode) else b""
        finally:
            os.close(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(
            f"{path} cannot be read ({error.strerror}): let user {os.geteuid()} read it, or remove it"
        ) from error
    if not stat.S_ISREG(mode):
        raise StartError(f"{path} is not a file: remove it, so that a new one is made")
    if stat.S_IMODE(mode) & 0o077:
        raise StartError(f"{path} can be read by others: run `chmod 600 {_quoted(path)}`")
    secret = content.decode(errors="replace").strip()
    if not secret:
        raise StartError(
            f"{path} is empty: remove it, so that a new one is made, or write the secret into it"
        )
    if len(content) > LARGEST or not secret.isprintable() or "\ufffd" in secret:
        raise StartError(f"{path} does not hold one line of text: remove it, so that a new one is made")
    return secret


def _create(path: Path, content: str) -> bool:
    """Write a whole new file, or nothing and return False when there is one."""
    try:
        file, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
        try:
            with os.fdopen(file, "w", encoding="utf-8") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(file)
            os.link(temporary, path)  # unlike rename, it fails when the name is taken
        finally:
            Path(temporary).unlink()
        _sync(path.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise StartError(
            f"{path} cannot be written ({error.strerror}): make room, or name another folder with --state-dir"
        ) from error
    return True


def _sync(folder: Path) -> None:
    """Make a new name in the folder survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
