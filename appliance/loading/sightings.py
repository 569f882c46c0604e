"""What was seen of the plugins in folders, and which of them lie still long enough to be taken up.

Must not know how that is done. A look decides, not the events that led to it: events get lost, and come in bursts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.loading.arrival import Probed
    from appliance.loading.files import Print, Sight
    from appliance.loading.plugin import Plugin

_NEVER: Print = ("never",)


@attrs.define(eq=False)
class Record:
    """A plugin of a folder: what of its file was seen, what became of that, and what of it runs."""

    path: Path
    handled: Print | None = _NEVER
    """How the file was when it was taken up or refused; None: not there."""
    seen: Print | None = _NEVER
    since: float = math.inf
    plugin: Plugin | None = None
    error: str = ""
    waits: Probed | None = None
    """What was refused only because of others, and may come when they change."""

    def again(self) -> None:
        """Take it up at the next look, whether or not its file changes."""
        self.handled = _NEVER


class Sightings:
    """Records by path."""

    def __init__(self) -> None:
        self._records: dict[Path, Record] = {}
        self.unsettled = False
        """Whether something was seen that has yet to lie still."""

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def drop(self, record: Record) -> None:
        self._records.pop(record.path, None)

    def all(self, sight: Sight) -> list[Record]:
        """Give what was seen, all of it taken as it is."""
        for path, found in sight.plugins.items():
            record = self._records[path] = Record(path)
            record.handled = record.seen = found
        return list(self)

    def ripe(self, sight: Sight, *, now: float, settle: float) -> list[Record]:
        """Give what differs from what was taken up and lies still for so long. It counts as taken up from now on."""
        found = [
            record
            for path in self._paths(sight)
            if self._is_ripe(path, sight, now, settle)
            for record in [self._records[path]]
        ]
        self.unsettled = any(record.seen != record.handled for record in self if record not in found)
        for record in found:
            record.handled = record.seen
        return found

    def _paths(self, sight: Sight) -> list[Path]:
        """Give what is there in the order of the look, and before it what is gone."""
        gone = [path for path in self._records if path not in sight.plugins]
        return [*(path for path in gone if path.parent not in sight.unreadable), *sight.plugins]

    def _is_ripe(self, path: Path, sight: Sight, now: float, settle: float) -> bool:
        record = self._records.setdefault(path, Record(path))
        found = sight.plugins.get(path)
        if found != record.seen:
            record.seen, record.since = found, now
        return found != record.handled and now - record.since >= settle
