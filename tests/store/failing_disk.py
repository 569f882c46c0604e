"""A disk that fails when it is told to: SQLite's own way to files, with calls that are counted and refused.

It holds for the connections that are opened while it is in place, in this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import sqlite3
import sys
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_XRead = _XWrite = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_XTruncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_XSync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Methods(Structure):
    """sqlite3_io_methods."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", _XRead),
        ("write", _XWrite),
        ("truncate", _XTruncate),
        ("sync", _XSync),
        ("others", c_void_p * 13),
    )


class _File(Structure):
    """sqlite3_file."""

    _fields_ = (("methods", POINTER(_Methods)),)


# The name is given on where it lies: the file goes on reading it there.
_XOpen = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(_File), c_int, POINTER(c_int))


class _Vfs(Structure):
    """sqlite3_vfs."""

    _fields_ = (
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("others", c_void_p * 14),
    )


FULL = {"write": sqlite3.SQLITE_FULL}
"""A disk without room: it can be written over, and flushed."""
BROKEN = {
    "read": sqlite3.SQLITE_IOERR_READ,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
    "sync": sqlite3.SQLITE_IOERR_FSYNC,
}
UNREADABLE = {"read": sqlite3.SQLITE_IOERR_READ}
UNFLUSHED = {"sync": sqlite3.SQLITE_IOERR_FSYNC}
"""All can be written, and nothing is sure to stay."""


class FailingDisk:
    """`calls` counts what was asked of it, of each kind, since it was last told how to fail."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._after = self._times = self.failures = 0
        self.calls: dict[str, int] = {}
        self.heal()

    def fail(self, codes: dict[str, int], *, after: int = 0, times: int = sys.maxsize) -> None:
        """Answer calls of these kinds with these codes, so many times, after letting some pass."""
        self.heal()
        self._codes, self._after, self._times = codes, after, times

    def heal(self) -> None:
        self._codes = {}
        self._after = self._times = self.failures = 0
        self.calls = {"read": 0, "write": 0, "truncate": 0, "sync": 0}

    def answer(self, kind: str) -> int:
        self.calls[kind] += 1
        if kind not in self._codes or self.failures >= self._times:
            return sqlite3.SQLITE_OK
        if self._after:
            self._after -= 1
            return sqlite3.SQLITE_OK
        self.failures += 1
        return self._codes[kind]


@contextlib.contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    # The library that Python's own module has loaded: a module's handle also finds what it is linked with.
    library = ctypes.CDLL(sys.modules["_sqlite3"].__file__)
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    library.sqlite3_vfs_register.argtypes = (POINTER(_Vfs), c_int)
    library.sqlite3_vfs_unregister.argtypes = (POINTER(_Vfs),)
    disk = FailingDisk()
    real = library.sqlite3_vfs_find(None).contents
    ours = _Vfs.from_buffer_copy(real)
    opener = _opener(disk, real.open)
    ours.name, ours.open, ours.next = b"failing", ctypes.cast(opener, c_void_p).value, None
    library.sqlite3_vfs_register(ours, 1)
    try:
        yield disk
    finally:
        library.sqlite3_vfs_unregister(ours)


def _opener(disk: FailingDisk, address: int) -> Any:
    open_really = _XOpen(address)
    replaced: dict[int, _Methods] = {}

    def open_failing(vfs: int, name: int, file: Any, flags: int, out: Any) -> int:
        code: int = open_really(vfs, name, file, flags, out)
        if code == sqlite3.SQLITE_OK:
            real = file.contents.methods
            where = ctypes.addressof(real.contents)
            if where not in replaced:
                replaced[where] = _with_failures(disk, real.contents)
            file.contents.methods = ctypes.pointer(replaced[where])
        return code

    return _XOpen(open_failing)


def _with_failures(disk: FailingDisk, real: _Methods) -> _Methods:
    methods = _Methods.from_buffer_copy(real)

    def asking_first(kind: str, function: Callable[..., int]) -> Callable[..., int]:
        return lambda *arguments: disk.answer(kind) or function(*arguments)

    methods.read = _XRead(asking_first("read", real.read))
    methods.write = _XWrite(asking_first("write", real.write))
    methods.truncate = _XTruncate(asking_first("truncate", real.truncate))
    methods.sync = _XSync(asking_first("sync", real.sync))
    return methods
