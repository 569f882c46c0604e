"""What a table has, and what of it becomes events: columns, their JSON form, the key, what tells rows apart.

Must not know how rows are asked for, nor the connection.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import SourceError
from appliance.settings.words import nearest
from appliance.sources.postgres.names import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.sources.postgres.settings import TableSettings


class Type(enum.IntEnum):
    """Types of PostgreSQL by their numbers, which are the same everywhere."""

    BYTEA = 17
    REAL = 700
    DOUBLE = 701
    DATE = 1082
    TIMESTAMP = 1114
    TIMESTAMPTZ = 1184
    INTERVAL = 1186
    NUMERIC = 1700
    UUID = 2950
    XID8 = 5069


_FINITE = "NULLIF(NULLIF(NULLIF({{0}}::{0}, 'NaN'), 'Infinity'), '-Infinity')"
_UTC = "CASE WHEN isfinite({{0}}) THEN replace(to_json({0}) #>> '{{{{}}}}', '+00:00', 'Z') END"
"""RFC 3339: connections speak UTC, so that PostgreSQL's own form ends in +00:00."""
_FORMS: Mapping[int, str] = {
    Type.REAL: _FINITE.format("float4"),
    Type.DOUBLE: _FINITE.format("float8"),
    Type.NUMERIC: _FINITE.format("numeric"),
    Type.TIMESTAMPTZ: _UTC.format("{0}"),
    Type.TIMESTAMP: _UTC.format("{0} AT TIME ZONE 'UTC'"),
    Type.DATE: "CASE WHEN isfinite({0}) THEN {0} END",
    Type.INTERVAL: "CASE WHEN isfinite({0}) THEN {0} END",
    Type.BYTEA: r"'\x' || encode({0}, 'hex')",
}
"""The SQL of values of types whose own JSON is not the one that is promised."""
_INTEGERS = {21: 4, 23: 9, 20: 18}
"""Whole numbers by type, and with how many digits they are certainly within bounds."""
_UUID_TEXT = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_ORDERED = frozenset("BDEINSTV")
_ORDERED_BESIDES = (Type.UUID, Type.BYTEA, Type.XID8)
"""Categories of types whose values are texts or numbers in JSON, from which PostgreSQL reads them back."""
_TEXTS = "S"
_INFINITE_NUMERICS = 140_000
_LONGEST_FIELD = 63
"""PostgreSQL cuts longer names."""


@attrs.frozen(kw_only=True)
class Column:
    """A column of a table or query. `oid` and `kind` are its type, which for a domain is the one beneath;
    `shown` is the type as one declares it, `category` is PostgreSQL's.
    """

    name: str
    oid: int
    kind: str
    shown: str
    category: str
    required: bool = False

    @property
    def sql(self) -> str:
        return f"t.{identifier(self.name)}"

    @property
    def is_float(self) -> bool:
        return self.oid in (Type.REAL, Type.DOUBLE)

    @property
    def is_text(self) -> bool:
        return self.category == _TEXTS

    @property
    def is_time(self) -> bool:
        return self.oid in (Type.TIMESTAMP, Type.TIMESTAMPTZ)

    @property
    def is_ordered(self) -> bool:
        """Whether rows can be asked for behind a value of it that was written as JSON."""
        return self.required and (self.category in _ORDERED or self.oid in _ORDERED_BESIDES)

    def json(self, version: int) -> str:
        """The SQL of its value, of a type that PostgreSQL writes as the JSON that is promised."""
        form = _FORMS.get(self.oid, "{0}")
        if self.oid == Type.NUMERIC and version < _INFINITE_NUMERICS:
            form = "NULLIF({0}::numeric, 'NaN')"
        return form.format(self.sql)

    def matches(self, text: str, placeholder: str) -> str:
        """The condition that its value reads like a text. For texts, whole numbers and UUIDs an index on it serves."""
        if self.is_text:
            return f"{self.sql} = {placeholder}::{self.kind}"
        if digits := _INTEGERS.get(self.oid):
            number = re.fullmatch(r"0|-?[1-9]\d*", text)
            fits = number is not None and len(text.lstrip("-")) <= digits
            return f"{self.sql} = {placeholder}::{self.kind}" if fits else self._reads(placeholder)
        if self.oid == Type.UUID and _UUID_TEXT.fullmatch(text):
            return f"{self.sql} = {placeholder}::uuid"
        return self._reads(placeholder)

    def _reads(self, placeholder: str) -> str:
        return f"{self.sql}::text = {placeholder}"


@attrs.frozen(kw_only=True)
class Described:
    """What the database says of a table or query: `relation` selects from it, `name` is what messages call it.

    `primary` are the columns of its primary key. `version` is the server's.
    """

    relation: str
    name: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...] = ()
    version: int

    def column(self, name: str, setting: str) -> Column:
        """The column of this name; the setting is the one that names it."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        close = nearest(name, names)
        question = f"; did you mean `{close}`?" if close else ""
        listed = ", ".join(f"`{known}`" for known in names) or "none"
        raise SourceError(
            f"{self.name} has no column `{name}`, which `{setting}` names{question} (columns there: {listed})"
        )


@attrs.frozen
class Key:
    """The key of a row's topic: texts and columns that are joined. A key of one text is the same for all rows."""

    pieces: tuple[str | Column, ...]

    @property
    def sql(self) -> str:
        return " || ".join(
            literal(piece) if isinstance(piece, str) else f"{piece.sql}::text" for piece in self.pieces
        )

    @property
    def column(self) -> Column | None:
        """The column that it is, if it is no more than that."""
        match self.pieces:
            case (Column() as column,):
                return column
            case _:
                return None

    @property
    def constant(self) -> str | None:
        match self.pieces:
            case (str() as text,):
                return text
            case _:
                return None


@attrs.frozen(kw_only=True)
class Selection:
    """A table and what of it becomes events. `fields` are the columns of the data and what they are called there."""

    described: Described
    key: Key
    time: Column | None
    xid: Column | None
    identity: tuple[Column, ...]
    fields: tuple[tuple[Column, str], ...]
    is_vague: bool
    """Whether nothing told what tells rows apart, so that rows alike in all columns are one."""

    @property
    def floats(self) -> tuple[str, ...]:
        """Fields of the data that are floating-point numbers."""
        return tuple(field for column, field in self.fields if column.is_float)

    @property
    def body(self) -> str:
        """The SQL of the data of a row."""
        version = self.described.version
        values = ", ".join(f"{column.json(version)} AS {identifier(field)}" for column, field in self.fields)
        # Not json_build_object, which takes fifty fields at most.
        return f"(SELECT row_to_json(r) FROM (SELECT {values}) r)"  # noqa: S608 - names are quoted


def select(described: Described, settings: TableSettings) -> Selection:
    """Find the columns that the settings name, and see whether they serve."""
    names = settings.identity or described.primary
    identity = tuple(described.column(name, "identity") for name in names)
    return Selection(
        described=described,
        key=_key(settings.key, described),
        time=None if settings.time is None else _time(settings.time, described),
        xid=_xid(settings.xid, described) if settings.follow == "xid" else None,
        identity=identity or described.columns,
        fields=_fields(settings.columns, described),
        is_vague=not identity,
    )


def _fields(columns: Mapping[str, str], described: Described) -> tuple[tuple[Column, str], ...]:
    if not columns:
        return tuple((column, column.name) for column in described.columns)
    for field in columns.values():
        if len(field.encode()) > _LONGEST_FIELD:
            raise SourceError(
                f"the field {field!r} of `columns` is too long; give it {_LONGEST_FIELD} bytes at most"
            )
    return tuple((described.column(name, "columns"), field) for name, field in columns.items())


def _time(name: str, described: Described) -> Column:
    column = described.column(name, "time")
    if column.is_time:
        return column
    quoted = identifier(name)
    moment = f"to_timestamp({quoted})" if column.category == "N" else f"{quoted}::timestamptz"
    raise SourceError(
        f"the column `{name}` of {described.name}, which `time` names, is {column.shown}, and no timestamp; name one,"
        f" or give a `query` that makes one, with {moment} AS moment among its columns (to_timestamp takes seconds)"
    )


def _xid(name: str, described: Described) -> Column:
    remedy = "; `appliance sql xid TABLE` prints the statements that add such a column"
    if all(column.name != name for column in described.columns):
        raise SourceError(
            f'{described.name} has no column `{name}`, which `follow` = "xid" goes by (`xid` names it){remedy}'
        )
    column = described.column(name, "xid")
    if column.oid != Type.XID8:
        raise SourceError(f"the column `{name}` of {described.name} is {column.shown}, and not xid8{remedy}")
    return column


_PIECE = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]+)\}|(?P<text>[^{}]+)|(?P<wrong>[{}])")


def _key(text: str, described: Described) -> Key:
    """Read `column`, `{column}:{column}` or `'text'`."""
    if constant := re.fullmatch(r"'((?:[^']|'')*)'", text):
        return Key((constant[1].replace("''", "'"),))
    if not re.search(r"[{}]", text):
        return Key((described.column(text, "key"),))
    pieces: list[str | Column] = []
    for found in _PIECE.finditer(text):
        if found["wrong"]:
            raise SourceError(
                f"`key` = {text!r} has a brace without its other; write `{{column}}`, and `{{{{` for a brace itself"
            )
        if found["name"]:
            pieces.append(described.column(found["name"], "key"))
        else:
            pieces.append((found["brace"] or "")[:1] or found["text"])
    return Key(tuple(pieces))


def listed(columns: Sequence[Column]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)
