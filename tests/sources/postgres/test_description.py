from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import SourceError
from appliance.sources.postgres.description import describe
from appliance.sources.postgres.settings import TableSettings
from tests.sources.postgres.following import linked

if TYPE_CHECKING:
    from appliance.sources.postgres.columns import Described
    from tests.postgres import Fresh


async def described(fresh: Fresh, table: str | None = None, **changes: Any) -> Described:
    said = {"table": table, "key": "'all'", "time": "at", **changes}
    async with linked(fresh) as link:
        return await describe(link, TableSettings(**said))


def named(found: Described) -> list[tuple[str, str, str, bool]]:
    return [(column.name, column.shown, column.kind, column.required) for column in found.columns]


async def test_a_table(fresh: Fresh) -> None:
    fresh.execute("""
        CREATE TYPE side AS ENUM ('buy', 'sell');
        CREATE DOMAIN money_amount AS numeric(12, 2); CREATE DOMAIN fee AS money_amount CHECK (value > 0);
        CREATE TABLE rows (
            gone int, at timestamptz, symbol varchar(10), side side, fee fee NOT NULL, tags text[], code char(4),
            PRIMARY KEY (symbol, at)
        );
        ALTER TABLE rows DROP COLUMN gone""")
    found = await described(fresh, "rows")
    assert found.relation == '"public"."rows"'
    assert found.name == "the table public.rows"
    assert found.primary == ("symbol", "at")
    assert found.version == fresh.execute("SELECT current_setting('server_version_num')::int")[0][0]
    assert named(found) == [
        ("at", "timestamp with time zone", "timestamp with time zone", True),
        ("symbol", "character varying(10)", "character varying", True),
        ("side", "side", "side", False),
        ("fee", "fee", "numeric", True),
        ("tags", "text[]", "text[]", False),
        ("code", "character(4)", "bpchar", False),
    ]


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ('"Order"', '"Order"'),
        ('"a""b.c"', '"a""b.c"'),
        ('"größe и 表"', '"größe и 表"'),
        ('"select"', '"select"'),
        ('other."My Table"', 'other."My Table"'),
    ],
)
async def test_names_that_need_quotes(fresh: Fresh, table: str, sql: str) -> None:
    fresh.execute(f'CREATE SCHEMA other; CREATE TABLE {sql} ("{"a b"}" int PRIMARY KEY, "C""d" text)')
    found = await described(fresh, table)
    assert [column.name for column in found.columns] == ["a b", 'C"d']
    assert found.primary == ("a b",)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW rows AS SELECT 1 AS id, now() AS at",
        "CREATE MATERIALIZED VIEW rows AS SELECT 1 AS id, now() AS at",
        "CREATE TABLE rows (id int, at timestamptz) PARTITION BY RANGE (at)",
    ],
)
async def test_what_else_has_rows(fresh: Fresh, sql: str) -> None:
    fresh.execute(sql)
    found = await described(fresh, "rows")
    assert [column.name for column in found.columns] == ["id", "at"]
    assert found.primary == ()


async def test_a_query(fresh: Fresh) -> None:
    fresh.execute(
        "CREATE DOMAIN fee AS numeric; CREATE TABLE rows (id int PRIMARY KEY, fee fee, at timestamptz)"
    )
    query = (
        'SELECT id, fee, at, \'BTC\' AS "Sym""bol", ARRAY[1] AS list, NULL AS nothing FROM rows -- all of it'
    )
    found = await described(fresh, query=query, identity=("id",))
    assert named(found) == [
        ("id", "integer", "integer", False),
        ("fee", "fee", "numeric", False),
        ("at", "timestamp with time zone", "timestamp with time zone", False),
        ('Sym"bol', "text", "text", False),
        ("list", "integer[]", "integer[]", False),
        ("nothing", "text", "text", False),
    ]


async def test_a_query_is_not_run_to_describe_it(fresh: Fresh) -> None:
    found = await described(fresh, query="SELECT 1 / (random() * 0)::int AS never", identity=("never",))
    assert [column.name for column in found.columns] == ["never"]


async def test_a_query_with_a_column_twice_is_told(fresh: Fresh) -> None:
    with pytest.raises(
        SourceError, match="has the column `id` more than once; give one of them another name with AS"
    ):
        await described(fresh, query="SELECT 1 AS id, 2 AS id", identity=("id",))


@pytest.mark.parametrize(
    ("table", "nearest"),
    [
        ("trade", "trades"),
        ("Orders", '"Orders"'),
        ("publik.trades", "public.trades"),
        ("elsewhere", "other.elsewhere"),
        ('"TRADES"', "trades"),
    ],
)
async def test_a_table_that_is_not_there_is_told_with_the_nearest(
    fresh: Fresh, table: str, nearest: str
) -> None:
    fresh.execute(
        'CREATE TABLE trades (id int); CREATE TABLE "Orders" (id int);'
        " CREATE SCHEMA other; CREATE TABLE other.elsewhere (id int)"
    )
    with pytest.raises(SourceError, match=r"there is no table .* which `table` names") as told:
        await described(fresh, table)
    assert f"did you mean `{nearest}`?" in str(told.value)


async def test_nothing_is_near_in_an_empty_database(fresh: Fresh) -> None:
    with pytest.raises(
        SourceError, match=r"there is no table rows that the user can see, which `table` names$"
    ):
        await described(fresh, "rows")


async def test_what_is_no_table_is_told(fresh: Fresh) -> None:
    fresh.execute("CREATE SEQUENCE numbers")
    with pytest.raises(SourceError, match="neither a table nor a view"):
        await described(fresh, "numbers")


async def test_a_query_that_does_not_hold_is_told(fresh: Fresh) -> None:
    with pytest.raises(SourceError, match="trades"):
        await described(fresh, query="SELECT * FROM trades", identity=("id",))


async def test_the_catalogue_is_read_with_few_statements(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int PRIMARY KEY)")
    async with linked(fresh) as link:
        await describe(link, TableSettings(table="rows", key="id", time="id"))
        assert len(link.statements) == 4
