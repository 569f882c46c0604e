"""Pages of a table for those who ask: newest first, each with what continues it.

Must not know who asks, nor what has been told.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from appliance.api import Page
from appliance.core.errors import ErrorCode, RequestError
from appliance.sources.postgres import description, moments, notes
from appliance.sources.postgres.columns import select
from appliance.sources.postgres.reader import Reader
from appliance.sources.postgres.rows import Events
from appliance.sources.postgres.statements import Place, Values, order_by

if TYPE_CHECKING:
    from appliance.api import PageQuery
    from appliance.sources.postgres.columns import Key
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.settings import TableSettings

_CHECK_BYTES = 8
_read_cursor = msgspec.json.Decoder(tuple[str | None, str]).decode


async def page(link: Link, settings: TableSettings, wanted: PageQuery) -> Page:
    since = None if wanted.since is None else moments.read(wanted.since, "since")
    until = None if wanted.until is None else moments.read(wanted.until, "until")
    selection = select(await description.describe(link, settings), settings)
    if selection.time is None and (since or until):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "these rows have no time to ask for; leave it out")
    of = notes.fingerprint(settings, selection)
    order = order_by(selection.time or selection.xid, selection.identity)
    reader = Reader(selection, order, settings)
    values = Values()
    # Rows without a time are in no order, and no cursor could stand behind one.
    conditions = [] if order.leading is None else [f"{order.leading.sql} IS NOT NULL"]
    if wanted.key is not None:
        conditions.append(_of_key(selection.key, wanted.key, values))
    if since is not None:
        conditions.append(reader.reading.moment(since, ">=", values))
    if until is not None:
        conditions.append(reader.reading.moment(until, "<", values))
    if wanted.cursor is not None:
        conditions.append(order.before(_place(wanted.cursor, of), values))
    answer = await reader.newest(link, values, conditions, most=wanted.limit + 1)
    rows = list(answer.rows)[: wanted.limit]
    more = answer.is_cut or len(answer.heads) > wanted.limit
    events = Events(key=settings.key, floats=selection.floats, row_bytes=settings.row_bytes)
    return Page(tuple(events.make(rows)), _cursor(rows[-1][0].place, of) if more else None)


def _of_key(key: Key, wanted: str, values: Values) -> str:
    """The condition that a row has this key."""
    if key.column is not None:
        return key.column.matches(wanted, values.add(wanted))
    return f"{key.sql} = {values.add(wanted)}"


def _cursor(place: Place, of: str) -> str:
    """A place as a text for clients, which is told from one that was made up, or is a place among other rows."""
    text = msgspec.json.encode((place.leading, place.identity))
    return base64.urlsafe_b64encode(_check(text, of) + text).decode().rstrip("=")


def _place(cursor: str, of: str) -> Place:
    try:
        read = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except ValueError:
        read = b""
    check, text = read[:_CHECK_BYTES], read[_CHECK_BYTES:]
    if check != _check(text, of):
        raise RequestError(
            ErrorCode.INVALID_MESSAGE, "`cursor` is not what a page of these rows has given as its `next`"
        )
    return Place(*_read_cursor(text))


def _check(text: bytes, of: str) -> bytes:
    return hashlib.blake2b(text + of.encode(), digest_size=_CHECK_BYTES).digest()
