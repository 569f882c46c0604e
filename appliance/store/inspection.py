"""What is in the store, and whether all of it is as it was written: by what SQLite knows, and by what we know.

Must not know how that is told. Holds one event at a time, and one topic's row.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import attrs

from appliance.store.faults import DamagedError
from appliance.store.flaws import MOST, Flaws
from appliance.store.reading import opened_to_read, size_on_disk

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from pathlib import Path

MOST_NOTES: Final = 10
"""Words that are told of the notes of a channel; the others are counted."""
_OTHERS: Final = "…"
_WORD: Final = re.compile(r"\w+")
_BEFORE_ALL: Final = -(2**63)
_AT_ONCE: Final = 1_000
"""Events between two words of how far it has come."""


@attrs.define(kw_only=True)
class Contents:
    """What is kept of a channel. An event counts once for each topic that it is in.

    `oldest` and `newest` are source times. `notes` counts what was noted by the first word of its name:
    `seen/1` and `seen/2` count as `seen`.
    """

    topics: int = 0
    events: int = 0
    size: int = 0
    oldest: float = math.inf
    newest: float = -math.inf
    notes: dict[str, int] = attrs.field(factory=dict)

    def count(self, at: float | None, size: int) -> None:
        self.events += 1
        self.size += size
        if at is not None:
            self.oldest, self.newest = min(self.oldest, at), max(self.newest, at)

    def count_note(self, name: str) -> None:
        word = _WORD.search(name)
        label = _OTHERS if word is None else word[0]
        if label not in self.notes and len(self.notes) >= MOST_NOTES:
            label = _OTHERS
        self.notes[label] = self.notes.get(label, 0) + 1


@attrs.frozen(kw_only=True)
class Findings:
    """`size` is that of the file and its log, `free` the part of the file that holds nothing."""

    file: Path
    size: int
    free: int = 0
    version: int | None = None
    channels: Mapping[str, Contents] = attrs.field(factory=dict)
    flaws: Flaws


def inspect(path: Path, *, tell: Callable[[int], object]) -> Findings:
    """Read all of it; `tell` is called with how many events were read since the last time.

    Raises StoreError when it cannot be looked at: an appliance has it, say. What is wrong in it is found, not raised.
    """
    flaws = Flaws()
    try:
        with opened_to_read(path) as connection:
            return _Inspection(connection, flaws, tell).run(path)
    except DamagedError as error:
        flaws.add(error.reason)
        return Findings(file=path, size=size_on_disk(path), flaws=flaws)


class _Inspection:
    def __init__(self, connection: sqlite3.Connection, flaws: Flaws, tell: Callable[[int], object]) -> None:
        self._connection = connection
        self._flaws = flaws
        self._tell = tell
        self._channels: dict[str, Contents] = {}
        self._number = 0

    def run(self, path: Path) -> Findings:
        with self._flaws.reading("the file"):
            self._read_structure()
        with self._flaws.reading("its head"):
            self._read_head()
        with self._flaws.reading("its topics"):
            for row in self._connection.execute("SELECT id, channel, name, epoch, gone, last FROM topics"):
                self._read_topic(*row)
        with self._flaws.reading("what was let go of"):
            self._read_strays()
        with self._flaws.reading("what producers noted"):
            self._read_notes()
        return Findings(
            file=path,
            size=size_on_disk(path),
            free=self._pragma("freelist_count") * self._pragma("page_size"),
            version=self._pragma("user_version"),
            channels=dict(sorted(self._channels.items())),
            flaws=self._flaws,
        )

    def _read_structure(self) -> None:
        for (found,) in self._connection.execute(f"PRAGMA integrity_check({MOST})"):
            if found != "ok":
                self._flaws.add(f"SQLite finds: {' '.join(str(found).split())}")

    def _read_head(self) -> None:
        match self._connection.execute("SELECT identity, number, boot FROM head").fetchall():
            case [(str(identity), int(number), str())] if identity and number >= 0:
                self._number = number
            case rows:
                self._flaws.add(f"its head is not as it was written: {len(rows)} rows")

    def _read_topic(self, *row: Any) -> None:  # noqa: ANN401 - whatever stands there
        match row:
            case (int(id_), str(channel), str(name), str(), int(gone), int(last)) if 0 <= gone <= last:
                contents = self._channels.setdefault(channel, Contents())
                contents.topics += 1
                with self._flaws.reading(f"topic {name}"):
                    self._read_events(id_, name, contents, behind=gone, last=last)
            case _:
                self._flaws.add(f"topic {row[2]!r} is not as it was written")

    def _read_events(self, topic: int, name: str, contents: Contents, *, behind: int, last: int) -> None:
        """Look that offsets have no holes, that numbers ascend, and that each event is what was written."""
        offset_before, number_before, told = behind, 0, contents.events
        for row in self._connection.execute(
            "SELECT offset, number, at, received, checksum, body FROM entries WHERE topic = ? AND offset > ?"
            " ORDER BY offset",
            (topic, behind),
        ):
            match row:
                case (int(offset), int(number), float() | None as at, float(), checksum, bytes(body)):
                    pass
                case _:
                    self._flaws.add(f"event {row[0]!r} of {name} is not as it was written")
                    continue
            if offset != offset_before + 1:
                self._flaws.add(_missing(name, offset_before, offset))
            if crc32(body) != checksum:
                self._flaws.add(f"event {offset} of {name} is not as it was written")
            elif not number_before < number <= self._number:
                self._flaws.add(f"event {offset} of {name} has the number {number}, out of its order")
            else:
                contents.count(at, len(body))
            offset_before, number_before = offset, number
            if contents.events - told >= _AT_ONCE:
                self._tell(contents.events - told)
                told = contents.events
        self._tell(contents.events - told)
        if offset_before < last:
            self._flaws.add(_missing(name, offset_before, last + 1))
        elif offset_before > last:
            self._flaws.add(f"{name} has events up to {offset_before}, and its last is {last}")

    def _read_strays(self) -> None:
        """Look that of the events that were let go of, those that are still there are to be deleted."""
        gone = dict(self._connection.execute("SELECT id, gone FROM topics"))
        leftovers = dict(self._connection.execute("SELECT topic, upto FROM leftovers"))
        topic = _BEFORE_ALL
        while True:
            (topic,) = self._connection.execute(
                "SELECT min(topic) FROM entries WHERE topic > ?", (topic,)
            ).fetchone()
            if topic is None:
                return
            (strays,) = self._connection.execute(
                "SELECT count(*) FROM entries WHERE topic = ? AND offset > ? AND offset <= ifnull(?, offset)",
                (topic, leftovers.get(topic, 0), gone.get(topic)),
            ).fetchone()
            if strays:
                self._flaws.add(f"{strays} events are left over that nothing deletes")

    def _read_notes(self) -> None:
        for channel, name, value in self._connection.execute("SELECT channel, name, value FROM state"):
            self._channels.setdefault(channel, Contents()).count_note(name)
            try:
                json.loads(value)
            except (ValueError, TypeError, RecursionError):
                self._flaws.add(f"the note {name!r} of channel {channel} is not as it was written")

    def _pragma(self, name: str) -> int:
        (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)


def _missing(name: str, before: int, after: int) -> str:
    first, last = before + 1, after - 1
    which = f"event {first} of {name} is" if first == last else f"events {first} to {last} of {name} are"
    return f"{which} missing"
