"""The events of a stream, each with the place of who has read it: where its client goes on when it comes back.

Must not know who reads, nor how the events travel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from appliance.core import passages, places
from appliance.core.history import Position
from appliance.core.places import Place
from appliance.dialects import cryptointel, eventstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.access.seals import Seal
    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.passages import Passage

FORM: Final = cryptointel.Form.DOCUMENT


@attrs.frozen(kw_only=True)
class Events:
    """The document's form as events. The id of each is the place of who has read so far: the same for all readers.

    `epoch` is that of the hub's serials, `store` that of the numbers of what is kept. Places count the events of all
    topics: for who is not to count them, there is a `seal`. With `times`, each event says when it happened and came.
    """

    epoch: str
    store: str | None
    seal: Seal | None = None
    times: bool = False

    def write(self, shown: places.Shown) -> str:
        text = places.write(shown)
        return text if self.seal is None else self.seal.close(text)

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        text, epoch, store = cryptointel.update(FORM, topic, label, times=self.times), self.epoch, self.store
        write = self.write

        def render(entry: Entry) -> bytes:
            kept = None if store is None else Position(store, entry.number)
            return eventstream.event(text(entry), write(Place(epoch, entry.serial, kept=kept)))

        return render

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        """Without an id: what stands behind the gap is not sent yet."""
        text = cryptointel.gap(FORM, topic, label)

        def render(first: int, last: int) -> bytes:
            return eventstream.event(text(first, last))

        return render


class Opening:
    """A topic as one reader is told of it until it is up to date.

    Its snapshot is older than the place where its stream begins: who has got only a part of it comes back for the rest,
    and not for what else was there before.
    """

    def __init__(self, topic: Topic, label: str, *, events: Events, behind: int) -> None:
        self.topic = topic
        self._label = label
        self._events = events
        self._behind = behind

    def gap(self, first: int, last: int) -> bytes:
        return self._events.gap(self.topic, self._label)(first, last)

    def frame(self, entry: Entry) -> bytes:
        return self._renderer()(entry)

    def passage(self, first: int) -> Passage:
        return passages.read(self.topic, first, self._renderer())

    def _renderer(self) -> Callable[[Entry], bytes]:
        """Make what is not kept: each reader has one of these for each topic, and most never go back to it."""
        update, events, behind = self._events.update(self.topic, self._label), self._events, self._behind

        def render(entry: Entry) -> bytes:
            event = update(entry)
            if entry.serial > behind:
                return event
            return eventstream.placed(event, events.write(Place(events.epoch, behind, seen=entry.serial)))

        return render
