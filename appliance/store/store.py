"""The store: keeps batches of entries and notes on disk, each as a whole, and gives them back after a restart.

Must not know who publishes, nor tasks: each call blocks, and there is one at a time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from zlib import crc32

from appliance.core.errors import StoreError
from appliance.core.events import Entry
from appliance.core.kept import Kept
from appliance.store import faults
from appliance.store.behind import Mark
from appliance.store.database import open_database
from appliance.store.draft import Topic, drafted
from appliance.store.powercut import begin_writing, end_writing
from appliance.store.sweeping import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from appliance.core.kept import Batch
    from appliance.store.draft import Draft
    from appliance.store.powercut import Sync
    from appliance.store.sweeping import Departure

_NO_NUMBER = float("nan")


def open_store(path: Path, *, sync: Sync) -> Store:
    """Open the store in a file, which is made when it is not there. No other process can have it meanwhile."""
    connection = open_database(path)
    try:
        with faults.explaining(path):
            begin_writing(connection, sync)
            mark = Mark(path)
            mark.take_up(connection)
            return Store(path, connection, mark)
    except BaseException:
        connection.close()
        raise


class Store:
    """Made by `open_store`. What it knows of its topics, without their entries, is also in memory."""

    def __init__(self, path: Path, connection: sqlite3.Connection, mark: Mark) -> None:
        self._path = path
        self._mark = mark
        self._connection = connection
        head = connection.execute("SELECT identity, number FROM head").fetchone()
        self._identity: str = head[0]
        self._number: int = head[1]
        topics = connection.execute("SELECT id, channel, name, epoch, gone, last FROM topics ORDER BY id")
        self._topics = {topic.name: topic for topic in itertools.starmap(Topic, topics)}
        self._leftovers = dict(connection.execute("SELECT topic, upto FROM leftovers"))
        taken = (*(topic.id for topic in self._topics.values()), *self._leftovers)
        self._next_id = max(taken, default=0) + 1

    @property
    def number(self) -> int:
        """The number of the newest entry that was ever kept."""
        return self._number

    @property
    def identity(self) -> str:
        """Tells its numbers from those of other files."""
        return self._identity

    @property
    def sizes(self) -> tuple[int, int]:
        """Bytes of the file, and of its write-ahead log."""
        return _size(self._path), _size(self._path.with_name(f"{self._path.name}-wal"))

    def write(self, batch: Batch) -> None:
        """Keep a batch. When this raises, nothing of it is kept, and the next one is tried all the same."""
        draft = drafted(batch, self._topics, next_id=self._next_id, number=self._number)
        self._transact(lambda: _write(self._connection, draft), draft.departures)
        self._topics.update(draft.topics)
        self._next_id, self._number = draft.next_id, draft.number

    def topics(self, channel: str) -> list[Kept]:
        """Give what is kept of the topics of a channel, the oldest topic first."""
        with faults.explaining(self._path):
            return [self._kept(topic) for topic in self._of(channel)]

    def state(self, channel: str) -> dict[str, Any]:
        """Give what the producers of a channel have noted."""
        with faults.explaining(self._path):
            notes = self._connection.execute("SELECT name, value FROM state WHERE channel = ?", (channel,))
            return {name: self._decoded(value) for name, value in notes}

    def forget(self, channel: str) -> None:
        """Let go of a channel's topics, and of what its producers have noted."""
        topics = self._of(channel)

        def forget() -> None:
            self._connection.execute("DELETE FROM topics WHERE channel = ?", (channel,))
            self._connection.execute("DELETE FROM state WHERE channel = ?", (channel,))

        self._transact(forget, [topic.everything() for topic in topics])
        for topic in topics:
            del self._topics[topic.name]

    def fall_behind(self) -> None:
        """Take note that clients have been told what is not kept: should this be the end, topics begin anew."""
        self._mark.fall_behind()

    def catch_up(self) -> None:
        """Take note that all is kept again."""
        self._mark.catch_up()

    def close(self) -> None:
        """Move what is in the write-ahead log to the file, as far as the disk takes it; nothing is lost otherwise."""
        with contextlib.suppress(sqlite3.Error):  # then it counts as one that was not closed
            end_writing(self._connection)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def _of(self, channel: str) -> list[Topic]:
        found = [topic for topic in self._topics.values() if topic.channel == channel]
        return sorted(found, key=attrgetter("id"))

    def _transact(self, work: Callable[[], None], departures: Iterable[Departure]) -> None:
        """Do the work in one transaction, which is on disk when this returns; all is as before when it raises.

        That is so whatever fails: SQLite counts a commit once all of it is flushed to the log, and not one that has
        failed. What had reached the disk by then is written over by the next one.
        """
        connection = self._connection
        try:
            with faults.explaining(self._path):
                connection.execute("BEGIN IMMEDIATE")
                work()
                leftovers = sweep(connection, departures, self._leftovers)
                connection.execute("COMMIT")
        except (OverflowError, UnicodeEncodeError) as error:
            self._undo()
            raise StoreError(f"{self._path} cannot hold what is to be kept: {error}") from error
        except BaseException:
            self._undo()
            raise
        self._leftovers = leftovers

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the transaction is over all the same
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _kept(self, topic: Topic) -> Kept:
        rows = self._connection.execute(
            "SELECT offset, number, at, received, checksum, body FROM entries WHERE topic = ? AND offset > ?"
            " ORDER BY offset",
            (topic.id, topic.gone),
        )
        entries = []
        for offset, number, at, received, checksum, body in rows:
            if not isinstance(body, bytes) or crc32(body) != checksum:
                raise faults.damaged(self._path, f"event {offset} of {topic.name} is not as it was written")
            entries.append(Entry(offset, _NO_NUMBER if at is None else at, received, body, number=number))
        if [entry.offset for entry in entries] != list(range(topic.gone + 1, topic.last + 1)):
            raise faults.damaged(self._path, f"events of {topic.name} are missing")
        return Kept(topic.name, topic.epoch, topic.last, entries)

    def _decoded(self, value: str) -> Any:  # noqa: ANN401 - whatever was noted
        try:
            return json.loads(value)
        except ValueError as error:
            raise faults.damaged(self._path, str(error)) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # the log comes with the first write, and the disk may be gone
        return 0


def _write(connection: sqlite3.Connection, draft: Draft) -> None:
    for statement, rows in (
        (
            "INSERT OR REPLACE INTO topics (id, channel, name, epoch, gone, last) VALUES (?, ?, ?, ?, ?, ?)",
            [topic.row for topic in draft.topics.values()],
        ),
        ("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", draft.entries),
        ("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", draft.notes),
        ("DELETE FROM state WHERE channel = ? AND name = ?", draft.taken_away),
    ):
        if rows:
            connection.executemany(statement, rows)
    if draft.entries:
        connection.execute("UPDATE head SET number = ?", (draft.number,))
