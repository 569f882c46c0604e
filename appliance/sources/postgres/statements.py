"""The statements that read rows. Each asks for one piece of the table in an order, and gives few values as text.

Must not know what the rows are read for, nor the connection. Values are always parameters, $1, $2…, as text.
"""

# ruff: noqa: S608 - names are quoted, and values are parameters

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.sources.postgres.columns import Column, Selection

SEPARATOR = "\x1e"
"""Stands between the bodies of an answer: JSON has it nowhere, but for its escape."""

_HEAD = 64
"""About how many bytes of an answer a row takes beside its identity and its body."""
_LONGEST_KEY = 300
"""Characters of a key that are read; those that have as many are refused for it."""
_BOUNDS = ("0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00")


class Values:
    """Collects the values of a statement."""

    def __init__(self) -> None:
        self._texts: list[str | None] = []

    def add(self, text: str | None) -> str:
        """Give what stands for the value in the statement."""
        self._texts.append(text)
        return f"${len(self._texts)}::text"

    @property
    def texts(self) -> tuple[str | None, ...]:
        return tuple(self._texts)


@attrs.frozen
class Statement:
    sql: str
    values: tuple[str | None, ...] = ()


@attrs.frozen
class Place:
    """Where a row stands in an order: by its leading column, then by its identity.

    Without an identity, it is before all rows with that leading value.
    """

    leading: str | None
    identity: str | None = None


@attrs.frozen
class Order:
    """The order of rows: by a column, if any, then by those that tell rows apart.

    Where these are never NULL, rows are compared as rows, so that an index on them serves. Elsewhere they are compared
    as one JSON value, which an index on the leading column serves still.
    """

    leading: Column | None
    identity: tuple[Column, ...]

    @property
    def is_native(self) -> bool:
        return all(column.is_ordered for column in self.identity)

    @property
    def identity_sql(self) -> str:
        """The identity of a row, a JSON array."""
        # A function takes a hundred arguments at most.
        chunks = [self.identity[at : at + 90] for at in range(0, len(self.identity), 90)] or [()]
        arrays = (f"jsonb_build_array({', '.join(column.sql for column in chunk)})" for chunk in chunks)
        return " || ".join(arrays)

    def terms(self, *, reverse: bool = False) -> str:
        """What follows ORDER BY."""
        terms = [] if self.leading is None else [self.leading.sql]
        if self.is_native:
            terms += [column.sql for column in self.identity]
        else:
            terms.append(f"({self.identity_sql})")
        return ", ".join(f"{term} DESC" if reverse else term for term in terms) or "1"

    def behind(self, place: Place, values: Values) -> str:
        """The condition that a row stands behind a place."""
        return self._compared(">", place, values)

    def until(self, place: Place, values: Values) -> str:
        """The condition that a row stands before a place, or at it."""
        return self._compared("<=", place, values)

    def before(self, place: Place, values: Values) -> str:
        """The condition that a row stands before a place."""
        return self._compared("<", place, values)

    def among(self, identities: str, values: Values) -> str:
        """The condition that a row has one of these identities, a JSON array of their texts."""
        return f"({self.identity_sql})::text IN (SELECT jsonb_array_elements_text({values.add(identities)}::jsonb))"

    def _compared(self, sign: str, place: Place, values: Values) -> str:
        if self.leading is None:
            return self._identity_compared(sign, values.add(place.identity))
        column = self.leading.sql
        leading = f"{values.add(place.leading)}::{self.leading.kind}"
        if place.identity is None:
            return f"{column} >= {leading}" if sign == ">" else f"{column} < {leading}"
        if not self.identity:
            return f"{column} {sign} {leading}"
        identity = values.add(place.identity)
        if self.is_native:
            left = ", ".join(each.sql for each in self.identity)
            return f"({column}, {left}) {sign} ({leading}, {self._parts(identity)})"
        return (
            f"({column} {sign[0]}= {leading}"
            f" AND ({column} {sign[0]} {leading} OR {self._identity_compared(sign, identity)}))"
        )

    def _identity_compared(self, sign: str, identity: str) -> str:
        if self.is_native and self.identity:
            left = ", ".join(each.sql for each in self.identity)
            return f"ROW({left}) {sign} ROW({self._parts(identity)})"
        return f"({self.identity_sql}) {sign} {identity}::jsonb"

    def _parts(self, identity: str) -> str:
        """The values of an identity, each of its column's type."""
        return ", ".join(
            f"({identity}::jsonb ->> {at})::{column.kind}" for at, column in enumerate(self.identity)
        )


def order_by(leading: Column | None, identity: Sequence[Column]) -> Order:
    return Order(leading, tuple(column for column in identity if column != leading))


@attrs.frozen(kw_only=True)
class Bounds:
    """How much one read may bring: rows, bytes of all, bytes of one row's body."""

    rows: int
    bytes: int
    row_bytes: int


@attrs.frozen
class Reading:
    """Makes the statements that read rows of a selection in an order.

    The answer to each is one row: the heads of rows as a JSON array, their bodies with SEPARATOR between, how many rows
    were looked at, the time of the database in microseconds since 1970, and for tables that are followed by xid the
    bounds of transactions that are under way.
    A head is an array: leading value, time in microseconds, identity, a hash, key, size of the body.
    The body of a row that is too large is empty, and so is each where no bodies are asked for.
    """

    selection: Selection
    order: Order

    def read(
        self,
        values: Values,
        conditions: Sequence[str],
        bounds: Bounds,
        *,
        bodies: bool = True,
        reverse: bool = False,
        relation: str | None = None,
    ) -> Statement:
        selection = self.selection
        body = selection.body if bodies else "'{}'::json"
        key = f"left({selection.key.sql}, {_LONGEST_KEY})" if bodies else "NULL::text"
        leading = "NULL" if self.order.leading is None else f"{self.order.leading.sql}::text"
        chosen = (
            f"SELECT t.* FROM {relation or selection.described.relation} AS t{_where(conditions)}"
            f" ORDER BY {self.order.terms(reverse=reverse)} LIMIT {values.add(str(bounds.rows))}::int8"
        )
        # Bodies are made of the rows that were chosen, and not of all that were sorted; and once, for OFFSET 0 keeps
        # the expressions from being copied to where they are used.
        found = (
            f"SELECT {leading} AS lead, {self._micros} AS micros, {key} AS key, {body} AS body,"
            f" ({self.order.identity_sql})::text AS identity FROM ({chosen}) AS t OFFSET 0"
        )
        sent, bodies_sql = f"octet_length(s.identity) + {_HEAD}", "NULL"
        sized = (
            "SELECT f.*, octet_length(f.body::text) AS size,"
            f' hashtextextended(f.identity COLLATE "C", coalesce(f.micros, 0)) AS hash FROM ({found}) f'
        )
        if bodies:
            row_bytes = f"{values.add(str(bounds.row_bytes))}::int8"
            sent += f" + CASE WHEN s.size <= {row_bytes} THEN s.size ELSE 0 END"
            bodies_sql = f"string_agg(CASE WHEN size <= {row_bytes} THEN body::text ELSE '' END, E'\\x1e')"
        # A row is sent when those before it leave room, so that there is always one.
        counted = (
            f"SELECT s.*, sum({sent}) OVER (ROWS UNBOUNDED PRECEDING) - ({sent}) AS before FROM ({sized}) s"
        )
        fitting = f"FILTER (WHERE before < {values.add(str(bounds.bytes))}::int8)"
        if bodies:
            bodies_sql += f" {fitting}"
        snapshot = (
            "pg_snapshot_xmin(pg_current_snapshot())::text, pg_snapshot_xmax(pg_current_snapshot())::text"
            if selection.xid is not None
            else "NULL, NULL"
        )
        return Statement(
            "SELECT json_agg(json_build_array(lead, micros, identity, hash, key, size))"
            f" {fitting}::text, {bodies_sql}, count(*)::int8, {_NOW}, {snapshot} FROM ({counted}) c",
            values.texts,
        )

    def digest(self, values: Values, conditions: Sequence[str], where: Place, *, most: int) -> Statement:
        """How many rows there are, up to so many, the sum of their hashes, and the time of `where`, or of the database
        should that be earlier, in microseconds.
        """
        time = self._timed
        reached = f"least({values.add(where.leading)}::{time.kind}, now()::{time.kind})"
        rows = (
            f'SELECT hashtextextended(({self.order.identity_sql})::text COLLATE "C", {self._micros}) AS hash'
            f" FROM {self.selection.described.relation} AS t{_where(conditions)}"
            f" LIMIT {values.add(str(most))}::int8"
        )
        return Statement(
            f"SELECT count(*)::int8, coalesce(sum(hash), 0)::text, {_micros(reached)} FROM ({rows}) r",
            values.texts,
        )

    def latest(self, conditions: Sequence[str]) -> str:
        """The newest row of each key, to select from: by time, or else by xid."""
        selection = self.selection
        newest = selection.time or selection.xid
        by = ["k.key"]
        if newest is not None:
            by.append(f"{newest.sql} DESC" if newest is selection.time else f"{newest.sql} DESC NULLS LAST")
        order = order_by(newest, selection.identity)
        by.append(Order(None, order.identity).terms(reverse=True))
        needed = ["k.key IS NOT NULL", *conditions]
        needed += [] if selection.time is None else [f"{selection.time.sql} IS NOT NULL"]
        return (
            f"(SELECT DISTINCT ON (k.key) t.* FROM {selection.described.relation} AS t,"
            f" LATERAL (SELECT {selection.key.sql} AS key) k{_where(needed)} ORDER BY {', '.join(by)})"
        )

    def moment(self, text: str, sign: str, values: Values) -> str:
        """The condition on a row's time. `text` is a timestamp as PostgreSQL reads it, in UTC."""
        return f"{self._timed.sql} {sign} {values.add(text)}::{self._timed.kind}"

    def passed(self) -> str:
        """The condition that a row's time is not to come."""
        return f"{self._timed.sql} <= now()::{self._timed.kind}"

    @property
    def _timed(self) -> Column:
        time = self.selection.time
        assert time is not None  # noqa: S101 - the settings ask for it where it is needed
        return time

    @property
    def _micros(self) -> str:
        return "NULL::int8" if self.selection.time is None else _micros(self.selection.time.sql)


def _micros(time: str) -> str:
    """Microseconds since 1970, in UTC. What is beyond the years that we write is the nearest within."""
    first, last = _BOUNDS
    return f"(extract(epoch FROM greatest(least({time}, '{last}'), '{first}')) * 1000000)::int8"


_NOW = _micros("now()")


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
