"""The source `replay`: plays a tape to the channels that name it.

Must not know how it is read, nor when events are due.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from appliance.api import Row
from appliance.sources.tapes.deck import Deck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from appliance.api import Feed
    from appliance.sources.tapes.lines import Taped
    from appliance.sources.tapes.settings import ReplaySettings


class Replay:
    """One tape for all channels of the source. `clock` is the wall clock, in seconds since 1970."""

    def __init__(self, settings: ReplaySettings, clock: Callable[[], float] = time.time) -> None:
        self._original = settings.times == "original"
        self._deck = Deck(settings)
        self._clock = clock

    async def produce(self, feed: Feed, settings: Any) -> None:  # noqa: ANN401, ARG002 - the interface of all sources
        """Publish the events of `feed.channel`, each in its turn; behind the last one there is silence."""
        with self._deck.seat(feed) as seat:
            while True:
                await feed.publish_all(self._rows(await self._deck.next(seat), feed))

    def _rows(self, events: Iterable[Taped], feed: Feed) -> Iterator[Row]:
        for taped in events:
            try:
                data = taped.content
            except ValueError as error:
                feed.log.warning("event cannot be played", key=taped.key, problem=str(error))
            else:
                yield Row(taped.key, data, self._time(taped))

    def _time(self, taped: Taped) -> float:
        if self._original:
            return taped.at.timestamp()
        return self._clock() - (taped.received - taped.at).total_seconds()
