"""A sight: the hub as somebody sees it. What is not in its scope is not there: neither by name nor by pattern.

Must not know who that is. Asking for what is not in the scope changes nothing, and is told what is told of what there
is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core import topics
from appliance.core.errors import RequestError
from appliance.runtime.hub import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from appliance.core.history import Topic
    from appliance.core.scope import Scope
    from appliance.runtime.hub import Hub
    from appliance.runtime.lines import Newcomers


@attrs.frozen
class Sight:
    """Topics come out of it as they are shown."""

    hub: Hub
    scope: Scope

    def topic(self, name: str) -> Topic:
        """Give a topic by its name, making it where its channel allows that."""
        if topics.is_pattern(name) or not self.scope.covers(name):
            raise missing(name)
        return self.hub.topic(name, self.scope.view(name))

    def known(self, name: str) -> Topic | None:
        """Give a topic by its name, if it is there."""
        return self.hub.known(name, self.scope.view(name)) if self.scope.covers(name) else None

    def matching(self, pattern: str) -> Iterator[Topic]:
        for topic in list(self.hub.matching(pattern)):
            shown = self.show(topic)
            if shown is not None and self.hub.has(shown):
                yield shown

    def covers(self, pattern: str) -> bool:
        """Whether a pattern can ever match."""
        return any(self.scope.reaches(channel, pattern) for channel in self.hub.channels)

    def show(self, topic: Topic) -> Topic | None:
        """Give a topic of the hub as it is shown, if it is."""
        if not self.scope.covers(topic.name):
            return None
        return self.hub.show(topic, self.scope.view(topic.name))

    def body(self, name: str, body: bytes) -> bytes | None:
        """Give what is shown of an event that would be in a topic, if it is."""
        return self.scope.view(name).shown(body) if self.scope.covers(name) else None


class Lookout:
    """Tells of topics that come into being for a sight, under patterns.

    One whose events are all withheld comes into being with the first that is not. `refused` is told of one that cannot
    be shown.
    """

    def __init__(
        self,
        sight: Sight,
        newcomers: Newcomers,
        refused: Callable[[str, RequestError], object] = lambda _name, _error: None,
    ) -> None:
        self._sight = sight
        self._newcomers = newcomers
        self._refused = refused
        self._patterns: set[str] = set()
        self._awaited: set[Topic] = set()

    def follow(self, pattern: str) -> None:
        """Tell of the topics of a pattern that are not there yet."""
        hub = self._sight.hub
        self._patterns.add(pattern)
        hub.watch(self)
        if self._sight.scope.filters:
            for topic in list(hub.matching(pattern)):
                self._await(topic)

    def forget(self, pattern: str) -> None:
        self._patterns.discard(pattern)
        for topic in [topic for topic in self._awaited if not topics.covered(self._patterns, topic.name)]:
            self._await_no_more(topic)
        if not self._patterns:
            self._sight.hub.unwatch(self)

    def close(self) -> None:
        for pattern in list(self._patterns):
            self.forget(pattern)

    def appeared(self, topic: Topic) -> None:
        """From the hub: a topic came into being, or one that is awaited has an event that is shown."""
        if topic in self._awaited:
            self._awaited.discard(topic)
            self._newcomers.appeared(topic)
        elif topics.covered(self._patterns, topic.name):
            try:
                shown = self._await(topic)
            except RequestError as error:
                self._refused(topic.name, error)
            else:
                if shown is not None:
                    self._newcomers.appeared(shown)

    def _await(self, topic: Topic) -> Topic | None:
        """Give a topic of the hub as it is shown, unless it has yet to come into being."""
        hub, shown = self._sight.hub, self._sight.show(topic)
        if shown is None:
            return None
        if shown is topic or not self._sight.scope.view(topic.name).conditions or hub.has(shown):
            self._await_no_more(shown)
            return shown
        self._awaited.add(shown)
        hub.wait_for(shown, self)
        return None

    def _await_no_more(self, topic: Topic) -> None:
        if topic in self._awaited:
            self._awaited.discard(topic)
            self._sight.hub.wait_no_more(topic, self)
