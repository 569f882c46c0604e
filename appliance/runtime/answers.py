"""Answers: events made now, for one client that asks, where a channel can make them; else the newest that there is.

Must not know who asks, nor in which words.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
import trio

from appliance.core.errors import PublishError
from appliance.core.events import Entry, Event
from appliance.core.fitting import misfits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.api import Channel
    from appliance.core.history import Topic
    from appliance.runtime.hub import Hub
    from appliance.runtime.sight import Sight

    Maker: TypeAlias = Callable[[str], Awaitable[Mapping[str, Any] | None]]
    """From a key to the data of an event made now; nothing where there can be none."""

_log = structlog.get_logger()


class Answers:
    """`within` gives the seconds that a channel may take."""

    def __init__(self, hub: Hub, *, within: Callable[[], float]) -> None:
        self._hub = hub
        self._within = within
        self._makers: dict[str, tuple[Channel, Maker]] = {}

    def add(self, channel: Channel, maker: Maker) -> None:
        self._makers[channel.name] = channel, maker

    def remove(self, channel: str) -> None:
        self._makers.pop(channel, None)

    async def make(self, topic: Topic, sight: Sight) -> Entry | None:
        """Give an entry that was made for this one reader, at the place of the topic's newest, and as it is shown."""
        name, _, key = topic.name.partition(":")
        body = await self._ask(*self._makers[name], key) if name in self._makers else None
        body = None if body is None else sight.body(topic.name, body)
        if body is None:
            return topic.latest
        now = time.time()
        return Entry(topic.last, now, now, body)

    async def _ask(self, channel: Channel, maker: Maker, key: str) -> bytes | None:
        log, within, body = _log.bind(channel=channel.name, key=key), self._within(), None
        try:
            with trio.move_on_after(within) as patience:
                body = self._body(channel, key, await maker(key))
            if patience.cancelled_caught:
                log.warning("no answer in time, the newest event is given", seconds=within)
        except* (Exception, SystemExit) as group:
            # Whatever a plugin raises stays its own trouble; cancellation is no Exception and passes.
            log.exception("no answer, the newest event is given", exc_info=group)
        return body

    def _body(self, channel: Channel, key: str, data: Mapping[str, Any] | None) -> bytes | None:
        """Give what was made as JSON, held to the same as what is published."""
        if data is None:
            return None
        if channel.schema is not None and (wrong := misfits(data, channel.schema)):
            raise PublishError("; ".join(map(str, wrong)))
        body = self._hub.body(Event(channel.name, key, data, time.time()))
        if not body.startswith(b"{"):
            raise PublishError(f"the data of an event is an object, not {type(data).__name__}")
        return body
