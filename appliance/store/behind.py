"""Whether clients were told what is not kept: a mark beside the file, for the file cannot be written then.

The mark is a file that has one of two names, for a name can be changed on a full disk. Must not know what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path


class Mark:
    """Of the store in a file."""

    def __init__(self, path: Path) -> None:
        self._kept = path.with_name(f"{path.name}-kept")
        self._behind = path.with_name(f"{path.name}-behind")

    def take_up(self, connection: sqlite3.Connection) -> bool:
        """Give topics other epochs where clients may have been told of offsets that are to be given anew.

        True where that was so.
        """
        was_behind = self._behind.exists()
        if was_behind:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                begin_anew(connection)
            self.catch_up()
        elif not self._kept.exists():
            self._kept.touch(mode=0o600)
        return was_behind

    def expect_behind(self) -> None:
        """Have topics begin anew at the next start, while no appliance has the file."""
        if self._kept.exists():
            self.fall_behind()
        else:
            self._behind.touch(mode=0o600)

    def fall_behind(self) -> None:
        self._kept.rename(self._behind)

    def catch_up(self) -> None:
        self._behind.rename(self._kept)


def begin_anew(connection: sqlite3.Connection) -> None:
    """Give all topics and all numbers other epochs, so that nobody goes on from where he stood."""
    connection.execute("UPDATE topics SET epoch = lower(hex(randomblob(8)))")
    connection.execute("UPDATE head SET identity = lower(hex(randomblob(16)))")
