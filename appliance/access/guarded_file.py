"""A file of the state folder that says who is let in: read whole, replaced whole, trusted when nobody else can read it.

Must not know what it says. Commands alone write it, and take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shlex
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs
import msgspec

from appliance.core.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

C = TypeVar("C")
T = TypeVar("T")


@attrs.frozen
class GuardedFile(Generic[C]):
    """`kind` is what it holds; of one that is not there, as that is without arguments. `check` raises ValueError for
    what cannot be meant. `writer` is the command that writes it.
    """

    path: Path
    kind: type[C]
    writer: str
    check: Callable[[C], object]

    def read(self) -> C:
        """Raise StartError for a file that is not to be trusted, or not to be understood."""
        try:
            mode = self.path.stat().st_mode
            content = self.path.read_bytes()
        except FileNotFoundError:
            return self.kind()
        except OSError as error:
            raise StartError(
                f"{self.path} cannot be read ({error.strerror}): let user {os.geteuid()} read it"
            ) from error
        if stat.S_IMODE(mode) & 0o077:
            raise StartError(f"{self.path} is open to others: run `chmod 600 {shlex.quote(str(self.path))}`")
        try:
            found = msgspec.json.decode(content, type=self.kind)
            self.check(found)
        except (ValueError, RecursionError) as error:
            raise StartError(
                f"{self.path} is not what `{self.writer}` writes ({error}): restore it, or remove it"
            ) from None
        return found

    def change(self, change: Callable[[C], tuple[C, T]]) -> T:
        """Put what is changed in the place of what is there; commands at the same time take turns."""
        with self._alone():
            changed, result = change(self.read())
            try:
                replace(self.path, msgspec.json.format(msgspec.json.encode(changed), indent=2), durable=True)
            except OSError as error:
                raise self._unwritable(error) from error
        return result

    def signature(self) -> tuple[int, ...] | None:
        """What differs when the file does."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_mode

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        folder = self.path.parent
        try:
            owner = folder.stat().st_uid
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            if owner != os.geteuid():
                # What root writes here, the appliance could not read.
                raise StartError(
                    f"{folder} belongs to {_name(owner)}: run this as that user, with `sudo -u {_name(owner)}`"
                )
            fcntl.flock(opened, fcntl.LOCK_EX)
            yield
        finally:
            os.close(opened)

    def _unwritable(self, error: OSError) -> StartError:
        return StartError(
            f"{self.path} cannot be written ({error.strerror}): see to its folder, and to room there"
        )


def replace(path: Path, content: bytes, *, durable: bool) -> None:
    """Write the file whole, with mode 0600, or leave the one that is there."""
    file, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(file, "wb") as out:
            out.write(content)
            if durable:
                out.flush()
                os.fsync(file)
        Path(unfinished).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
