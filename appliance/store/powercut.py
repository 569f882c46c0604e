"""What `sync` promises of a power cut.

With `full` nothing is lost. With `normal` the newest writes may be, and their offsets would be given anew to other
entries: so topics begin another epoch then, that clients who come back are told to begin anew. A crash of the process
alone loses nothing. Must not know what is kept, but for epochs.
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Final, Literal, TypeAlias

from appliance.store.behind import begin_anew

Sync: TypeAlias = Literal["full", "normal"]

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_ALL_IS_ON_DISK = ""


def begin_writing(connection: sqlite3.Connection, sync: Sync) -> None:
    """Look whether the machine went down since writes that may be lost, and say what the coming ones promise."""
    row = connection.execute("SELECT boot FROM head").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("its head is missing")
    (noted,), boot = row, _boot()
    promised = boot if sync == "normal" else _ALL_IS_ON_DISK
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if noted not in (_ALL_IS_ON_DISK, boot):
            begin_anew(connection)
        _note(connection, promised)  # on disk once it is committed, and with it all that came before
    connection.execute(f"PRAGMA synchronous = {sync}")


def end_writing(connection: sqlite3.Connection) -> None:
    """Say that all is on disk: where this is, all that was written before it is too."""
    _note(connection, _ALL_IS_ON_DISK)


def _note(connection: sqlite3.Connection, boot: str) -> None:
    connection.execute("UPDATE head SET boot = ?1 WHERE boot <> ?1", (boot,))


def _boot() -> str:
    """What tells this boot of the machine from others; where that is not known, each start is a boot."""
    try:
        return _BOOT.read_text(encoding="utf-8").strip()
    except OSError:
        return secrets.token_hex(16)
