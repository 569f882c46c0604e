"""The tables of the store, and the steps from each version of the file to the next.

Must not know what is read and written there.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

FILE_NAME: Final = "store.db"
APPLICATION = 0x41505053
"""Tells the file from those of other applications (`PRAGMA application_id`)."""


def _begin(connection: sqlite3.Connection) -> None:
    """Make the tables.

    - head: one row. `number` is that of the newest entry ever kept; `boot` is that of the machine since which some of
      what was written may not be on disk, and empty when all is.
    - entries: `checksum` is that of the body, for SQLite does not see when other bytes are read than were written. They
      lie in the order in which they came, which writes few pages however many topics take turns; and only so a row of
      1,000 bytes shares its page.
    - topics: entries up to the offset `gone` are let go of, whether they are deleted already or not.
    - leftovers: topics whose entries up to an offset are still to be deleted; the topic itself may be gone.
    """
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(
        "CREATE TABLE head (identity TEXT NOT NULL, number INTEGER NOT NULL, boot TEXT NOT NULL)"
    )
    connection.execute("INSERT INTO head VALUES (?, 0, '')", (secrets.token_hex(16),))
    connection.execute(
        "CREATE TABLE topics (id INTEGER PRIMARY KEY, channel TEXT NOT NULL, name TEXT NOT NULL UNIQUE,"
        " epoch TEXT NOT NULL, gone INTEGER NOT NULL, last INTEGER NOT NULL)"
    )
    connection.execute(
        "CREATE TABLE entries (topic INTEGER NOT NULL, offset INTEGER NOT NULL, number INTEGER NOT NULL, at REAL,"
        " received REAL NOT NULL, checksum INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (topic, offset))"
    )
    connection.execute("CREATE TABLE leftovers (topic INTEGER PRIMARY KEY, upto INTEGER NOT NULL)")
    connection.execute(
        "CREATE TABLE state (channel TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,"
        " PRIMARY KEY (channel, name)) WITHOUT ROWID"
    )


STEPS: Sequence[Callable[[sqlite3.Connection], None]] = (_begin,)
"""Each leads from the version that is its place to the next. Version 0 is a file without anything."""
NEWEST = len(STEPS)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take all steps from a version to the newest, or none."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in STEPS[version:]:
            step(connection)
        connection.execute(f"PRAGMA user_version = {NEWEST}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
