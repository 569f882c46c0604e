"""The hub: gives offsets, keeps histories and latest values, and fans events out to outboxes.

All of it is synchronous: what one call does, no other task sees half done. So a snapshot and the stream
behind it have nothing between them. Must not know sockets, tasks or wire protocols: how an event reads is a
`Form`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from appliance.core import topics, views
from appliance.core.errors import ErrorCode, PublishError, RequestError
from appliance.core.events import Entry
from appliance.core.history import Position, Retention, Topic
from appliance.core.passages import Shelf
from appliance.core.places import Place
from appliance.core.views import WHOLE
from appliance.runtime.audience import Audience
from appliance.runtime.gallery import Gallery
from appliance.runtime.lines import Family, Line, forgotten, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from appliance.api import Channel
    from appliance.core.events import Event
    from appliance.core.kept import Kept
    from appliance.core.views import View
    from appliance.runtime.audience import Form, Outlet
    from appliance.runtime.derived import Later
    from appliance.runtime.lines import Newcomers


_ASKED_FOR = 0.5
"""Share of a channel's topics that clients may bring into being by asking for them; the rest is for events."""


class Observer(Protocol):
    """Who wants to see events as they are published, whatever becomes of them."""

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None: ...


@attrs.frozen(eq=False)
class Prepared:
    """An event that the hub can take: its data as JSON, and the topics that it belongs to."""

    event: Event
    body: bytes
    lines: Sequence[Line]

    @property
    def channel(self) -> str:
        return self.event.channel

    @property
    def at(self) -> float:
        return self.event.at

    @property
    def topics(self) -> list[Topic]:
        return [line.topic for line in self.lines]


def _untimed(_seconds: float, _call: Callable[[], None]) -> None:
    raise RuntimeError("this hub has no timers, so that it can show nothing at a rate")


class Hub:
    """`epoch` is that of its serials, and of the topics that begin in it. `store` is that of the numbers of what is
    kept, the newest of which is `number`; none: nothing is. `most_views` are those of a topic, and `later` is for what
    they show late.
    """

    def __init__(
        self,
        *,
        epoch: str,
        most_topics: int,
        most_bytes: int,
        store: str | None = None,
        number: int = 0,
        most_views: int = 64,
        later: Later = _untimed,
    ) -> None:
        self.epoch = epoch
        self.serial = 0
        self.store = store
        self.number = number
        self._most_topics = most_topics
        self._most_bytes = most_bytes
        self.gallery = Gallery(most=most_views, later=later, serials=self._next_serial)
        self._families: dict[str, Family] = {}
        self._newcomers: dict[Newcomers, None] = {}
        self._observers: dict[Observer, None] = {}
        self._shelf = Shelf()
        self._encode = msgspec.json.Encoder(decimal_format="number").encode
        self.events = 0

    @property
    def newest(self) -> Place:
        """The place of who has read all there is."""
        return Place(
            self.epoch, self.serial, kept=None if self.store is None else Position(self.store, self.number)
        )

    def open(self, channel: Channel, settings: Any, retention: Retention) -> None:  # noqa: ANN401 - the plugin's own
        """Add a channel, or let it take the place of one of its name, with whose topics and readers it goes on.

        Its topics that need no event to exist are there at once.
        """
        before = self._families.get(channel.name)
        family = self._families[channel.name] = Family(channel, settings, retention)
        if before is not None:
            family.lines = before.lines
            for line in family.lines.values():
                line.succeed(channel, retention)
        self.declare(channel.name, [key for key in channel.topics if not topics.is_pattern(key)])

    def close(self, channel: str) -> None:
        """End a channel; who reads it is told nothing more of it until it returns."""
        self._families[channel].gone = True

    def declare(self, channel: str, keys: Iterable[str]) -> None:
        family = self._families[channel]
        for key in keys:
            line = family.lines.get(key) or self._create(family, key)
            if not line.declared:
                line.declared = True
                self._announce(line.topic)

    def restore(self, channel: str, kept: Iterable[Kept], now: float) -> None:
        """Let topics of a channel go on from what was kept of them; those that have events have gone on already."""
        family = self._families[channel]
        entries: list[tuple[Topic, Entry]] = []
        restored: list[Line] = []
        for each in kept:
            key = key_of(each.topic)
            line = family.lines.get(key) or self._create(family, key)
            topic = line.topic
            if not topic.last:
                restored.append(line)
                topic.epoch, topic.last = each.epoch, each.last
                topic.forgotten_number = forgotten(each, self.number)
                topic.durable = True
                entries += [(topic, entry) for entry in each.entries]
                if not line.declared:
                    self._announce(topic)
        entries.sort(key=lambda pair: pair[1].number)
        for topic, entry in entries:
            self.serial += 1
            topic.restore(
                Entry(entry.offset, entry.at, entry.received, entry.body, self.serial, entry.number)
            )
        for topic in dict(entries):
            topic.expire(now)
        for line in restored:
            for view in line.views.values():
                view.seed(self.serial)

    def publish(self, event: Event, received: float) -> list[Topic]:
        """Give an event its place in each of its topics, and to every outbox that is owed it.

        It is the last entry of the topics that are returned.
        """
        family = self._families[event.channel]
        body = self.body(event)
        # All its topics are found before it enters the first: an event that one cannot take is in none.
        return self._enter(event, body, self._lines(family, event), received, kept=False)

    def prepare(self, event: Event) -> Prepared:
        """Raise the PublishError that publishing an event would raise; else give it ready to `enter`.

        Its topics are made where missing. Those that it does not enter after all are to be released.
        """
        family = self._families[event.channel]
        body = self.body(event)
        return Prepared(event, body, self._lines(family, event))

    def enter(self, prepared: Prepared, received: float, *, kept: bool = False) -> list[Topic]:
        """Publish an event that was prepared; one that is `kept` takes the next numbers."""
        there = self._attached(prepared)
        return self._enter(prepared.event, prepared.body, there, received, kept=kept)

    def topics(self, prepared: Prepared) -> list[Topic]:
        """Give the topics that an event is about to enter."""
        return [line.topic for line in self._attached(prepared)]

    def _attached(self, prepared: Prepared) -> list[Line]:
        """Find the lines of an event: somebody may have released a topic that had no event yet, and made it again."""
        lines = self._families[prepared.channel].lines
        return [lines.setdefault(key_of(line.topic.name), line) for line in prepared.lines]

    def _enter(
        self, event: Event, body: bytes, lines: Iterable[Line], received: float, *, kept: bool
    ) -> list[Topic]:
        entered, data = [], None
        for line in lines:
            topic = line.topic
            if not topic.last and not line.declared:
                self._announce(topic)
            self.serial += 1
            if kept:
                self.number += 1
                topic.durable = True
            entry = topic.append(body, at=event.at, received=received, serial=self.serial, number=self.number)
            line.offer(entry)
            if line.views:
                data = views.read(body) if data is None else data
                for view in list(line.views.values()):
                    view.take(entry, data)
            entered.append(topic)
        self.events += 1
        for observer in self._observers:
            observer.see(event, entered, body)
        return entered

    def topic(self, name: str, view: View = WHOLE) -> Topic:
        """Give a topic by its name, as a view shows it, making it where its channel allows that."""
        channel, _, key = name.partition(":")
        family = self._family(channel)
        line = None if family is None else family.lines.get(key)
        if line is None:
            if family is None or not family.may_have(key):
                raise missing(name)
            try:
                line = self._create(family, key, share=_ASKED_FOR)
            except PublishError as error:
                raise RequestError(ErrorCode.INVALID_CHANNEL, str(error)) from None
        topic = self.show(line.topic, view)
        if family is not None and line.there and not (family.may_have(key) or self.has(topic)):
            raise missing(name)  # it is there for others
        return topic

    def known(self, name: str, view: View = WHOLE) -> Topic | None:
        """Give a topic by its name, if it is there, as a view shows it."""
        channel, _, key = name.partition(":")
        family = self._family(channel)
        line = None if family is None else family.lines.get(key)
        return None if line is None else self.show(line.topic, view)

    def show(self, topic: Topic, view: View) -> Topic:
        """Give a topic as a view shows it; RequestError where as many others as there may be are read."""
        if view.is_whole:
            return topic
        return self.gallery.show(self._find(topic), view, self.serial)

    def wait_for(self, topic: Topic, newcomers: Newcomers) -> None:
        """Tell of a derived topic before the first event that is shown in it."""
        derived = self.gallery.find(topic)
        assert derived is not None  # noqa: S101 - it is one, and who waits for it reads it
        derived.awaited[newcomers] = None

    def wait_no_more(self, topic: Topic, newcomers: Newcomers) -> None:
        derived = self.gallery.find(topic)
        if derived is not None:
            derived.awaited.pop(newcomers, None)

    def has(self, topic: Topic) -> bool:
        """Whether a topic is there for all, not only for those who asked for it by its name."""
        return self._find(topic).there

    def matching(self, pattern: str) -> Iterator[Topic]:
        for family in self._families.values():
            if family.gone:
                continue
            for line in family.lines.values():
                if line.there and topics.matches(pattern, line.topic.name):
                    yield line.topic

    @property
    def channels(self) -> list[str]:
        return [name for name, family in self._families.items() if not family.gone]

    def sizes(self) -> dict[str, int]:
        return {name: len(family.lines) for name, family in self._families.items() if not family.gone}

    def join(
        self, topic: Topic, reader: Hashable, outlet: Outlet, *, form: Form, label: str, conflated: bool
    ) -> Audience:
        """Deliver a topic's events to a reader from now on."""
        audiences = self._find(topic).audiences
        words = (form, label, conflated)
        audience = audiences.get(words)
        if audience is None:
            audience = audiences[words] = Audience(topic, form, label, conflated=conflated, shelf=self._shelf)
        audience.outlets[reader] = outlet
        return audience

    def leave(self, audience: Audience, reader: Hashable) -> None:
        del audience.outlets[reader]
        if not audience.outlets:
            audiences = self._find(audience.topic).audiences
            for words in [words for words, other in audiences.items() if other is audience]:
                del audiences[words]

    def release(self, topic: Topic) -> None:
        """Let a topic go that only existed because somebody asked for it."""
        channel, _, key = topic.name.partition(":")
        line = self._families[channel].lines[key]
        if not line.is_read and not line.there:
            self.gallery.clear(line)
            del self._families[channel].lines[key]

    def watch(self, newcomers: Newcomers) -> None:
        """Tell of each topic that comes into being, before its first event."""
        self._newcomers[newcomers] = None

    def unwatch(self, newcomers: Newcomers) -> None:
        self._newcomers.pop(newcomers, None)

    def observe(self, observer: Observer) -> None:
        """Show each event to an observer, once it is in its topics."""
        self._observers[observer] = None

    def overlook(self, observer: Observer) -> None:
        self._observers.pop(observer, None)

    def expire(self, now: float) -> None:
        """Let go of entries that have passed their age."""
        for family in self._families.values():
            for line in family.lines.values():
                line.topic.expire(now)
                if line.views:
                    self.gallery.expire(line, now)

    def body(self, event: Event) -> bytes:
        """Give the data of an event as JSON, within its bound."""
        try:
            body = self._encode(event.data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise PublishError(f"{event.channel}: data is no JSON: {error}") from error
        if len(body) > self._most_bytes:
            raise PublishError(
                f"{event.channel}: an event of {len(body)} bytes is over the limit of {self._most_bytes}"
                " (limits.event_bytes)",
                limit="event_bytes",
            )
        return body

    def _family(self, channel: str) -> Family | None:
        family = self._families.get(channel)
        return None if family is None or family.gone else family

    def _lines(self, family: Family, event: Event) -> list[Line]:
        keys = dict.fromkeys(family.channel.route(event, family.settings))
        absent = [key for key in keys if key not in family.lines]
        for key in absent:
            family.check_key(key)
        family.check_room(len(absent), most=self._most_topics)
        return [family.lines.get(key) or self._create(family, key) for key in keys]

    def _find(self, topic: Topic) -> Line:
        derived = self.gallery.find(topic)
        if derived is not None:
            return derived
        channel, _, key = topic.name.partition(":")
        return self._families[channel].lines[key]

    def _create(self, family: Family, key: str, *, share: float = 1.0) -> Line:
        family.check_key(key)
        family.check_room(1, most=self._most_topics, share=share)
        channel = family.channel
        topic = Topic(
            topics.join(channel.name, key), channel.mode, channel.message, self.epoch, family.retention
        )
        return family.lines.setdefault(key, Line(topic))

    def _next_serial(self) -> tuple[int, int]:
        self.serial += 1
        return self.serial, self.number

    def _announce(self, topic: Topic) -> None:
        for newcomers in list(self._newcomers):
            newcomers.appeared(topic)


def missing(name: str) -> RequestError:
    """Say that a topic is not there: in the same words to whom it is not there for, and to all."""
    return RequestError(ErrorCode.INVALID_CHANNEL, f"Channel {name!r} does not exist")
