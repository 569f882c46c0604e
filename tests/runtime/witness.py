"""A client of the delivery model: believes only what it reads, and finds what does not add up.

Must not know hubs, outboxes or flushers: what it checks is what any client on the other side of a socket can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core.history import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runtime.stage import Message


@attrs.define
class Place:
    """Where a client stands in a topic: it has all before `following`.

    The next message may go back to `low` (a snapshot under another label), and forward when the client has (or
    just had) a limit, which leaves things out.
    """

    epoch: str
    label: str
    limited: bool
    following: int
    low: int
    forward: bool

    def take(self, first: int, last: int) -> None:
        assert first >= self.low, f"{first} again: {self}"
        assert self.forward or self.limited or first <= self.following, f"nothing before {first}: {self}"
        assert last >= first
        self.low = self.following = last + 1
        self.forward = False


class Witness:
    """`published` gives the body of a topic's offset in an epoch; `is_log` tells the mode of a topic."""

    def __init__(self, published: Callable[[str, str, int], object], is_log: Callable[[str], bool]) -> None:
        self.places: dict[str, Place] = {}
        self.done = False
        self.gaps = 0
        self._names: dict[str, tuple[str | None, float | None]] = {}
        self._published = published
        self._is_log = is_log

    def read(self, message: Message) -> None:
        assert not self.done, f"after the end: {message}"
        match message["kind"]:
            case "subscribed":
                self._subscribed(message)
            case "unsubscribed":
                self._unsubscribed(message)
            case "update":
                place = self._place(message)
                place.take(message["offset"], message["offset"])
                assert message["body"] == self._published(message["topic"], place.epoch, message["offset"])
            case "gap":
                self._gap(message)
            case "slow":
                self._slow(message)
            case kind:
                raise AssertionError(kind)

    def positions(self) -> dict[str, Position]:
        return {topic: Position(place.epoch, place.following - 1) for topic, place in self.places.items()}

    def find(self, topic: str) -> tuple[str | None, float | None] | None:
        """Give the label and the limit that a topic is read on."""
        if topic in self._names:
            return self._names[topic]
        for name, (label, limit) in self._names.items():
            fits = name.endswith("*") and topic.startswith(name[:-1])
            if fits and not (limit and self._is_log(topic)):
                return label, limit
        return None

    def _subscribed(self, message: Message) -> None:
        for name, label, limit in message["names"]:
            self._names[name] = (label, limit)
        for reading in message["joined"]:
            topic, limited = reading["topic"], reading["limit"] is not None
            place = self.places.get(topic)
            start = reading["after"] + 1
            if place is None:
                self.places[topic] = Place(
                    epoch=reading["epoch"],
                    label=reading["label"],
                    limited=limited,
                    following=start,
                    low=start,
                    forward=False,
                )
                continue
            assert place.epoch == reading["epoch"]
            if place.label != reading["label"]:
                place.low = min(place.low, start)
            self._change(place, reading["label"], limited=limited)

    def _unsubscribed(self, message: Message) -> None:
        del self._names[message["name"]]
        for topic in message["left"]:
            del self.places[topic]
        for topic, place in self.places.items():
            found = self.find(topic)
            assert found is not None, f"still read: {place}"
            self._change(place, found[0] or topic, limited=found[1] is not None)

    def _change(self, place: Place, label: str, *, limited: bool) -> None:
        place.forward = place.forward or place.limited
        place.label, place.limited = label, limited

    def _place(self, message: Message) -> Place:
        topic = message["topic"]
        assert topic in self.places, f"not subscribed: {message}"
        assert message["label"] == self.places[topic].label
        return self.places[topic]

    def _gap(self, message: Message) -> None:
        assert not self._is_log(message["topic"]), f"left out of a log: {message}"
        place = self._place(message)
        assert not place.limited
        place.take(message["first"], message["last"])
        self.gaps += 1

    def _slow(self, message: Message) -> None:
        resume = message["resume"]
        assert set(resume) == set(self.places)
        for topic, place in self.places.items():
            epoch, offset = resume[topic]
            assert epoch == place.epoch
            if place.limited or place.forward:
                # What a limit has left out may be passed over, but not the newest.
                newest = message["newest"][topic]
                assert place.low - 1 <= offset <= newest, f"{topic}: {offset} of {newest} at {place}"
                assert offset < newest or place.following == newest + 1
            else:
                assert place.low - 1 <= offset <= place.following - 1
                assert place.low < place.following or offset == place.following - 1
        self.done = True
