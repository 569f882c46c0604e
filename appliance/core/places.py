"""Where a reader stands, as a text: it is given one with what it reads, and shows it when it comes back.

Must not know who reads, nor how the texts travel.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeAlias

import attrs

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position, Resumption, Since, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.core.history import Stretch, Topic

RIGHT = "`EPOCH:OFFSET` for one topic, `EPOCH-SERIAL…` (the id of a server-sent event) for any"
"""What a text must be, for those who are told that theirs is not."""

_NUMBER = r"[0-9]{1,19}"
_POSITION = re.compile(rf"(?P<epoch>[!-~]{{1,240}}):(?P<offset>{_NUMBER})")
_PLACE = re.compile(
    rf"(?P<epoch>[!-}}]{{1,240}})-(?P<serial>{_NUMBER})(?:\.(?P<seen>{_NUMBER}))?"
    rf"(?:~(?P<store>[!-}}]{{1,240}})-(?P<number>{_NUMBER}))?"
)
_NOWHERE = Position(epoch="", offset=0)
"""Of no topic: who shows it begins anew."""
_MOST_SHOWN = 100


@attrs.frozen
class Place:
    """Where a reader of many topics stands: it has seen their entries up to `serial`.

    Its stream may have begun with a snapshot, which is older. While that is under way, `serial` is what the snapshot
    was taken behind, and `seen` is up to where the reader has got it. `kept` is where it stands among what the store
    keeps, by which it goes on after a restart.
    """

    epoch: str
    serial: int
    seen: int | None = None
    kept: Position | None = None

    def exists(self, newest: Place) -> bool:
        """Whether somebody can have got there who has read no more than there is, which ends at the newest place."""
        return self.epoch == newest.epoch and max(self.serial, self.seen or 0) <= newest.serial

    def resume(self, topic: Topic, newest: Place) -> Resumption:
        """Say how the reader goes on with a topic, which stands no further than the newest place."""
        if self.exists(newest):
            return self._resume(topic)
        if topic.durable and self.kept is not None and newest.kept is not None and self.seen is None:
            there = self.kept.epoch == newest.kept.epoch and self.kept.offset <= newest.kept.offset
            return topic.resume_behind_number(self.kept.offset) if there else topic.resume(_NOWHERE)
        return topic.resume(_NOWHERE)

    def _resume(self, topic: Topic) -> Resumption:
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
    kept = "" if shown.kept is None else f"~{shown.kept.epoch}-{shown.kept.offset}"
    return f"{shown.epoch}-{shown.serial}{snapshot}{kept}"


def read(text: str) -> Shown:
    """Read what `write` has written; a `RequestError` says what is right."""
    if found := _POSITION.fullmatch(text):
        return Position(found["epoch"], int(found["offset"]))
    if found := _PLACE.fullmatch(text):
        seen = None if found["seen"] is None else int(found["seen"])
        kept = None if found["store"] is None else Position(found["store"], int(found["number"]))
        return Place(found["epoch"], int(found["serial"]), seen, kept)
    shown = text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
    raise RequestError(ErrorCode.INVALID_MESSAGE, f"{shown!r} is no position: {RIGHT}")


def resume(shown: Shown, topic: Topic, *, newest: Place) -> Resumption:
    """Say how a reader goes on with a topic; `newest` is the place of who has read all there is."""
    return topic.resume(shown) if isinstance(shown, Position) else shown.resume(topic, newest)


def by_topic(marks: Mapping[str, Position | Since], name: str = "") -> Callable[[Topic], Resumption | None]:
    """Make the function that says how a reader goes on which shows a position for each topic that it has read.

    A time does for all topics that a name covers: what is shown under the name counts where it is a time.
    """
    usual = marks.get(name)

    def recover(topic: Topic) -> Resumption | None:
        mark = marks.get(topic.name, usual if isinstance(usual, Since) else None)
        if isinstance(mark, Since):
            return topic.resume_since(mark.at)
        return None if mark is None else topic.resume(mark)

    return recover


@attrs.frozen(kw_only=True)
class Asked:
    """What somebody asks for of what a topic keeps, who may show an offset of its epoch alone.

    It is what comes first behind `after`, or since a time; without them what comes last up to `to`, or of all. Each of
    the others that is given bounds it.
    """

    after: Shown | int | None = None
    to: Shown | int | None = None
    since: float | None = None
    until: float | None = None

    @property
    def forwards(self) -> bool:
        return self.after is not None or (self.since is not None and self.to is None)

    def find(
        self, topic: Topic, *, newest: Place, count: int, size: int
    ) -> tuple[Stretch, Resumption | None]:
        """Give what is kept of it, and whether that is all: nothing, when it cannot have missed anything."""
        since = -math.inf if self.since is None else self.since
        until = math.inf if self.until is None else self.until
        span = Span(count=count, size=size, since=since, until=until)
        resumption, end = self._begin(topic, newest), topic.last
        if self.to is not None:
            ending = _up_to(_shown(self.to, topic), topic, newest)
            end = ending.after
            both = ending if resumption is None else resumption
            resumption = attrs.evolve(both, recovered=both.recovered and ending.recovered)
        if self.forwards and resumption is not None:
            return topic.forwards(resumption.after, span, to=end), resumption
        return topic.backwards(end, span), resumption

    def _begin(self, topic: Topic, newest: Place) -> Resumption | None:
        if self.after is not None:
            return resume(_shown(self.after, topic), topic, newest=newest)
        return None if self.since is None else topic.resume_since(self.since)


def _up_to(shown: Shown, topic: Topic, newest: Place) -> Resumption:
    """Say up to where a reader goes: to nowhere when that is no longer known. What is still to come is no bound."""
    if isinstance(shown, Position) and shown.epoch == topic.epoch:
        shown = Position(shown.epoch, min(shown.offset, topic.last))
    ending = resume(shown, topic, newest=newest)
    return ending if ending.recovered else Resumption(after=0, recovered=False, gap=None)


def _shown(shown: Shown | int, topic: Topic) -> Shown:
    return Position(topic.epoch, shown) if isinstance(shown, int) else shown
