"""Digests: what has changed in a channel since the last beat, rendered once for all who chose the same.

Must not know wire protocols or sockets: how a change reads is a `Words`' matter.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from appliance.core import topics
from appliance.core.beat import Beat
from appliance.runtime.sight import Lookout, Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.scope import Scope
    from appliance.runtime.audience import Audience
    from appliance.runtime.hub import Hub


class Words(Protocol):
    """How members are told. Digests with equal words share what is rendered of each event."""

    def __hash__(self) -> int: ...

    def part(self, topic: Topic) -> Callable[[Entry], bytes]:
        """Make the function that says an entry of `topic`; an empty text leaves the topic as it was."""

    def compose(self, parts: Iterable[tuple[str, bytes]], now: float) -> Iterable[bytes]:
        """Give the finished frames that tell the parts, each with its topic's key."""


class Keys(Protocol):
    """Which of a channel's topics are chosen; equal ones mean the same."""

    def __hash__(self) -> int: ...

    def admits(self, key: str) -> bool: ...


@attrs.frozen(kw_only=True)
class Subject:
    """What all members of a digest have in common. `scope` is what there is for them."""

    channel: str
    keys: Keys
    scope: Scope
    words: Words
    interval: float

    def covers(self, topic: Topic) -> bool:
        channel, _, key = topic.name.partition(":")
        return channel == self.channel and self.keys.admits(key)


class Recipient(Protocol):
    """A member's outbox."""

    def share(self, frame: bytes) -> bool:
        """Take a frame, unless the client is behind: then False."""


@attrs.frozen
class _Form:
    """A digest's words as what the hub asks of a form."""

    words: Words

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:  # noqa: ARG002 - the hub's signature
        return self.words.part(topic)

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:  # noqa: ARG002 - the hub's signature
        return _nothing


def _nothing(_first: int, _last: int) -> bytes:
    return b""


@attrs.define(eq=False)
class _Member:
    """`told` is the last change that it has been told of; to begin with none, so that it is told all there is. Until
    `silent_until` it is told nothing.
    """

    recipient: Recipient
    silent_until: float
    told: int = 0


class Digest:
    """One reader of the hub for all its members. Changes are counted; each part stands with the count of its own."""

    def __init__(self, subject: Subject, hub: Hub) -> None:
        self.subject = subject
        self.members: dict[_Member, None] = {}
        self._sight = Sight(hub, subject.scope)
        self._lookout = Lookout(self._sight, self)
        self._audiences: list[Audience] = []
        self._changes = 0
        self._parts: dict[Topic, tuple[int, bytes]] = {}  # in the order of the changes, the newest last

    def open(self) -> None:
        """Begin to read, with what there is; or raise RequestError."""
        pattern = f"{self.subject.channel}:{topics.ANY}"
        found = [*self._sight.matching(pattern)]
        self._lookout.follow(pattern)
        for topic in found:
            if self.subject.covers(topic):
                audience = self._read(topic)
                if topic.latest is not None:
                    self.offer(topic, topic.latest.offset, audience.frame(topic.latest))

    def close(self) -> None:
        self._lookout.close()
        for audience in self._audiences:
            self._sight.hub.leave(audience, self)
        self._audiences.clear()
        self._parts.clear()

    def join(self, recipient: Recipient, silent_until: float) -> _Member:
        member = _Member(recipient, silent_until)
        self.members[member] = None
        return member

    def leave(self, member: _Member) -> None:
        self.members.pop(member, None)

    def appeared(self, topic: Topic) -> None:
        """From the lookout: a topic came into being."""
        if self.subject.covers(topic):
            self._read(topic)

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None:  # noqa: ARG002 - the hub's signature
        """From the hub: an event, as the part that tells it."""
        _, before = self._parts.get(topic, (0, b""))
        if frame != before:
            self._changes += 1
            self._parts.pop(topic, None)
            self._parts[topic] = self._changes, frame

    def beat(self, at: float, now: float) -> None:
        """Tell each member what has changed since it was told last: one frame for all that are equally far. `at` is the
        time by the clock that silence is counted by, `now` what members are told.

        Who takes nothing now is told at the first beat at which it takes something, of the newest values alone.
        """
        newest = self._changes
        frames: dict[int, bytes] = {}
        for member in self.members:
            told = member.told
            if told == newest or member.silent_until > at:
                continue
            frame = frames.get(told)
            if frame is None:
                frame = frames[told] = self._since(told, now)
            if not frame or member.recipient.share(frame):
                member.told = newest

    def _since(self, told: int, now: float) -> bytes:
        """Join all frames to one, so that a client takes all of them or none."""
        parts = []
        for topic, (change, part) in reversed(self._parts.items()):
            if change <= told:
                break
            parts.append((topic.name.partition(":")[2], part))
        parts.reverse()
        return b"".join(self.subject.words.compose(parts, now))

    def _read(self, topic: Topic) -> Audience:
        form = _Form(self.subject.words)
        audience = self._sight.hub.join(topic, self, self, form=form, label=topic.name, conflated=True)
        self._audiences.append(audience)
        return audience


class Digests:
    """Makes a digest for its first member, beats for it, and lets it go with its last.

    `clock` is that of `call_at`; `now` gives the seconds since 1970 that members are told.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], None],
        now: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._clock = clock
        self._call_at = call_at
        self._now = now
        self._digests: dict[Subject, Digest] = {}

    def __len__(self) -> int:
        return len(self._digests)

    def join(self, subject: Subject, recipient: Recipient, *, silence: float = 0.0) -> Callable[[], None]:
        """Tell a recipient at the next beat all that there is, and at each after it what has changed; or raise
        RequestError. It is told nothing at beats within its first seconds of `silence`.

        The first beat of a digest is an interval after its first member: who chooses anew is not told sooner by it.
        What is returned ends the membership.
        """
        digest = self._digests.get(subject)
        if digest is None:
            digest = Digest(subject, self._hub)
            digest.open()
            self._digests[subject] = digest
            beat = Beat(subject.interval)
            beat.next(self._clock())
            self._wait(digest, beat)
        return partial(self._leave, digest, digest.join(recipient, self._clock() + silence))

    def _leave(self, digest: Digest, member: _Member) -> None:
        digest.leave(member)
        if not digest.members and self._is_open(digest):
            del self._digests[digest.subject]
            digest.close()

    def _wait(self, digest: Digest, beat: Beat) -> None:
        _, due = beat.next(self._clock())
        self._call_at(due, partial(self._beat, digest, beat))

    def _beat(self, digest: Digest, beat: Beat) -> None:
        if self._is_open(digest):
            self._wait(digest, beat)
            digest.beat(self._clock(), self._now())

    def _is_open(self, digest: Digest) -> bool:
        return self._digests.get(digest.subject) is digest
