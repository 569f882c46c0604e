"""What may be said of a database and of a table, and what is refused with which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.core.errors import SettingsError
from appliance.settings.fields import Secret, mark
from appliance.settings.structure import fill
from appliance.sources.postgres.settings import PostgresSettings, TableSettings

if TYPE_CHECKING:
    from pathlib import Path

TABLE: dict[str, Any] = {"table": "ml_predictions", "key": "symbol", "time": "ts"}


def refused(cls: type, table: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        fill(cls, table)
    return str(caught.value)


def test_a_database_needs_nothing_said() -> None:
    settings = fill(PostgresSettings, {})
    assert (settings.host, settings.port, settings.database, settings.user) == (
        "localhost",
        5432,
        "postgres",
        "postgres",
    )
    assert (settings.connections, settings.connect_timeout, settings.statement_timeout) == (4, 10.0, 30.0)
    assert settings.sslmode is None


def test_the_password_comes_from_the_file_that_is_named_and_shows_nowhere(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    settings = fill(PostgresSettings, {"password_file": str(tmp_path / "password")})
    assert settings.password == Secret("hunter2")
    assert "hunter2" not in repr(settings)
    both = refused(PostgresSettings, {"password": "hunter2", "password_file": str(tmp_path / "password")})
    assert "give only one of the two" in both
    assert "hunter2" not in both


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"host": "/var/run/postgresql"}, "as `socket`"),
        ({"host": "one,two"}, "is not one name or address"),
        ({"host": ""}, "at least 1 character"),
        ({"port": 70_000}, "at most 65535"),
        ({"sslmode": "verify-all"}, 'did you mean "verify-'),
        ({"sslkey": "client.key"}, "give that too, as `sslcert`"),
        ({"connections": 0}, "at least 1"),
        ({"application_name": "é" * 32}, "1 to 63 bytes, not 64"),
        ({"statement_timeout": 0}, "at least 10ms"),
        ({"databse": "x"}, "did you mean `database`?"),
    ],
)
def test_a_database_that_cannot_be(table: dict[str, Any], words: str) -> None:
    assert words in refused(PostgresSettings, table)


def test_a_key_is_taken_with_its_certificate() -> None:
    assert fill(PostgresSettings, {"sslcert": "client.pem", "sslkey": "client.key"}).sslkey == "client.key"


def test_a_table_needs_its_key_and_its_time() -> None:
    settings = fill(TableSettings, TABLE)
    assert (settings.follow, settings.every, settings.overlap) == ("window", 5.0, 60.0)
    assert (settings.identity, settings.columns, settings.snapshot) == ((), {}, None)


def test_a_query_needs_its_identity() -> None:
    query = {"query": "SELECT * FROM a", "key": "'all'", "time": "at", "identity": ["id"]}
    assert fill(TableSettings, query).identity == ("id",)
    assert "needs `identity`" in refused(TableSettings, {**query, "identity": []})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query": "SELECT 1", "identity": ["id"]}, "either `table` or `query`"),
        ({"key": ""}, "at least 1 character"),
        ({"identity": ["id", "id"]}, "'id' more than once"),
        ({"identity": ["id", ""]}, "column without a name"),
        ({"columns": {"a": "x", "b": "x"}}, "the field 'x' to two columns, 'a' and 'b'"),
        ({"columns": {"a": ""}}, "a name on both sides"),
        ({"follow": "wndow"}, 'did you mean "window"?'),
        ({"every": 0}, "at least 50ms"),
        ({"overlap": -1}, "at least 0"),
        ({"batch": 0}, "at least 1"),
        ({"notify": "n" * 64}, "1 to 63 bytes, not 64"),
        ({"backfill": 0}, "more than 0"),
        ({"tabel": "x"}, "did you mean `table`?"),
    ],
)
def test_a_table_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    assert words in refused(TableSettings, {**TABLE, **changes})


def test_neither_table_nor_query_is_too_little() -> None:
    assert "either `table` or `query`" in refused(TableSettings, {"key": "symbol", "time": "ts"})


@pytest.mark.parametrize(
    ("changes", "use"),
    [
        ({}, '`follow` = "window"'),
        ({"follow": "xid", "backfill": "1h"}, "`backfill`"),
        ({"follow": "xid", "snapshot": "latest"}, '`snapshot` = "latest"'),
    ],
)
def test_what_goes_by_time_needs_its_column(changes: dict[str, Any], use: str) -> None:
    words = refused(TableSettings, {"table": "t", "key": "k", **changes})
    assert "needs `time`" in words
    assert use in words


def test_without_past_rows_transaction_numbers_need_no_time() -> None:
    assert fill(TableSettings, {"table": "t", "key": "k", "follow": "xid"}).time is None


@pytest.mark.parametrize("cls", [PostgresSettings, TableSettings])
def test_every_key_is_documented(cls: type[attrs.AttrsInstance]) -> None:
    assert [a.name for a in attrs.fields(cls) if not mark(a).doc] == []
