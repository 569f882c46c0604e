"""Asks the database what a table or query has.

Must not know what is wanted of it. All that is read here stands in the catalogue, whose form is the same for years.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.core.errors import SourceError
from appliance.settings.words import nearest
from appliance.sources.postgres import names
from appliance.sources.postgres.columns import Column, Described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.sources.postgres.link import Link
    from appliance.sources.postgres.settings import TableSettings

_READABLE = "rpvmf"
"""Tables, partitioned ones, views, materialized views, foreign tables."""
_FOUND = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1::text AND CASE WHEN $2::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = $2::text END
"""
_OTHERS = """
SELECT n.nspname::text, c.relname::text, pg_table_is_visible(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
ORDER BY 1, 2 LIMIT 2000
"""
_COLUMNS = """
SELECT a.attname::text, a.atttypid::int8, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_attribute a
WHERE a.attrelid = $1::text::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_PRIMARY = """
SELECT a.attname::text
FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place), pg_attribute a
WHERE i.indrelid = $1::text::oid AND i.indisprimary AND k.place <= i.indnkeyatts
  AND a.attrelid = i.indrelid AND a.attnum = k.number
ORDER BY k.place
"""
_TYPES = """
WITH RECURSIVE beneath(declared, oid) AS (
  SELECT DISTINCT d.oid, d.oid FROM unnest(string_to_array($1::text, ',')::oid[]) d(oid)
  UNION ALL
  SELECT b.declared, t.typbasetype FROM beneath b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd'
)
SELECT b.declared::int8, t.oid::int8, format_type(t.oid, -1), t.typcategory::text, format_type(b.declared, NULL)
FROM beneath b JOIN pg_type t ON t.oid = b.oid
WHERE t.typtype <> 'd'
"""
# A row of NULLs, which the query is not run for.
_NOTHING = "(SELECT q.* FROM (SELECT 1) one LEFT JOIN (SELECT * FROM {query} q LIMIT 0) q ON true)"


async def describe(link: Link, settings: TableSettings) -> Described:
    """Find the table or query of the settings; SourceError says what is near where it is not there."""
    if settings.query is not None:
        return await _described_query(link, settings.query)
    assert settings.table is not None  # noqa: S101 - the settings ask for one of both
    return await _described_table(link, settings.table)


async def _described_table(link: Link, table: str) -> Described:
    oid, name = await _found(link, table)
    found = await link.fetch(_COLUMNS, str(oid))
    columns = await _columns(
        link,
        [(column, declared, shown, required) for column, declared, shown, required in found],
    )
    primary = await link.fetch(_PRIMARY, str(oid))
    return Described(
        relation=".".join(names.identifier(part) for part in name),
        name=f"the table {names.written(name)}",
        columns=columns,
        primary=tuple(column for (column,) in primary),
        version=link.version,
    )


async def _found(link: Link, table: str) -> tuple[int, tuple[str, str]]:
    *schemas, relation = names.parts(table)
    schema = schemas[0] if schemas else None
    for oid, found_schema, found, kind in await link.fetch(_FOUND, relation, schema):
        if kind in _READABLE:
            return oid, (found_schema, found)
        raise SourceError(f"{table}, which `table` names, is neither a table nor a view; name one of these")
    others = await link.fetch(_OTHERS)
    known = {
        names.written((found,) if visible and schema is None else (found_schema, found)): found
        for found_schema, found, visible in others
    }
    wanted = names.written((*schemas, relation))
    elsewhere = next((full for full, found in known.items() if schema is None and found == relation), None)
    close = elsewhere or nearest(wanted, known) or nearest(wanted.replace('"', ""), known)
    question = f"; did you mean `{close}`?" if close else ""
    raise SourceError(f"there is no table {wanted} that the user can see, which `table` names{question}")


async def _described_query(link: Link, query: str) -> Described:
    relation = names.subquery(query)
    nothing = _NOTHING.format(query=relation)
    found = await link.fetch(
        f"SELECT k.name FROM (SELECT row_to_json(r) AS row FROM {nothing} r) j,"  # noqa: S608 - the query of the configuration
        " json_object_keys(j.row) WITH ORDINALITY k(name, place) ORDER BY k.place"
    )
    named = [name for (name,) in found]
    for name in named:
        if named.count(name) > 1:
            raise SourceError(
                f"`query` has the column `{name}` more than once; give one of them another name with AS"
            )
    types = ", ".join(f"pg_typeof(r.{names.identifier(name)})::oid" for name in named)
    ((oids,),) = await link.fetch(f"SELECT array_to_string(ARRAY[{types}]::oid[], ',') FROM {nothing} r")  # noqa: S608 - as above
    declared = [int(oid) for oid in oids.split(",") if oid]
    columns = await _columns(
        link, [(name, oid, None, False) for name, oid in zip(named, declared, strict=True)]
    )
    return Described(relation=relation, name="`query`", columns=columns, version=link.version)


async def _columns(link: Link, found: Sequence[tuple[str, int, str | None, bool]]) -> tuple[Column, ...]:
    """Columns by name, number of their type, how that is declared where it is known, whether they are never NULL."""
    oids = ",".join(str(declared) for _, declared, _, _ in found)
    types = {row[0]: row[1:] for row in await link.fetch(_TYPES, oids)}
    columns = []
    for name, declared, shown, required in found:
        oid, kind, category, plain = types[declared]
        columns.append(
            Column(name=name, oid=oid, kind=kind, shown=shown or plain, category=category, required=required)
        )
    return tuple(columns)
