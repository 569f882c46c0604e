"""Faults of SQLite in the words of an operator: what is wrong with the file, and the remedy.

Must not know what was being done.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from typing import TYPE_CHECKING

from appliance.core.errors import StoreError, StoreInUseError
from appliance.store.holder import holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY = 0xFF
"""The bits of an error code that name its kind; those above say where it was met."""
_UNWRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}
_WITHOUT_CODE = 0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, _WITHOUT_CODE}
"""What can be wrong with our own statements is a table that is not there, and what Python finds has no code, such as a
text that is no UTF-8.
"""


class DamagedError(StoreError):
    """The file is not as it was written; `reason` says where, without the remedy."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@contextlib.contextmanager
def explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explained(path, error) from error


def explained(path: Path, error: sqlite3.Error) -> StoreError:
    match _kind(error):
        case sqlite3.SQLITE_FULL:
            return StoreError(f"{path}: the disk is full: make room on the file system of {path.parent}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return in_use(path)
        case sqlite3.SQLITE_IOERR:
            return StoreError(
                f"{path}: the disk does not read or write it ({error}): "
                "look at its health, its quota and its mount"
            )
        case kind if kind in _UNWRITABLE:
            return unwritable(path, str(error))
        case _ if is_damage(error):
            return damaged(path, str(error))
    return StoreError(f"{path} cannot be used: {error}")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it tells that the file is not as it was written."""
    return _kind(error) in _DAMAGED and not isinstance(error, sqlite3.ProgrammingError)


def _kind(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", _WITHOUT_CODE) & _PRIMARY


def in_use(path: Path) -> StoreInUseError:
    pid = holder(path)
    which = "" if pid is None else f" ({pid})"
    return StoreInUseError(
        f"{path} is open in another process{which}: stop that one, or name another folder with --state-dir"
    )


def unwritable(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"{path} cannot be written ({reason}): let this user write it and the folder {path.parent}"
    )


def damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"{path} is damaged ({reason}): {remedy(path)}", reason)


def remedy(path: Path) -> str:
    """What to do about a damaged file."""
    return (
        f"stop the appliance, move the file away with those beside it (`{_moving(path)}`) and start again: "
        "a new one is made, and clients begin anew"
    )


def foreign(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} is {what}: move it away (`{_moving(path)}`), or name another folder with --state-dir"
    )


def newer(path: Path, version: int, newest: int) -> StoreError:
    return StoreError(
        f"{path} is of version {version}, and this appliance knows versions up to {newest}: run the newer appliance "
        f"that made it, or move it away (`{_moving(path)}`), so that a new one is made and clients begin anew"
    )


def _moving(path: Path) -> str:
    """A command that leaves nothing behind that would be taken for a part of the next file."""
    folder, name = shlex.quote(str(path.parent)), shlex.quote(path.name)
    return f"cd {folder} && mkdir -p away && mv {name}* away/"
