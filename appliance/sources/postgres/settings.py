"""What the configuration says of a database, and of a table of it that is a channel.

Must not know connections or SQL.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs.validators import ge, gt, le, min_len

from appliance.settings.fields import Bytes, Seconds, Secret, setting

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]

_LONGEST_NAME = 63
"""PostgreSQL cuts longer names, so that they would name something else."""


def _host(_: object, __: attrs.Attribute[str], host: str) -> None:
    if "/" in host:
        raise ValueError(f"{host!r} is no name or address; give the folder of a Unix socket as `socket`")
    if "," in host or host != host.strip():
        raise ValueError(f"{host!r} is not one name or address of a host")


def _short(_: object, __: attrs.Attribute[str], name: str) -> None:
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ValueError(f"must have 1 to {_LONGEST_NAME} bytes, not {len(name.encode())}")


def _with_certificate(source: Any, __: attrs.Attribute[str], ___: str) -> None:  # noqa: ANN401 - the class below
    if source.sslcert is None:
        raise ValueError("belongs to a certificate; give that too, as `sslcert`")


def _distinct(_: object, __: attrs.Attribute[tuple[str, ...]], names: tuple[str, ...]) -> None:
    for name in names:
        if not name:
            raise ValueError("has a column without a name")
        if names.count(name) > 1:
            raise ValueError(f"names the column {name!r} more than once")


def _fields(_: object, __: attrs.Attribute[dict[str, str]], columns: dict[str, str]) -> None:
    sources: dict[str, str] = {}
    for column, field in columns.items():
        if not column or not field:
            raise ValueError('needs a name on both sides: `column = "field"`')
        if field in sources:
            raise ValueError(f"gives the field {field!r} to two columns, {sources[field]!r} and {column!r}")
        sources[field] = column


@attrs.frozen(kw_only=True)
class PostgresSettings:
    """A database: where it is, who asks, how it is made sure of, and how much may be asked at once."""

    host: str = setting("localhost", "Name or address of the host", min_len(1), _host)
    port: int = setting(5432, "Port of the server, also where `socket` names a folder", ge(1), le(65535))
    socket: str | None = setting(
        None, "Unix socket, or the folder that it lies in; goes before `host`", min_len(1)
    )
    database: str = setting("postgres", "Name of the database", min_len(1))
    user: str = setting("postgres", "Who asks; needs no more than to read the tables", min_len(1))
    password: Secret | None = setting(None, "The password; none: the one in `passfile`", min_len(1))
    password_file: str | None = setting(None, "File that holds the password")
    passfile: str | None = setting(
        None, "File of passwords in the form of `.pgpass`; none: `$PGPASSFILE`, else `~/.pgpass`", min_len(1)
    )
    sslmode: SslMode | None = setting(
        None, "How TLS is used, as libpq does it; none: `verify-full`, but `prefer` on loopback"
    )
    sslrootcert: str | None = setting(
        None, "PEM file of the authorities that may vouch for the server; none: the system's", min_len(1)
    )
    sslcert: str | None = setting(None, "PEM file of a certificate to show to the server", min_len(1))
    sslkey: str | None = setting(
        None, "PEM file of the key of `sslcert`; none: it is in that file", _with_certificate
    )
    connect_timeout: Seconds = setting(10.0, "How long a connection may take to be made", gt(0), le(600))
    statement_timeout: Seconds = setting(
        30.0, "How long a statement may take before the server cancels it", ge(0.01), le(3600)
    )
    application_name: str = setting("appliance", "Name in `pg_stat_activity`", _short)
    connections: int = setting(
        4, "Most connections at once; where a channel has `notify`, one of them listens", ge(1), le(1000)
    )


@attrs.frozen(kw_only=True)
class TableSettings:
    """A channel whose events are the rows of a table, a view or a query."""

    table: str | None = setting(
        None, "Table or view: `name`, `schema.name`, with parts in double quotes as in SQL", min_len(1)
    )
    query: str | None = setting(
        None, "Instead of `table`: a query that is read like one, without a `;`", min_len(1)
    )
    key: str = setting(
        attrs.NOTHING,
        "Key of a row's topic: a column, a template such as `{exchange}:{symbol}`, or `'text'` for all rows",
        min_len(1),
    )
    time: str | None = setting(
        None, "Column that says when; required but for `follow` = `xid` without past rows", min_len(1)
    )
    identity: tuple[str, ...] = setting(
        (), "Columns that tell rows apart; none: the primary key of the table, or all its columns", _distinct
    )
    columns: dict[str, str] = setting(
        dict, "Columns and the fields of the data that they become; none: all, under their own names", _fields
    )
    follow: Literal["window", "xid"] = setting(
        "window",
        "How new rows are found: `window` by time, looking back over `overlap`, or `xid` by a column of"
        " transaction numbers",
    )
    every: Seconds = setting(5.0, "Time between two looks at the table", ge(0.05), le(86_400))
    overlap: Seconds = setting(
        60.0, "How far back each look goes, for rows that were committed late", ge(0), le(7 * 86_400)
    )
    xid: str = setting("xid", "Column of type `xid8` for `follow` = `xid`", min_len(1))
    notify: str | None = setting(None, "Channel of NOTIFY whose notices bring the next look forward", _short)
    snapshot: Literal["latest", "none"] | None = setting(
        None,
        "Whether the first start publishes the newest row of each key; none: `latest` where only the newest"
        " event counts",
    )
    backfill: Seconds | None = setting(None, "How old the rows are that the first start publishes", gt(0))
    batch: int = setting(2_000, "Most rows of one read", ge(1), le(100_000))
    batch_bytes: Bytes = setting(8 * 1024**2, "Most bytes of one read, but for a single row", ge(1024))
    row_bytes: Bytes = setting(
        256 * 1024, "Largest row; a larger one is told of in the log, and left out", ge(1024)
    )
    window_rows: int = setting(1_000_000, "Most rows within `overlap`; past it, the channel fails", ge(1))

    def __attrs_post_init__(self) -> None:
        if (self.table is None) == (self.query is None):
            raise ValueError("needs either `table` or `query`, and not both")
        if self.query is not None and not self.identity:
            raise ValueError("needs `identity`: the columns that tell the rows of `query` apart")
        if self.time is None and (use := self._use_of_time()):
            raise ValueError(f"needs `time`, the column that says when: {use} goes by it")

    def _use_of_time(self) -> str | None:
        if self.follow == "window":
            return '`follow` = "window"'
        if self.backfill is not None:
            return "`backfill`"
        return '`snapshot` = "latest"' if self.snapshot == "latest" else None
