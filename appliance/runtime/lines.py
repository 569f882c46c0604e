"""Lines: the topics of a channel by key, each with those who read it.

Must not know how an event comes in, nor how it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from appliance.core import topics
from appliance.core.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from appliance.api import Channel
    from appliance.core.events import Entry
    from appliance.core.history import Retention, Topic
    from appliance.core.kept import Kept
    from appliance.core.views import View
    from appliance.runtime.audience import Audience


class Newcomers(Protocol):
    """Who wants to know of topics that come into being."""

    def appeared(self, topic: Topic) -> None: ...


class Showing(Protocol):
    """A topic as a view shows it."""

    @property
    def topic(self) -> Topic: ...

    @property
    def is_read(self) -> bool: ...

    def seed(self, serial: int) -> None:
        """Begin with what the topic keeps."""

    def take(self, entry: Entry, data: Mapping[str, Any]) -> None:
        """Show the topic's new entry, which says this."""

    def succeed(self, channel: Channel, retention: Retention) -> None:
        """Go on as another channel's."""


@attrs.frozen
class Anchor:
    """Where a view stood when it was let go of: its `offset` of `epoch` at the offset `at` of the topic."""

    epoch: str
    offset: int
    at: int
    topic_epoch: str


@attrs.define(eq=False)
class Line:
    """A topic and who reads it, whole or as views show it."""

    topic: Topic
    declared: bool = False
    """Whether it is there without an event. One that is not can be read by its name alone, not by a pattern."""
    audiences: dict[Hashable, Audience] = attrs.field(factory=dict)
    views: dict[View, Showing] = attrs.field(factory=dict)
    anchors: dict[View, Anchor] = attrs.field(factory=dict)
    """Where views that were let go of can go on."""

    @property
    def there(self) -> bool:
        """Whether it is there for all, not only for those who asked for it by its name."""
        return self.declared or bool(self.topic.last)

    @property
    def is_read(self) -> bool:
        return bool(self.audiences) or any(view.is_read for view in self.views.values())

    def offer(self, entry: Entry) -> None:
        """Give an entry to all who read the topic whole."""
        topic, offset = self.topic, entry.offset
        for audience in self.audiences.values():
            frame = audience.frame(entry)
            if frame:
                for outlet in audience.outlets.values():
                    outlet.offer(topic, offset, frame)

    def succeed(self, channel: Channel, retention: Retention) -> None:
        """Let the topic go on as one of another channel of the same name."""
        topic = self.topic
        topic.mode, topic.message, topic.retention = channel.mode, channel.message, retention
        self.declared = False
        for audience in self.audiences.values():
            audience.renew()
        for view in self.views.values():
            view.succeed(channel, retention)


@attrs.define(eq=False)
class Family:
    """A channel and its topics by key."""

    channel: Channel
    settings: Any
    retention: Retention
    lines: dict[str, Line] = attrs.field(factory=dict)
    gone: bool = False
    """Whether the channel has ended: nobody finds its topics then, but they are kept for its return."""

    def may_have(self, key: str) -> bool:
        return self.channel.open or topics.covered(self.channel.topics, key)

    def check_key(self, key: str) -> None:
        if not topics.is_key(key) or topics.is_pattern(key):
            raise PublishError(
                f"{self.channel.name}: {key!r} is no key: 1 to 200 visible characters without `*`"
            )

    def check_room(self, more: int, *, most: int, share: float = 1.0) -> None:
        """Raise PublishError where there is no room for more topics; `share` is of the most that there may be."""
        if more and len(self.lines) + more - 1 >= share * most:
            problem = f"{self.channel.name} has its most topics, {most} (limits.topics)"
            raise PublishError(problem, limit="topics")


def key_of(name: str) -> str:
    return name.partition(":")[2]


def forgotten(kept: Kept, newest: int) -> int:
    """Give the highest number that an entry may have which is no longer kept."""
    if not kept.entries:
        return newest if kept.last else 0
    first = kept.entries[0]
    return first.number - 1 if first.offset > 1 else 0
