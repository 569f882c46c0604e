"""Following by transaction numbers: rows of transactions that ended before any that is under way.

Must not know how a first start begins, nor when to look again. A row is told when no transaction of a lower number can
commit any more; so the order of (xid, identity) is the order in which rows are told, however late one commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.core.errors import SourceError
from appliance.sources.postgres import notes
from appliance.sources.postgres.names import identifier
from appliance.sources.postgres.statements import Values

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.api import Feed
    from appliance.sources.postgres.columns import Selection
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.reader import Reader
    from appliance.sources.postgres.rows import Events, Head

_SINCE = 130_000
"""The first version with xid8."""


async def newest_end(link: Link, selection: Selection) -> tuple[int, int]:
    """Give the least number of a transaction under way, and the least that none has had.

    SourceError where the column has numbers that this database has not come to.
    """
    if link.version < _SINCE:
        raise SourceError(
            f'`follow` = "xid" needs PostgreSQL 13 or newer, and this is {link.version // 10_000}; let `follow` be'
            ' "window"'
        )
    assert selection.xid is not None  # noqa: S101 - a selection to be followed by xid has one
    number, relation = selection.xid.sql, selection.described.relation
    end = "pg_snapshot_xmax(pg_current_snapshot())"
    beyond_sql = f"SELECT {number}::text FROM {relation} AS t WHERE {number} >= {end} LIMIT 1"  # noqa: S608 - names are quoted
    ((xmin, xmax, beyond),) = await link.fetch(
        f"SELECT pg_snapshot_xmin(pg_current_snapshot())::text, {end}::text, ({beyond_sql})"
    )
    if beyond is not None:
        name = identifier(selection.xid.name)
        raise SourceError(
            f"{selection.described.name} has the number {beyond} in {name}, and this database has come to {xmax}"
            " only: the rows were copied from another one; set their numbers back there:"
            f" SET {name} = '0' WHERE {name} >= '{xmax}' in an UPDATE of the table"
        )
    return int(xmin), int(xmax)


class Xid:
    """Goes on from what was noted in the state of the feed."""

    def __init__(self, reader: Reader, feed: Feed, events: Events) -> None:
        self._reader = reader
        self._feed = feed
        self._events = events
        self._where = notes.read_place(feed.state[notes.WHERE])
        leading = reader.order.leading
        assert leading is not None  # noqa: S101 - it is read in the order of the column
        self._ended = f"{leading.sql} < pg_snapshot_xmin(pg_current_snapshot())"

    def note(self, heads: Iterable[Head]) -> Mapping[str, Any]:  # noqa: ARG002 - the interface of all followers
        """What is to be noted of past rows that are told: they are told apart by their number already."""
        return {}

    async def poll(self, link: Link, *, woken: bool) -> None:  # noqa: ARG002 - the interface of all followers
        """Tell all that is new."""
        more = True
        while more:
            values = Values()
            behind = self._reader.order.behind(self._where, values)
            answer = await self._reader.read(link, values, [behind, self._ended])
            if int(self._where.leading or 0) > answer.xmax:
                raise SourceError(
                    f"the database numbers its transactions anew: rows up to {self._where.leading} were told, and it"
                    f" has come to {answer.xmax}; it is another one, or an older copy: the channel begins anew"
                )
            if answer.heads:
                self._where = answer.heads[-1].place
                note = {notes.WHERE: notes.place(self._where)}
                await self._feed.publish_all(self._events.make(answer.rows), note=note)
            more = answer.more
