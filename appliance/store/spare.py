"""The copy of the file that is kept before it is brought to another version: the way back for the appliance before.

Must not know what changes from version to version. The copy stays until the same version is copied again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from appliance.core.errors import StoreError
from appliance.store import faults, header, schema
from appliance.store.behind import Mark

if TYPE_CHECKING:
    from pathlib import Path


def place(path: Path, version: int) -> Path:
    """Say where the copy of a file of that version is."""
    return path.with_name(f"{path.name}-version-{version}")


def newest(path: Path) -> int | None:
    """Give the newest version of which there is a copy that this appliance can use."""
    versions = range(schema.NEWEST, 0, -1)
    return next((version for version in versions if place(path, version).is_file()), None)


def keep(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the file as it is, under the lock that the connection has."""
    unfinished = path.with_name(f"{path.name}-copy")
    try:
        unfinished.unlink(missing_ok=True)  # of one that was killed
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        try:
            connection.execute("VACUUM INTO ?", (str(unfinished),))
            _sync(unfinished, os.O_RDWR)
            unfinished.replace(place(path, version))
            _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{unfinished} cannot be written ({error.strerror}): look at the disk and its mount"
        ) from error


def revert(path: Path) -> int | None:
    """Where a newer appliance has changed the file, take the copy from before; None where it has not, and all is well.

    What was told since is not in it, so all topics begin anew. The newer file stays beside it, as a copy of its
    version. Whatever ends this half-way, it can be done again. Raises StoreError.
    """
    found = header.version(path)
    if found is None or found <= schema.NEWEST:
        return None
    version = newest(path)
    if version is None:
        raise StoreError(f"{faults.newer(path, found, schema.NEWEST)}; no copy from before is there")
    _fold(path)
    aside = place(path, found)
    try:
        Mark(path).expect_behind()
        aside.unlink(missing_ok=True)
        aside.hardlink_to(path)
        place(path, version).replace(path)
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be replaced ({error.strerror}): look at the disk and its mount"
        ) from error
    return version


def _fold(path: Path) -> None:
    """Take what is in the write-ahead log into the file, so that no log of it is taken for one of the copy."""
    with faults.explaining(path):
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
        if path.with_name(f"{path.name}-wal").exists():
            raise faults.in_use(path)


def _sync(path: Path, flags: int) -> None:
    opened = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
