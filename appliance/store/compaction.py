"""Making the file as small as what is in it, while no appliance has it.

Must not know what is in it. Written anew into a file beside it, which takes its place once it is whole: whatever ends
that, one of them is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Final

import attrs

from appliance.core.errors import StoreError
from appliance.store import faults
from appliance.store.database import open_database
from appliance.store.reading import interruptible, look, size_on_disk
from appliance.store.sweeping import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGES_AT_ONCE: Final = 2_000
"""Pages that are given back in one transaction."""


@attrs.frozen(kw_only=True)
class Compacted:
    """Bytes of the file before and after. `lacking`: those of free disk without which it was not written anew."""

    before: int
    after: int
    lacking: int = 0


def compact(path: Path) -> Compacted:
    """Delete what was let go of, and write the rest anew; where there is no room for that, give back what is free.

    Raises StoreError; the file then holds what it held.
    """
    look(path)
    path = path.resolve()  # so that a link goes on leading to it
    before = size_on_disk(path)
    with faults.explaining(path):
        with contextlib.closing(open_database(path)) as connection, interruptible(connection):
            _delete_leftovers(connection)
            needed, room = _held(connection), shutil.disk_usage(path.parent).free
            if needed > room:
                _give_back(connection)
        if needed <= room:
            _write_anew(path)
    return Compacted(before=before, after=size_on_disk(path), lacking=max(0, needed - room))


def _delete_leftovers(connection: sqlite3.Connection) -> None:
    left = dict(connection.execute("SELECT topic, upto FROM leftovers"))
    while left:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            left = sweep(connection, (), left)


def _held(connection: sqlite3.Connection) -> int:
    """Bytes of the pages that are not free."""
    size, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return int(size * (pages - free))


def _give_back(connection: sqlite3.Connection) -> None:
    while free := connection.execute("PRAGMA freelist_count").fetchone()[0]:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for _ in range(min(free, _PAGES_AT_ONCE)):
                connection.execute("PRAGMA incremental_vacuum(1)")


def _write_anew(path: Path) -> None:
    new = path.with_name(f"{path.name}-compact")
    with _locked(path), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            new.unlink(missing_ok=True)  # of one that was killed
            _make_like(path, new)
            with interruptible(connection):
                connection.execute("VACUUM INTO ?", (str(new),))
            _sync(new, os.O_RDWR)
            new.replace(path)
            _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StoreError(
                f"{new} cannot be written ({error.strerror}): look at the disk and its mount"
            ) from error
        finally:
            new.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep appliances from the file, while nothing lies beside it: a log of the old file would be taken for one of the
    new. From when the new one is in place, what lies there may be of an appliance that has started.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN IMMEDIATE")
        if path.with_name(f"{path.name}-wal").exists():
            raise faults.in_use(path)  # by one that came in between
        yield


def _make_like(path: Path, new: Path) -> None:
    """Make an empty file that the owner of another can use, and nobody else."""
    made = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        found = path.stat()
        os.fchown(made, found.st_uid, found.st_gid)  # root may be the one who compacts
    finally:
        os.close(made)


def _sync(path: Path, flags: int) -> None:
    opened = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
