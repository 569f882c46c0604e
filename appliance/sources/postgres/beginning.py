"""How following begins: from what was noted, or at a first start with the newest rows, or with those of some time.

Must not know how rows are followed from then on, nor when.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import attrs

from appliance.api import Mode
from appliance.sources.postgres import description, moments, notes
from appliance.sources.postgres.columns import Selection, listed, select
from appliance.sources.postgres.reader import Reader
from appliance.sources.postgres.rows import Events
from appliance.sources.postgres.seen import EDGE
from appliance.sources.postgres.statements import Place, Values, order_by
from appliance.sources.postgres.window import HEADS, Window, seen_from, too_many
from appliance.sources.postgres.xid import Xid, newest_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.api import Feed
    from appliance.sources.postgres.columns import Column
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.rows import Head
    from appliance.sources.postgres.settings import TableSettings

_LATEST = "latest"
_SINCE = "since"


class Follower(Protocol):
    def note(self, heads: Iterable[Head]) -> Mapping[str, Any]: ...

    async def poll(self, link: Link, *, woken: bool) -> None:
        """Tell all that is new; `woken` says that something is."""


async def begin(link: Link, feed: Feed, settings: TableSettings) -> Follower:
    """Look at the table, tell of the past what is to be told and was not, and give who follows from there."""
    selection = select(await description.describe(link, settings), settings)
    beginning = Beginning(link, feed, settings, selection)
    await beginning.note_where()
    follower = beginning.follower()
    await beginning.tell_past(follower)
    return follower


@attrs.define
class Beginning:
    _link: Link
    _feed: Feed
    _settings: TableSettings
    _selection: Selection

    async def note_where(self) -> None:
        """Note where following begins, unless that was noted before."""
        selection, settings, state = self._selection, self._settings, self._feed.state
        if selection.is_vague:
            self._feed.log.warning(
                "rows that are alike in all columns are told once",
                table=selection.described.name,
                remedy="name the columns that tell rows apart in `identity`, or give the table a primary key",
            )
        of = notes.fingerprint(settings, selection)
        stale = "it was noted for other rows" if state and state.get(notes.OF) != of else ""
        if settings.follow == "xid":
            xmin, xmax = await newest_end(self._link, selection)
            if state.get(notes.OF) == of and int(state[notes.WHERE][0]) > xmax:
                stale = "the database is another one, or an older copy"
        if state and not stale:
            return
        if stale:
            self._feed.log.warning(
                "where to go on is not known, the channel begins anew",
                reason=f"{stale}: rows in between may be missing",
                identity=listed(selection.identity),
            )
        first = await self._at_xid(xmin) if settings.follow == "xid" else await self._at_newest()
        await self._feed.publish_all((), note=notes.anew(state, {notes.OF: of, **first}))

    def follower(self) -> Follower:
        selection, settings = self._selection, self._settings
        if settings.follow == "xid":
            return Xid(self._reader(selection.xid), self._feed, self._events())
        return Window(self._reader(selection.time), settings, self._feed, self._events())

    async def tell_past(self, follower: Follower) -> None:
        """Tell the rows before those that are followed, as far as they were not told yet."""
        where = notes.read_place(self._feed.state[notes.WHERE])
        reader, events = self._reader(self._selection.time), self._events()
        while past := self._feed.state.get(notes.PAST):
            values = Values()
            step, *later = past["steps"]
            conditions, relation = self._past_rows(step, past, where, values, reader)
            if past["behind"] is not None:
                conditions.append(reader.order.behind(notes.read_place(past["behind"]), values))
            answer = await reader.read(self._link, values, conditions, relation=relation)
            left: dict[str, Any] | None = None
            if answer.more:
                left = {**past, "behind": notes.place(answer.heads[-1].place)}
            elif later:
                left = {**past, "steps": later, "behind": None}
            note = {**follower.note(answer.heads), notes.PAST: left}
            await self._feed.publish_all(events.make(answer.rows), note=note)

    def _past_rows(
        self, step: str, past: Mapping[str, Any], where: Place, values: Values, reader: Reader
    ) -> tuple[list[str], str | None]:
        """The conditions of a step, and what it selects from, if not from the table."""
        since, xid = past["since"], self._selection.xid
        if xid is None:
            return [reader.order.until(where, values)], reader.reading.latest([])
        ended = f"({xid.sql} < {values.add(where.leading)}::xid8 OR {xid.sql} IS NULL)"
        if step == _SINCE:
            return [ended, reader.reading.moment(since, ">=", values)], None
        relation = reader.reading.latest([ended])
        return [reader.reading.moment(since, "<", values)] if since else [], relation

    async def _at_newest(self) -> dict[str, Any]:
        """Begin behind the newest row, or with those that are to be told of the past."""
        settings, reader = self._settings, self._reader(self._selection.time)
        answer = await reader.heads(self._link, Values(), [reader.reading.passed()], most=1, reverse=True)
        if settings.backfill is not None:
            start = answer.now - moments.micros(settings.backfill)
            where = Place(moments.text(start))
        elif answer.heads:
            start = answer.heads[0].micros or 0
            where = answer.heads[0].place
        else:
            start = answer.now
            where = Place(moments.text(start))
        seen = seen_from({EDGE: start - moments.micros(settings.overlap)}, settings)
        note: dict[str, Any] = {notes.WHERE: notes.place(where), **seen.tell(())}
        place, more = None, True
        while more:
            values = Values()
            conditions = [
                reader.reading.moment(moments.text(seen.edge), ">=", values),
                reader.order.until(where, values),
            ]
            if place is not None:
                conditions.append(reader.order.behind(place, values))
            answer = await reader.heads(self._link, values, conditions, most=HEADS)
            note |= seen.tell(answer.heads)
            if len(seen) > settings.window_rows:
                raise too_many(settings)
            more = answer.more
            place = answer.heads[-1].place if more else None
        if self._tells_latest:
            note[notes.PAST] = {"steps": [_LATEST], "since": None, "behind": None}
        return note

    async def _at_xid(self, xmin: int) -> dict[str, Any]:
        """Begin with the transactions that are under way, or to come."""
        note: dict[str, Any] = {notes.WHERE: notes.place(Place(str(xmin)))}
        steps, since = [_LATEST] if self._tells_latest else [], None
        if self._settings.backfill is not None:
            ((now,),) = await self._link.fetch("SELECT (extract(epoch FROM now()) * 1000000)::int8")
            since = moments.text(now - moments.micros(self._settings.backfill))
            steps.append(_SINCE)
        if steps:
            note[notes.PAST] = {"steps": steps, "since": since, "behind": None}
        return note

    @property
    def _tells_latest(self) -> bool:
        by_mode = _LATEST if self._feed.mode is Mode.STATE else "none"
        return (self._settings.snapshot or by_mode) == _LATEST

    def _reader(self, leading: Column | None) -> Reader:
        return Reader(self._selection, order_by(leading, self._selection.identity), self._settings)

    def _events(self) -> Events:
        return Events(
            key=self._settings.key,
            floats=self._selection.floats,
            row_bytes=self._settings.row_bytes,
            log=self._feed.log,
        )
