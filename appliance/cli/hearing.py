"""What is heard on an event stream becomes events of a tape; what is missing, or heard twice, is told.

Must not know where it is heard, nor where the tape is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import msgspec

from appliance.core.errors import SourceError
from appliance.core.topics import covered
from appliance.sources.tapes.lines import Moment, Taped, moment

if TYPE_CHECKING:
    from collections.abc import Callable


_NOTHING = msgspec.Raw()


class _Gap(msgspec.Struct):
    first: int | None = msgspec.field(default=None, name="from")
    last: int | None = msgspec.field(default=None, name="to")


class _Joined(msgspec.Struct):
    """A topic that is read from now on, or again."""

    channel: str
    epoch: str
    offset: int
    recovered: bool | None = None
    gap: _Gap | None = None


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Message(msgspec.Struct):
    type: str
    channel: str = ""
    offset: int | None = None
    at: Moment | None = None
    received: Moment | None = None
    data: msgspec.Raw = _NOTHING
    channels: tuple[_Joined, ...] = ()
    first: int = msgspec.field(default=0, name="from")
    last: int = msgspec.field(default=0, name="to")
    error: _Error | None = None


_MOST_NAMED = 3
_decode = msgspec.json.Decoder(_Message).decode


@attrs.define
class _Place:
    """How far a topic was heard; no offset: from the next event on."""

    epoch: str
    offset: int | None = None


@attrs.define
class Hearing:
    """`tell` is called with each thing that whoever records should know. Topics in `left_out` are not for the tape."""

    tell: Callable[[str], object]
    left_out: tuple[str, ...] = ()
    since: float = 0.0
    """When what is recorded began, where it is published: what came before counts as if it came then."""
    events: int = 0
    gaps: int = 0
    _places: dict[str, _Place] = attrs.field(factory=dict)
    _newest: dict[str, Taped] = attrs.field(factory=dict)
    _repeated: set[tuple[str, str]] = attrs.field(factory=set)

    @property
    def topics(self) -> int:
        return len(self._places)

    def hear(self, text: bytes, now: float) -> Taped | None:
        """Take a message, and give the event in it that is to be on the tape."""
        try:
            message = _decode(text)
        except msgspec.MsgspecError as error:
            raise SourceError(f"this is no appliance, or one that is too old or too new: {error}") from None
        if message.type == "subscribed":
            lost = [joined.channel for joined in message.channels if self._join(joined)]
            if lost:
                self.gaps += len(lost)
                self.tell(f"gap in {_named(lost)}: whether events are missing, and how many, is not known")
        elif message.type == "gap":
            self._skip(message.channel, message.first, message.last)
        elif message.type == "error" and message.error is not None:
            self.tell(f"the appliance says {message.error.code}: {message.error.message}")
        elif message.offset is not None and message.data is not _NOTHING:
            return self._event(message, message.offset, now)
        return None

    def _join(self, joined: _Joined) -> bool:
        """Take note of where a topic goes on; true when nobody knows what is missing before that."""
        topic, before, gap = joined.channel, self._places.get(joined.channel), joined.gap
        if before is not None and joined.recovered:
            return False
        self._places[topic] = _Place(joined.epoch)
        if before is None or covered(self.left_out, topic):
            return False
        if gap is not None and gap.first is not None and gap.last is not None:
            self._miss(topic, gap.last - gap.first + 1)
            return False
        return before.epoch != joined.epoch or before.offset != joined.offset

    def _skip(self, topic: str, first: int, last: int) -> None:
        self._places.setdefault(topic, _Place("")).offset = last
        if not covered(self.left_out, topic):
            self._miss(topic, last - first + 1)

    def _miss(self, topic: str, count: int) -> None:
        self.gaps += 1
        self.tell(f"gap in {topic}: {count:,} event{' is' if count == 1 else 's are'} missing")

    def _event(self, message: _Message, offset: int, now: float) -> Taped | None:
        topic = message.channel
        place = self._places.setdefault(topic, _Place(""))
        last, place.offset = place.offset, offset
        if covered(self.left_out, topic):
            return None
        if last is not None and offset > last + 1:
            self._miss(topic, offset - last - 1)
        channel, _, key = topic.partition(":")
        began = moment(self.since)
        received = message.received or moment(now)
        taped = Taped(
            received=max(received, began),
            at=message.at or received,
            channel=channel,
            key=key,
            topic=topic,
            epoch=place.epoch,
            offset=offset,
            data=message.data,
        )
        self._look_for_doubles(taped, topic)
        self.events += 1
        return taped

    def _look_for_doubles(self, taped: Taped, topic: str) -> None:
        """Tell once of topics that have the same events: they follow one another in the stream."""
        before, self._newest[taped.channel] = self._newest.get(taped.channel), taped
        if before is None or before.topic is None or before.topic == topic or before.at != taped.at:
            return
        pair = (before.topic, topic)
        if bytes(before.data) == bytes(taped.data) and pair not in self._repeated:
            self._repeated.add(pair)
            self.tell(
                f"{topic} has events of {before.topic} again, and so has the tape: leave one out with --except"
            )


def _named(topics: list[str]) -> str:
    shown = ", ".join(topics[:_MOST_NAMED])
    more = len(topics) - _MOST_NAMED
    return f"{shown} and {more:,} more topics" if more > 0 else shown
