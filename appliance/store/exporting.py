"""What is kept, as lines of JSON: one an event, in the order in which they were kept.

Must not know where the lines go. Holds one event at a time; they are put in order in a temporary database.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import attrs
import msgspec

from appliance.core import topics
from appliance.core.errors import StoreError
from appliance.store.reading import interruptible, opened_to_read

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from appliance.store.flaws import Flaws

_encode: Final = msgspec.json.Encoder().encode


@attrs.frozen(kw_only=True)
class Selection:
    """Events of topics that a pattern covers, or of all; since and before a source time, if any is given."""

    patterns: tuple[str, ...] = (topics.ANY,)
    since: float = -math.inf
    until: float = math.inf

    def takes(self, at: float | None) -> bool:
        """Whether an event of this time is wanted; one without a time is in no stretch of it."""
        if at is None:
            return (self.since, self.until) == (-math.inf, math.inf)
        return self.since <= at < self.until


def export(
    path: Path, selection: Selection, flaws: Flaws, *, found: Callable[[int], object]
) -> Generator[bytes]:
    """Give a line for each event, its data byte for byte as it is kept. `found` is told how many are looked at.

    What cannot be read becomes a flaw, and so does a pattern that covers no topic. Raises StoreError.
    """
    with opened_to_read(path) as connection, _sorting() as order:
        # A name that is damaged does not hide its events, nor those of other topics.
        connection.text_factory = lambda text: text.decode(errors="replace")
        with flaws.reading("its topics"):
            _choose(connection, order, selection, flaws)
        (count,) = order.execute("SELECT count(*) FROM chosen").fetchone()
        found(count)
        for topic, offset in order.execute("SELECT topic, offset FROM chosen ORDER BY place"):
            line = _line(connection, topic, offset, selection, flaws)
            if line is not None:
                yield line


@contextlib.contextmanager
def _sorting() -> Iterator[sqlite3.Connection]:
    """A database of its own, for one that is damaged may refuse also what does not touch the damage."""
    with contextlib.closing(sqlite3.connect("", isolation_level=None)) as order, interruptible(order):
        order.execute("CREATE TABLE chosen (place INTEGER, topic INTEGER, offset INTEGER)")
        order.execute("BEGIN")
        try:
            yield order
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
                raise
            raise StoreError(
                "there is no room to sort the events: make some where temporary files are, or name another folder "
                "in the environment variable SQLITE_TMPDIR"
            ) from error


def _choose(
    connection: sqlite3.Connection, order: sqlite3.Connection, selection: Selection, flaws: Flaws
) -> None:
    """Note which events are to be given and where they lie, which the index tells: their pages are not needed yet."""
    unmet = dict.fromkeys(pattern for pattern in selection.patterns if pattern != topics.ANY)
    for topic, name, gone in connection.execute("SELECT id, CAST(name AS TEXT), gone FROM topics"):
        covering = [pattern for pattern in selection.patterns if topics.matches(pattern, name)]
        if not covering:
            continue
        for pattern in covering:
            unmet.pop(pattern, None)
        rows = connection.execute(
            "SELECT rowid, topic, offset FROM entries WHERE topic = ? AND offset > ?", (topic, gone)
        )
        with flaws.reading(f"the rest of {name}"):
            order.executemany("INSERT INTO chosen VALUES (?, ?, ?)", rows)
    for pattern in unmet:
        flaws.add(f"{pattern} covers no topic that is kept")


def _line(
    connection: sqlite3.Connection, topic: int, offset: int, selection: Selection, flaws: Flaws
) -> bytes | None:
    channel, name, epoch = connection.execute(
        "SELECT channel, CAST(name AS TEXT), epoch FROM topics WHERE id = ?", (topic,)
    ).fetchone()
    row = None
    with flaws.reading(f"event {offset} of {name}"):
        row = connection.execute(
            "SELECT at, received, checksum, body FROM entries WHERE topic = ? AND offset = ?", (topic, offset)
        ).fetchone()
    match row:
        case None:
            return None
        case (at, received, checksum, bytes(body)) if crc32(body) == checksum:
            content: dict[str, Any] = {
                "channel": channel,
                "topic": name,
                "epoch": epoch,
                "offset": offset,
                "at": at,
                "received": received,
                "data": msgspec.Raw(body),
            }
            return _encode(content) + b"\n" if selection.takes(at) else None
        case _:
            flaws.add(f"event {offset} of {name} is not as it was written")
            return None
