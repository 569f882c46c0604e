"""Numbering: the places that events are given before they are kept, and have when they enter their topics.

Must not know where they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.core.events import Entry
from appliance.core.kept import Record

if TYPE_CHECKING:
    from appliance.core.history import Topic
    from appliance.runtime.hub import Hub, Prepared


class Numbering:
    """Of one batch, which enters the hub before anything else that is kept. `records` are all of it so far."""

    def __init__(self, hub: Hub, received: float) -> None:
        self._hub = hub
        self._received = received
        self._lasts: dict[Topic, int] = {}
        self.records: list[Record] = []

    @property
    def topics(self) -> list[Topic]:
        """Those that the batch adds to."""
        return list(self._lasts)

    def add(self, event: Prepared) -> list[Record]:
        """Give an event its place in each of its topics, behind those that were added before."""
        hub, lasts, begun = self._hub, self._lasts, len(self.records)
        for topic in hub.topics(event):
            offset = lasts[topic] = lasts.get(topic, topic.last) + 1
            number = hub.number + len(self.records) + 1
            entry = Entry(offset, event.at, self._received, event.body, number=number)
            self.records.append(Record(event.channel, topic.name, topic.epoch, entry))
        return self.records[begun:]
