"""A tape that is written: what it is given is on disk, as a member of its own, when `keep` returns.

Must not know what the lines say. Each call blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Self

from appliance.core.errors import StoreError, StoreInUseError
from appliance.sources.tapes import members

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_AT_ONCE = 4 * 1024**2
"""Bytes of lines in one member, but for a single line: readers hold a member until they have seen its checksum."""


class Tape:
    """A file that nobody else writes meanwhile. Raises StoreError; what was kept before stays whole."""

    def __init__(self, path: Path, *, append: bool) -> None:
        """Make the file, or with `append` go on with the one that is there: what is unfinished at its end is `cut`."""
        self._path = path
        self.size = 0
        with self._explaining():
            with contextlib.suppress(
                FileExistsError
            ):  # what is there and no folder is told of when it is used
                path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (0 if append else os.O_EXCL), 0o666
            )
        try:
            with self._explaining():
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.cut = self._mend()
                _sync_folder(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def keep(self, lines: list[bytes]) -> None:
        """Append lines. When this raises, none of them is on the tape, and the next call is tried all the same."""
        with self._explaining():
            end = os.lseek(self._descriptor, self.size, os.SEEK_SET)
            try:
                for part in _parts(lines):
                    end += _write(self._descriptor, members.pack(part))
                os.ftruncate(self._descriptor, end)  # a call that failed may have left more behind
                os.fsync(self._descriptor)
            except OSError:
                with contextlib.suppress(OSError):  # then it is written over, or cut by who appends
                    os.ftruncate(self._descriptor, self.size)
                raise
            self.size = end

    def _mend(self) -> int:
        """Cut off what was not finished, and give how many bytes that were."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            whole = members.whole(file)
            size = file.seek(0, os.SEEK_END)
        if whole is None:
            raise StoreError(
                f"{self._path} is no tape that `appliance record` has written: name another file, or pack the"
                " lines of this one anew"
            )
        if whole < size:
            os.ftruncate(self._descriptor, whole)
            os.fsync(self._descriptor)
        self.size = whole
        return size - whole

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise StoreError(
                f"{self._path} is there already: name another file, or append to this one"
            ) from None
        except BlockingIOError:
            raise StoreInUseError(
                f"{self._path} is being written by another process: name another file, or end that one"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self._path} cannot be written ({error.strerror}): make room or let user {os.geteuid()} write it"
            ) from error


def _parts(lines: list[bytes]) -> Iterator[bytes]:
    part: list[bytes] = []
    size = 0
    for line in lines:
        if part and size + len(line) > MOST_AT_ONCE:
            yield b"".join(part)
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield b"".join(part)


def _write(descriptor: int, data: bytes) -> int:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return len(data)


def _sync_folder(path: Path) -> None:
    """Make a new name in the folder survive a power cut."""
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
