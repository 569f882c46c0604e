"""A producer's watch on other channels: their events wait for it, up to a bound.

Must not know what it makes of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio

from appliance.core import digits, topics
from appliance.core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.core.events import Event
    from appliance.core.history import Topic

_MOST_REMEMBERED = 10_000
"""Names of topics: there may be ever new ones."""


_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Watch:
    """The events of a channel's own producer are left out: who answers to itself never ends."""

    def __init__(self, channel: str, patterns: tuple[str, ...], *, most: int, exact: bool = False) -> None:
        self._channel = channel
        self._patterns = patterns
        self._most = most
        self._decode: Callable[[bytes], dict[str, Any]] = digits.decode if exact else _decode
        self._waiting: deque[tuple[Event, bytes]] = deque()
        self._lost = 0
        self._covered: dict[str, bool] = {}
        self._more = trio.Event()

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None:
        """From the hub: an event, and the topics that it is in."""
        if event.channel == self._channel or not any(self._covers(topic.name) for topic in entered):
            return
        if len(self._waiting) == self._most:
            self._lost += 1
            return
        self._waiting.append((event, body))
        self._more.set()

    def _covers(self, name: str) -> bool:
        """Remembered, for this is asked for each event."""
        covers = self._covered.get(name)
        if covers is None:
            if len(self._covered) >= _MOST_REMEMBERED:
                self._covered.clear()
            covers = self._covered[name] = topics.covered(self._patterns, name)
        return covers

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Event:
        if self._lost:
            raise PluginError(
                f"{self._channel}: its producer is over {self._most} events behind what it watches, and has lost "
                f"{self._lost} (producers.watch): let it do less for each, or watch less"
            )
        if self._waiting:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._waiting:
            self._more = trio.Event()
            await self._more.wait()
        event, body = self._waiting.popleft()
        # Data of its own: whoever published the event, or watches it too, may change theirs.
        return attrs.evolve(event, data=self._decode(body))
