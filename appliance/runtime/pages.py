"""Pages: old rows of a channel, from where its rows come from, as its events would be.

Must not know who asks, nor in which words.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

import attrs
import structlog
import trio

from appliance.api import Event
from appliance.core import topics
from appliance.core.errors import ErrorCode, PublishError, RequestError, SourceError
from appliance.core.events import Entry
from appliance.core.fitting import misfits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.api import Channel, Page, PageQuery, Row
    from appliance.runtime.hub import Hub
    from appliance.runtime.sight import Sight

    Pager: TypeAlias = Callable[[PageQuery], Awaitable[Page]]

_log = structlog.get_logger()

_MOST_ASKED = 16
"""Pages of a source that are looked through for one that somebody is shown."""


@attrs.frozen
class Rows:
    """Rows as entries that have no place, the newest first. `next` is the cursor behind which there are older ones."""

    entries: Sequence[Entry]
    next: str | None


class Pages:
    """`within` gives the seconds that a source may take; `transform` is what becomes of an event."""

    def __init__(
        self, hub: Hub, *, transform: Callable[[Event], Event | None], within: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._transform = transform
        self._within = within
        self._pagers: dict[str, tuple[Channel, Pager]] = {}

    def add(self, channel: Channel, pager: Pager) -> None:
        self._pagers[channel.name] = channel, pager

    def remove(self, channel: str) -> None:
        self._pagers.pop(channel, None)

    async def page(self, name: str, query: PageQuery, sight: Sight) -> Rows:
        """Give a page of the rows that somebody is shown, as they are shown; `RequestError` says why there is none."""
        if name not in self._pagers or not sight.scope.reaches(name):
            raise RequestError(
                ErrorCode.INVALID_CHANNEL,
                f"Channel {name!r} has no old rows to page through; its topics' events have what it keeps",
            )
        channel, pager = self._pagers[name]
        if query.key is not None and not sight.scope.covers(topics.join(name, query.key)):
            return Rows((), None)
        entries: list[Entry] = []
        # Nobody is to count what is withheld by the rows that are missing.
        for _ in range(1 if sight.scope.has_whole(name) else _MOST_ASKED):
            found = await self._ask(channel, pager, attrs.evolve(query, limit=query.limit - len(entries)))
            query = attrs.evolve(query, cursor=found.next)
            shown = (self._entry(channel, row, sight) for row in found.rows)
            entries += [entry for entry in shown if entry is not None]
            if found.next is None or len(entries) >= query.limit:
                break
        return Rows(entries, query.cursor)

    async def _ask(self, channel: Channel, pager: Pager, query: PageQuery) -> Page:
        within = self._within()
        try:
            with trio.fail_after(within):
                return await pager(query)
        except trio.TooSlowError:
            problem = f"The source of {channel.name} did not answer within {within:g} s (limits.answer)"
        except ValueError as error:
            raise RequestError(ErrorCode.INVALID_MESSAGE, str(error)) from None
        except SourceError as error:
            # What is wrong with a database is its operator's business, not the client's.
            _log.warning("no page", channel=channel.name, reason=str(error))
            problem = f"The source of {channel.name} cannot be asked at the moment"
        raise RequestError(ErrorCode.UNAVAILABLE, problem)

    def _entry(self, channel: Channel, row: Row, sight: Sight) -> Entry | None:
        """Make of a row what its event would be; none where there would be no event, or not for this reader."""
        name = topics.join(channel.name, row.key)
        if not topics.is_key(row.key) or not sight.scope.covers(name):
            return None
        now = time.time()
        event = self._transform(Event(channel.name, row.key, row.data, now if row.at is None else row.at))
        if event is None or (channel.schema is not None and misfits(event.data, channel.schema)):
            return None
        try:
            body = sight.body(name, self._hub.body(event))
        except PublishError:
            return None
        return None if body is None else Entry(0, event.at, now, body)
