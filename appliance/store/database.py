"""The file of the store: made for its owner only, opened by one process at a time, and known for what it is.

Must not know what is kept in it, but for its version.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final

from appliance.core.errors import StoreError
from appliance.store import faults, schema, spare

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT: Final = 4_000
"""Pages in the write-ahead log before they are moved to the file: more of them are written over meanwhile."""
CACHE: Final = 16 * 1024
"""KiB of pages that are kept in memory."""
_SPARE: Final = 64 * 1024**2
"""Bytes that the write-ahead log keeps when it is begun anew."""


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file, or make it. What is written is on disk at each commit, until `PRAGMA synchronous` says otherwise.

    A file that cannot be used raises StoreError, and stays as it is.
    """
    _make(path)
    with faults.explaining(path):
        # Transactions are begun by hand, and nobody is waited for.
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _make(path: Path) -> None:
    """Make an empty file, from which SQLite takes the permissions of those beside it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # One that exists is not opened here: closing it would give up the locks that this process has on it.
        if not path.is_file():
            raise faults.foreign(path, "no file") from None
        if not os.access(
            path, os.R_OK | os.W_OK, effective_ids=True
        ):  # which SQLite tells as a fault of the disk
            raise faults.unwritable(path, "permission denied") from None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be made ({error.strerror}): let this user write {path.parent}, or make room there"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # The lock is the kernel's, so that it is gone with its process, however that ends. With it, SQLite needs no memory
    # shared with other processes, which would be one more file to map and to fail.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    version = version_of(connection, path)
    if not version:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only before there is a table
    (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise StoreError(
            f"{path} cannot have a write-ahead log: let this user write the folder {path.parent}, or name another"
        )
    for setting in (
        f"cache_size = -{CACHE}",
        f"wal_autocheckpoint = {CHECKPOINT}",
        f"journal_size_limit = {_SPARE}",
        "secure_delete = OFF",
        "synchronous = FULL",
    ):
        connection.execute(f"PRAGMA {setting}")
    if version < schema.NEWEST:
        if version:
            spare.keep(connection, path, version)
        schema.migrate(connection, version)
        # So that whoever reads the first bytes of the file while we have it finds the version.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a file of ours; 0 of an empty one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != schema.APPLICATION and (application or version or tables):
        raise faults.foreign(path, "a database of another application")
    if version > schema.NEWEST:
        raise faults.newer(path, version, schema.NEWEST)
    return int(version)
