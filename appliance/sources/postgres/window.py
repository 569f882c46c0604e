"""Following by time: rows behind the newest one that was told, and late ones within `overlap` before it.

Must not know how a first start begins, nor when to look again. Its promise: a row that is committed within `overlap`
of its time is told once, however long nobody looked. So the edge of the window moves only when the window has been
looked through, and then to what was within `overlap` when that look began.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.core.errors import SourceError
from appliance.settings.quantities import time_text
from appliance.sources.postgres import moments, notes
from appliance.sources.postgres.seen import Comparison, Seen
from appliance.sources.postgres.statements import Values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.api import Feed
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.reader import Reader
    from appliance.sources.postgres.rows import Answer, Events, Head
    from appliance.sources.postgres.settings import TableSettings

HEADS = 20_000
"""Heads that are read at once: a few milliseconds' work for the loop."""
_LEAST_SPAN = 60.0
_NEAR = 4
"""The part of the window, one of so many, in which a late row was nearly missed."""


def seen_from(state: Mapping[str, Any], settings: TableSettings) -> Seen:
    return Seen(state, span=moments.micros(max(settings.overlap, _LEAST_SPAN)))


def too_many(settings: TableSettings) -> SourceError:
    return SourceError(
        f"more than {settings.window_rows:,} rows lie within `overlap`, {time_text(settings.overlap)}, or have times to"
        ' come; raise `window_rows`, shorten `overlap`, or let `follow` be "xid"'
    )


class Window:
    """Goes on from what was noted in the state of the feed."""

    def __init__(self, reader: Reader, settings: TableSettings, feed: Feed, events: Events) -> None:
        self._reader = reader
        self._settings = settings
        self._feed = feed
        self._events = events
        self._where = notes.read_place(feed.state[notes.WHERE])
        self._seen = seen_from(feed.state, settings)
        self._near = 0

    def note(self, heads: Iterable[Head]) -> Mapping[str, Any]:
        """What is to be noted of rows that are told."""
        return self._seen.tell(heads)

    async def poll(self, link: Link, *, woken: bool) -> None:
        """Tell all that is new. Unless woken, look first whether anything is, which takes one statement."""
        if not woken and await self._is_unchanged(link):
            return
        caught_up = 0
        while True:
            values = Values()
            answer = await self._reader.read(link, values, [self._reader.order.behind(self._where, values)])
            await self._tell(answer)
            caught_up += len(answer.heads)
            if not answer.more:
                break
            # With much to catch up on, the window would grow by all of it. This way, each row is looked at twice.
            before = min(len(self._seen) - caught_up, self._settings.window_rows)
            if caught_up >= max(before, self._settings.batch):
                await self._look_back(link)
                caught_up = 0
        await self._look_back(link)

    async def _is_unchanged(self, link: Link) -> bool:
        """Whether from the edge on there are the rows that were told, and no others."""
        values = Values()
        count, _ = self._seen.digest
        found, reached = await self._digest(link, values, [self._from_edge(values)], most=count + 1)
        if found != self._seen.digest:
            return False
        self._move_edge(reached)
        return True

    async def _tell(self, answer: Answer) -> None:
        if not answer.heads:
            return
        self._where = answer.heads[-1].place
        note = {**self._seen.tell(answer.heads), notes.WHERE: notes.place(self._where)}
        await self._feed.publish_all(self._events.make(answer.rows), note=note)

    async def _look_back(self, link: Link) -> None:
        """Tell late rows, and move the edge."""
        values = Values()
        most = 2 * (self._settings.window_rows + self._settings.batch)
        found, reached = await self._digest(link, values, self._within(values), most=most)
        if found != self._seen.digest:
            if found[0] == most:
                raise too_many(self._settings)
            await self._tell_late(link)
        self._move_edge(reached)
        if len(self._seen) > self._settings.window_rows:
            raise too_many(self._settings)

    async def _digest(
        self, link: Link, values: Values, conditions: Sequence[str], *, most: int
    ) -> tuple[tuple[int, int], int]:
        """How many rows there are and the sum of their hashes, and the time up to which all have been read."""
        statement = self._reader.reading.digest(values, conditions, self._where, most=most)
        ((count, total, reached),) = await link.fetch(statement.sql, *statement.values)
        return (count, int(total)), reached

    def _move_edge(self, reached: int) -> None:
        """Nothing is late for longer than `overlap`, seen from when the window was looked through."""
        self._seen.expire(reached - moments.micros(self._settings.overlap))

    async def _tell_late(self, link: Link) -> None:
        comparison = Comparison(self._seen)
        near = moments.micros(self._settings.overlap / _NEAR) + self._seen.edge
        place, more, close = None, True, 0
        while more:
            values = Values()
            conditions = self._within(values)
            if place is not None:
                conditions.append(self._reader.order.behind(place, values))
            answer = await self._reader.heads(link, values, conditions, most=HEADS)
            missing = comparison.missing(answer.heads)
            for start in range(0, len(missing), self._settings.batch):
                await self._tell_these(link, missing[start : start + self._settings.batch])
            close += sum(1 for head in missing if (head.micros or 0) < near)
            more = answer.more
            place = answer.heads[-1].place if more else None
        comparison.finish()
        if close:
            self._near += close
            self._feed.log.warning(
                "rows came late, near the edge of the window",
                rows=close,
                so_far=self._near,
                overlap=time_text(self._settings.overlap),
                remedy='raise `overlap` before one comes too late, or let `follow` be "xid"',
            )

    async def _tell_these(self, link: Link, late: Sequence[Head]) -> None:
        """Read rows that were found to be missing, which may be gone by now, and tell them."""
        reading, order = self._reader.reading, self._reader.order
        times = [head.micros or 0 for head in late]
        identities = json.dumps([head.identity for head in late])
        place, more = None, True
        while more:
            values = Values()
            conditions = [
                reading.moment(moments.text(times[0]), ">=", values),
                order.among(identities, values),
            ]
            if times[-1] < moments.LATEST:
                conditions.append(reading.moment(moments.text(times[-1]), "<=", values))
            if place is not None:
                conditions.append(order.behind(place, values))
            answer = await self._reader.read(link, values, conditions)
            new = [(head, body) for head, body in answer.rows if head not in self._seen]
            note = self._seen.tell(head for head, _ in new)
            await self._feed.publish_all(self._events.make(new), note=note)
            more = answer.more
            place = answer.heads[-1].place if more else None

    def _within(self, values: Values) -> list[str]:
        """The conditions that a row is in the window."""
        return [self._from_edge(values), self._reader.order.until(self._where, values)]

    def _from_edge(self, values: Values) -> str:
        return self._reader.reading.moment(moments.text(self._seen.edge), ">=", values)
