"""A scope: which topics there are for somebody, and what of their events.

Must not know who that is. What is not in it is for that one as if it were nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core import topics, views

if TYPE_CHECKING:
    from appliance.core.views import Filter, Mask, Pace, View


@attrs.frozen
class Scope:
    """Whoever has equal ones can share whatever is made for one of them."""

    read: tuple[str, ...] = (topics.ANY,)
    masks: frozenset[Mask] = frozenset()
    filters: frozenset[Filter] = frozenset()
    paces: frozenset[Pace] = frozenset()

    @property
    def is_everything(self) -> bool:
        return topics.ANY in self.read and not (self.masks or self.filters or self.paces)

    def covers(self, topic: str) -> bool:
        """Also of a pattern: whether all its topics are there."""
        return topics.covered(self.read, topic)

    def reaches(self, channel: str, pattern: str = topics.ANY) -> bool:
        """Whether a channel can have a topic that is there and that a pattern covers."""
        return any(topics.overlap(own, pattern, f"{channel}:{topics.ANY}") for own in self.read)

    def has_whole(self, channel: str) -> bool:
        """Whether all that a channel can ever have is there, as it is."""
        pattern = f"{channel}:{topics.ANY}"
        limited = [each.pattern for limits in (self.masks, self.filters, self.paces) for each in limits]
        return self.covers(pattern) and not any(topics.overlap(each, pattern) for each in limited)

    def counts(self, topic: str) -> bool:
        """Whether a topic is there with all its events, though perhaps not with all that they say."""
        return self.covers(topic) and not self.view(topic).withholds

    def view(self, topic: str) -> View:
        """Say what of a topic's events is shown."""
        if not (self.masks or self.filters or self.paces):
            return views.WHOLE
        return views.view(self.masks, self.filters, topic, paces=self.paces)


EVERYTHING = Scope()
NOTHING = Scope(read=())
