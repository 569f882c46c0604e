"""A tape that is read: its events in their order, and what of it cannot be read.

Must not know who plays them. Each step blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import SourceError
from appliance.sources.tapes import lines, members
from appliance.sources.tapes.members import Damage

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.sources.tapes.lines import Taped


@attrs.frozen
class Trouble:
    """A part of a tape that holds no events which can be played."""

    problem: str


def read(path: Path, *, start: dt.datetime | None = None) -> Iterator[Taped | Trouble]:
    """Give the events of a tape, from the first that came at `start` or later; SourceError when it cannot be read."""
    try:
        with path.open("rb") as file:
            for found in members.unpack(file):
                if isinstance(found, Damage):
                    yield _damaged(found)
                    continue
                try:
                    taped = lines.read(found)
                except ValueError as error:
                    yield Trouble(f"a line is no event: {error}")
                    continue
                if start is None or taped.received >= start:
                    start = None  # whatever the clock did later
                    yield taped
    except OSError as error:
        raise SourceError(
            f"the tape {path} cannot be read ({error.strerror}): name one that is there"
        ) from error


def _damaged(damage: Damage) -> Trouble:
    place = f"{damage.end - damage.begin} bytes from byte {damage.begin} on"
    return Trouble(f"{place} were not finished" if damage.torn else f"{place} are damaged")
