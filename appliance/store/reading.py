"""The file opened to be read only, while no appliance has it: nothing in it changes, and nothing is left beside it.

Must not know what is read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Final

from appliance.core.errors import StoreError
from appliance.store import faults, schema
from appliance.store.database import CACHE, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STEPS: Final = 100_000
"""Of SQLite's machine, which are a few milliseconds."""


@contextlib.contextmanager
def opened_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file as it is at this moment; what a killed appliance left in its write-ahead log belongs to it.

    Others may read it too meanwhile, and no appliance starts on it. Raises StoreError.
    """
    look(path)
    beside = [path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm")]
    before = [file for file in beside if file.exists()]
    with faults.explaining(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0, isolation_level=None
        )
        with contextlib.closing(connection), interruptible(connection):
            connection.execute(f"PRAGMA cache_size = -{CACHE}")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock
            try:
                _check(connection, path)
                yield connection
            finally:
                for file in set(beside).difference(before):
                    _take_away(file)


def look(path: Path) -> None:
    """Raise StoreError when there is no file to open, or none that this user may read."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise StoreError(
            f"{path} is not there: an appliance makes it when it serves; "
            "name its folder with --state-dir, or its configuration with --config"
        ) from None
    except OSError as error:
        raise _closed(path, str(error.strerror)) from error
    if not stat.S_ISREG(found.st_mode):
        raise faults.foreign(path, "no file")
    if not os.access(path, os.R_OK, effective_ids=True):
        raise _closed(path, "permission denied")
    if not os.access(path.parent, os.W_OK, effective_ids=True):  # SQLite makes a file beside it, also to read
        raise StoreError(
            f"{path} cannot be read where nothing can be written: be the user of the appliance, or root; "
            f"or copy it and {path.name}-wal into a folder of yours, and name that with --state-dir"
        )


def _closed(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path} cannot be read ({reason}): be the user of the appliance, or root")


def size_on_disk(path: Path) -> int:
    """Give the bytes of the file, and of its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


@contextlib.contextmanager
def interruptible(connection: sqlite3.Connection) -> Iterator[None]:
    """Let Ctrl-C end a statement, however long it takes."""
    connection.set_progress_handler(lambda: 0, _STEPS)  # Python looks for signals when it is called
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from error
        raise


def _check(connection: sqlite3.Connection, path: Path) -> None:
    version = version_of(connection, path)
    if not version:
        raise StoreError(f"{path} is empty: no appliance has kept anything in it")
    if version < schema.NEWEST:
        raise StoreError(
            f"{path} is of version {version}, and this appliance reads version {schema.NEWEST}: "
            "serve with it once, which brings the file up to date, or use the appliance that wrote it"
        )


def _take_away(file: Path) -> None:
    """Remove what SQLite made to read, still under the lock that keeps an appliance from starting on it."""
    with contextlib.suppress(OSError):  # a reader beside this one was faster
        # A log that holds something was not made to read, but by an appliance that came and was killed.
        if file.name.endswith("-shm") or file.stat().st_size == 0:
            file.unlink()
