"""Where a reader stands, as a text: it is given one with what it reads, and shows it when it comes back.

Must not know who reads, nor how the texts travel.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import attrs

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.core.history import Resumption, Topic

RIGHT = "`EPOCH:OFFSET` for one topic, `EPOCH-SERIAL` (the id of a server-sent event) for any"
"""What a text must be, for those who are told that theirs is not."""

_NUMBER = r"[0-9]{1,19}"
_POSITION = re.compile(rf"(?P<epoch>[!-~]{{1,240}}):(?P<offset>{_NUMBER})")
_PLACE = re.compile(rf"(?P<epoch>[!-~]{{1,240}})-(?P<serial>{_NUMBER})(?:\.(?P<seen>{_NUMBER}))?")
_NOWHERE = Position(epoch="", offset=0)
"""Of no topic: who shows it begins anew."""
_MOST_SHOWN = 100


@attrs.frozen
class Place:
    """Where a reader of many topics stands: it has seen their entries up to `serial`.

    Its stream may have begun with a snapshot, which is older. While that is under way, `serial` is what the snapshot
    was taken behind, and `seen` is up to where the reader has got it.
    """

    epoch: str
    serial: int
    seen: int | None = None

    def exists(self, epoch: str, newest: int) -> bool:
        """Whether somebody can have got there: `newest` is the serial of the newest entry of all topics."""
        return self.epoch == epoch and max(self.serial, self.seen or 0) <= newest

    def resume(self, topic: Topic) -> Resumption:
        """Say how the reader goes on with a topic of this epoch."""
        behind = topic.resume_behind(self.serial)
        if self.seen is None or topic.mode is Mode.LOG or not behind.recovered:
            return behind
        newest = next(topic.after(behind.after - 1), None)
        if newest is not None and newest.serial <= self.serial:
            # What the snapshot has of this topic, and nothing before it.
            return behind if newest.serial <= self.seen else attrs.evolve(behind, after=behind.after - 1)
        return behind if topic.forgotten <= self.seen else topic.resume_behind(self.seen)


Shown: TypeAlias = Position | Place
"""What a reader may show: where it stands in one topic, or among many."""


def write(shown: Shown) -> str:
    if isinstance(shown, Position):
        return f"{shown.epoch}:{shown.offset}"
    snapshot = "" if shown.seen is None else f".{shown.seen}"
    return f"{shown.epoch}-{shown.serial}{snapshot}"


def read(text: str) -> Shown:
    """Read what `write` has written; a `RequestError` says what is right."""
    if found := _POSITION.fullmatch(text):
        return Position(found["epoch"], int(found["offset"]))
    if found := _PLACE.fullmatch(text):
        seen = None if found["seen"] is None else int(found["seen"])
        return Place(found["epoch"], int(found["serial"]), seen)
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    raise RequestError(ErrorCode.INVALID_MESSAGE, f"{shown!r} is no position: {RIGHT}")


def resume(shown: Shown, topic: Topic, *, newest: int) -> Resumption:
    """Say how a reader goes on with a topic; `newest` is the serial of the newest entry of all topics."""
    if isinstance(shown, Position):
        return topic.resume(shown)
    return shown.resume(topic) if shown.exists(topic.epoch, newest) else topic.resume(_NOWHERE)


def by_topic(positions: Mapping[str, Position]) -> Callable[[Topic], Resumption | None]:
    """Make the function that says how a reader goes on which shows a position for each topic that it has read."""

    def recover(topic: Topic) -> Resumption | None:
        position = positions.get(topic.name)
        return None if position is None else topic.resume(position)

    return recover
