"""What one wants to know of a table before it is followed: its columns, how rows are found, and the first of them.

Must not know who reads it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import structlog

from appliance.settings.quantities import time_text
from appliance.sources.postgres import description, moments
from appliance.sources.postgres.columns import select
from appliance.sources.postgres.names import identifier
from appliance.sources.postgres.reader import Reader
from appliance.sources.postgres.rows import Events
from appliance.sources.postgres.statements import Bounds, Place, Values, order_by
from appliance.sources.postgres.xid import newest_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.api import Row
    from appliance.sources.postgres.columns import Selection
    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.settings import TableSettings
    from appliance.sources.postgres.statements import Statement

_log = structlog.get_logger()

_FIRST = 5
_INDEXED = "rpm"
"""Tables, partitioned ones, materialized views."""
_THROUGH_ITS_INDEX = "Bitmap Heap Scan"
"""It reads a table where the node beneath it, of an index, has said."""
_FIRST_COLUMNS = """
SELECT pg_get_indexdef(i.oid, 1, true) FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace
WHERE i.relname = $1::text AND i.relkind = 'i' AND n.nspname IN (SELECT jsonb_array_elements_text($2::text::jsonb))
"""
_BEFORE_COLUMN = re.compile(r'\(*(?:ROW\()?(?:(?:\w+|"(?:[^"]|"")+")\.)?')


@attrs.frozen(kw_only=True)
class Examination:
    """`facts` say what rows are and how they are followed, by names. `columns` are names, types and the fields of the
    data that they become, if any. `plan` is how new rows are found; `served_by_index` whether that takes as long
    however large the table grows, and `index` the statement that makes an index for it, where the rows are a table's.
    `first` are the newest events.
    """

    facts: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str, str | None], ...]
    plan: str
    served_by_index: bool
    index: str
    first: tuple[Row, ...]


async def examine(link: Link, settings: TableSettings) -> Examination:
    described = await description.describe(link, settings)
    selection = select(described, settings)
    if selection.xid is not None:
        await newest_end(link, selection)
    fields = {column.name: field for column, field in selection.fields}
    statement = await _head(link, settings, selection)
    plan = await link.fetch(f"EXPLAIN {statement.sql}", *statement.values)
    order = order_by(selection.time or selection.xid, selection.identity)
    answer = await Reader(selection, order, settings).newest(link, Values(), [], most=_FIRST)
    events = Events(key=settings.key, floats=selection.floats, row_bytes=settings.row_bytes, log=_log)
    return Examination(
        facts=tuple(_facts(settings, selection)),
        columns=tuple((column.name, column.shown, fields.get(column.name)) for column in described.columns),
        plan="\n".join(line for (line,) in plan),
        served_by_index=await _is_served(link, statement),
        index=await _index(link, settings, selection),
        first=tuple(events.make(answer.rows)),
    )


def _facts(settings: TableSettings, selection: Selection) -> Iterator[tuple[str, str]]:
    if settings.table is not None:
        yield "table", settings.table
    if settings.query is not None:
        yield "query", " ".join(settings.query.split())
    yield "key", settings.key
    yield "time", "none" if selection.time is None else f"{selection.time.name} ({selection.time.shown})"
    named = ", ".join(column.name for column in selection.identity)
    if selection.is_vague:
        yield (
            "identity",
            "all columns: rows that are alike in each are one; `identity` names those that tell them apart",
        )
    else:
        yield "identity", named if settings.identity else f"{named} (the primary key)"
    if selection.xid is None:
        how = f"by time, every {time_text(settings.every)}, looking back over {time_text(settings.overlap)}"
    else:
        how = f"by the transaction numbers in {selection.xid.name}, every {time_text(settings.every)}"
    woken = "" if settings.notify is None else f", and at once when a notice of {settings.notify} comes"
    yield "follow", how + woken


async def _index(link: Link, settings: TableSettings, selection: Selection) -> str:
    """The statement that makes an index by which new rows are found; none for what can have no index."""
    if settings.table is None:
        return ""
    relation = selection.described.relation
    ((kind,),) = await link.fetch(
        "SELECT relkind::text FROM pg_class WHERE oid = $1::text::regclass", relation
    )
    if kind not in _INDEXED:
        return ""
    order = order_by(selection.xid or selection.time, selection.identity)
    columns = [*([order.leading] if order.leading else []), *(order.identity if order.is_native else [])]
    names = ", ".join(identifier(column.name) for column in columns)
    return f"CREATE INDEX CONCURRENTLY ON {relation} ({names});"


async def _head(link: Link, settings: TableSettings, selection: Selection) -> Statement:
    """The statement that asks for new rows, as of now."""
    order = order_by(selection.xid or selection.time, selection.identity)
    reader = Reader(selection, order, settings)
    xmin_sql = "NULL" if selection.xid is None else "pg_snapshot_xmin(pg_current_snapshot())::text"
    ((now, xmin),) = await link.fetch(f"SELECT (extract(epoch FROM now()) * 1000000)::int8, {xmin_sql}")  # noqa: S608 - one of two texts
    values = Values()
    conditions = [order.behind(Place(xmin or moments.text(now), "[]"), values)]
    if selection.xid is not None:
        conditions.append(f"{selection.xid.sql} < pg_snapshot_xmin(pg_current_snapshot())")
    bounds = Bounds(rows=settings.batch, bytes=settings.batch_bytes, row_bytes=settings.row_bytes)
    return reader.reading.read(values, conditions, bounds)


async def _is_served(link: Link, statement: Statement) -> bool:
    """Whether the rows can be found through indexes: a small table is read as a whole all the same."""
    await link.fetch("SET enable_seqscan = off")
    ((plan,),) = await link.fetch(f"EXPLAIN (VERBOSE, FORMAT JSON) {statement.sql}", *statement.values)
    await link.fetch("RESET enable_seqscan")
    nodes = list(_nodes(json.loads(plan) if isinstance(plan, str) else plan))
    tables = [node for node in nodes if "Relation Name" in node and node["Node Type"] != _THROUGH_ITS_INDEX]
    indexes = [node for node in nodes if "Index Name" in node]
    if not indexes or any("Index Name" not in node for node in tables):
        return False
    schemas = {node["Schema"] for node in nodes if "Schema" in node}
    return all([await _leads(link, node, schemas) for node in indexes])


async def _leads(link: Link, node: dict[str, Any], schemas: set[str]) -> bool:
    """Whether it looks into one stretch of the index: its first column is what the condition begins with."""
    found = await link.fetch(_FIRST_COLUMNS, node["Index Name"], json.dumps(sorted(schemas)))
    condition = _BEFORE_COLUMN.sub("", node.get("Index Cond", ""))
    return any(re.match(rf"{re.escape(first)}(?!\w)", condition) for (first,) in found)


def _nodes(plan: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    match plan:
        case list():
            for part in plan:
                yield from _nodes(part)
        case {"Plan": inner}:
            yield from _nodes(inner)
        case {"Node Type": _}:
            yield plan
            yield from _nodes(plan.get("Plans", []))
