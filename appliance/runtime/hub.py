"""The hub: gives offsets, keeps histories and latest values, and fans events out to outboxes.

All of it is synchronous: what one call does, no other task sees half done. So a snapshot and the stream
behind it have nothing between them. Must not know sockets, tasks or wire protocols: how an event reads is a
`Form`'s matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs
import msgspec

from appliance.core import topics
from appliance.core.errors import ErrorCode, PublishError, RequestError
from appliance.core.history import Retention, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from appliance.api import Channel
    from appliance.core.events import Entry, Event


_ASKED_FOR = 0.5
"""Share of a channel's topics that clients may bring into being by asking for them; the rest is for events."""


class Outlet(Protocol):
    """Where a session's events go: its outbox, or a throttle in front of it."""

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None: ...


class Form(Protocol):
    """The words that a session is told in; sessions with equal forms share each rendered frame."""

    def __hash__(self) -> int: ...

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]: ...

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]: ...


class Newcomers(Protocol):
    """Who wants to know of topics that come into being."""

    def appeared(self, topic: Topic) -> None: ...


class Observer(Protocol):
    """Who wants to see events as they are published, whatever becomes of them."""

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None: ...


class Audience:
    """All sessions that read one topic in the same words: each entry is rendered once for them."""

    __slots__ = (
        "_conflated",
        "_form",
        "_frame",
        "_gap",
        "_label",
        "_newest",
        "_rendered",
        "outlets",
        "topic",
    )

    def __init__(self, topic: Topic, form: Form, label: str, *, conflated: bool) -> None:
        self.topic = topic
        self.outlets: dict[Hashable, Outlet] = {}
        self._form = form
        self._label = label
        self._conflated = conflated
        self._rendered = b""
        self.renew()

    def renew(self) -> None:
        """Find the words anew: the topic is another channel's now."""
        self._frame = self._form.update(self.topic, self._label)
        self._gap = None if self._conflated else self._form.gap(self.topic, self._label)
        self._newest: Entry | None = None

    def frame(self, entry: Entry) -> bytes:
        if entry is not self._newest:
            self._rendered = self._frame(entry)
            self._newest = entry
        return self._rendered

    def gap(self, first: int, last: int) -> bytes:
        """Give a notice of what was left out; who asked for a limit knows that things are."""
        return b"" if self._gap is None else self._gap(first, last)


@attrs.define(eq=False)
class _Line:
    """A topic and who reads it."""

    topic: Topic
    declared: bool = False
    """Whether it is there without an event. One that is not can be read by its name alone, not by a pattern."""
    audiences: dict[Hashable, Audience] = attrs.field(factory=dict)


@attrs.define(eq=False)
class _Family:
    """A channel and its topics by key."""

    channel: Channel
    settings: Any
    retention: Retention
    lines: dict[str, _Line] = attrs.field(factory=dict)
    gone: bool = False
    """Whether the channel has ended: nobody finds its topics then, but they are kept for its return."""

    def may_have(self, key: str) -> bool:
        return self.channel.open or topics.covered(self.channel.topics, key)


class Hub:
    """`epoch` is that of all its topics: a position of another epoch is of another hub."""

    def __init__(
        self,
        *,
        epoch: str,
        most_topics: int,
        most_bytes: int,
    ) -> None:
        self.epoch = epoch
        self.serial = 0
        self._most_topics = most_topics
        self._most_bytes = most_bytes
        self._families: dict[str, _Family] = {}
        self._newcomers: dict[Newcomers, None] = {}
        self._observers: dict[Observer, None] = {}
        self._encode = msgspec.json.Encoder(decimal_format="number").encode
        self.events = 0

    def open(self, channel: Channel, settings: Any, retention: Retention) -> None:  # noqa: ANN401 - the plugin's own
        """Add a channel, or let it take the place of one of its name, with whose topics and readers it goes on.

        Its topics that need no event to exist are there at once.
        """
        before = self._families.get(channel.name)
        family = self._families[channel.name] = _Family(channel, settings, retention)
        if before is not None:
            family.lines = before.lines
            for line in family.lines.values():
                _succeed(line, channel, retention)
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

    def publish(self, event: Event, received: float) -> list[Topic]:
        """Give an event its place in each of its topics, and to every outbox that is owed it.

        It is the last entry of the topics that are returned.
        """
        family = self._families[event.channel]
        body = self.body(event)
        # All its topics are found before it enters the first: an event that one cannot take is in none.
        lines = self._lines(family, event)
        for line in lines:
            topic = line.topic
            if not topic.last and not line.declared:
                self._announce(topic)
            self.serial += 1
            entry = topic.append(body, at=event.at, received=received, serial=self.serial)
            offset = entry.offset
            for audience in line.audiences.values():
                frame = audience.frame(entry)
                if frame:
                    for outlet in audience.outlets.values():
                        outlet.offer(topic, offset, frame)
        self.events += 1
        entered = [line.topic for line in lines]
        for observer in self._observers:
            observer.see(event, entered, body)
        return entered

    def check(self, event: Event) -> list[Topic]:
        """Raise the PublishError that publishing an event would raise; else give its topics, made where missing.

        Those that are not published into after all are to be released.
        """
        family = self._families[event.channel]
        self.body(event)
        return [line.topic for line in self._lines(family, event)]

    def topic(self, name: str) -> Topic:
        """Give a topic by its name, making it where its channel allows that."""
        channel, _, key = name.partition(":")
        family = self._family(channel)
        line = None if family is None else family.lines.get(key)
        if line is None:
            if family is None or not family.may_have(key):
                raise RequestError(ErrorCode.INVALID_CHANNEL, f"Channel {name!r} does not exist")
            try:
                line = self._create(family, key, share=_ASKED_FOR)
            except PublishError as error:
                raise RequestError(ErrorCode.INVALID_CHANNEL, str(error)) from None
        return line.topic

    def known(self, name: str) -> Topic | None:
        """Give a topic by its name, if it is there."""
        channel, _, key = name.partition(":")
        family = self._family(channel)
        line = None if family is None else family.lines.get(key)
        return None if line is None else line.topic

    def has(self, topic: Topic) -> bool:
        """Whether a topic is there for all, not only for those who asked for it by its name."""
        return bool(topic.last) or self._find(topic).declared

    def matching(self, pattern: str) -> Iterator[Topic]:
        for family in self._families.values():
            if family.gone:
                continue
            for line in family.lines.values():
                if (line.declared or line.topic.last) and topics.matches(pattern, line.topic.name):
                    yield line.topic

    def covers(self, pattern: str) -> bool:
        """Whether a pattern can ever match: some channel's name fits its beginning."""
        stem = pattern.removesuffix(topics.ANY)
        return any(
            f"{name}:".startswith(stem) or stem.startswith(f"{name}:")
            for name in self._families
            if self._family(name)
        )

    def join(
        self, topic: Topic, reader: Hashable, outlet: Outlet, *, form: Form, label: str, conflated: bool
    ) -> Audience:
        """Deliver a topic's events to a reader from now on."""
        audiences = self._find(topic).audiences
        words = (form, label, conflated)
        audience = audiences.get(words)
        if audience is None:
            audience = audiences[words] = Audience(topic, form, label, conflated=conflated)
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
        line = self._find(topic)
        if not line.audiences and not line.declared and not topic.last:
            channel, _, key = topic.name.partition(":")
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

    def body(self, event: Event) -> bytes:
        """Give the data of an event as JSON, within its bound."""
        try:
            body = self._encode(event.data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise PublishError(f"{event.channel}: data is no JSON: {error}") from error
        if len(body) > self._most_bytes:
            raise PublishError(
                f"{event.channel}: an event of {len(body)} bytes is over the limit of {self._most_bytes}"
                " (limits.event_bytes)"
            )
        return body

    def _family(self, channel: str) -> _Family | None:
        family = self._families.get(channel)
        return None if family is None or family.gone else family

    def _lines(self, family: _Family, event: Event) -> list[_Line]:
        keys = dict.fromkeys(family.channel.route(event, family.settings))
        missing = [key for key in keys if key not in family.lines]
        for key in missing:
            _check_key(family, key)
        self._check_room(family, len(missing))
        return [family.lines.get(key) or self._create(family, key) for key in keys]

    def _find(self, topic: Topic) -> _Line:
        channel, _, key = topic.name.partition(":")
        return self._families[channel].lines[key]

    def _create(self, family: _Family, key: str, *, share: float = 1.0) -> _Line:
        _check_key(family, key)
        self._check_room(family, 1, share=share)
        channel = family.channel
        topic = Topic(
            topics.join(channel.name, key), channel.mode, channel.message, self.epoch, family.retention
        )
        line = family.lines[key] = _Line(topic)
        return line

    def _check_room(self, family: _Family, more: int, *, share: float = 1.0) -> None:
        if more and len(family.lines) + more - 1 >= share * self._most_topics:
            raise PublishError(
                f"{family.channel.name} has its most topics, {self._most_topics} (limits.topics)"
            )

    def _announce(self, topic: Topic) -> None:
        for newcomers in list(self._newcomers):
            newcomers.appeared(topic)


def _check_key(family: _Family, key: str) -> None:
    if not topics.is_key(key) or topics.is_pattern(key):
        raise PublishError(
            f"{family.channel.name}: {key!r} is no key: 1 to 200 visible characters without `*`"
        )


def _succeed(line: _Line, channel: Channel, retention: Retention) -> None:
    """Let a topic go on as one of another channel of the same name."""
    topic = line.topic
    topic.mode, topic.message, topic.retention = channel.mode, channel.message, retention
    line.declared = False
    for audience in line.audiences.values():
        audience.renew()
