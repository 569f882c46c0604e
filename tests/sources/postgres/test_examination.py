from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.api import Row
from appliance.core.errors import SourceError
from appliance.sources.postgres.examination import Examination, examine
from appliance.sources.postgres.settings import TableSettings
from tests.sources.postgres.following import NUMBERED, TABLE, linked

if TYPE_CHECKING:
    from tests.postgres import Fresh


async def examined(fresh: Fresh, **changes: Any) -> Examination:
    said = {"table": "rows", "key": "symbol", "time": "time", **changes}
    async with linked(fresh) as link:
        found = await examine(link, TableSettings(**said))
        assert await link.fetch("SHOW enable_seqscan") == [["on"]]
        return found


async def test_the_columns_and_what_they_become(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    found = await examined(fresh, columns={"price": "last"})
    assert found.columns == (
        ("id", "bigint", None),
        ("time", "timestamp with time zone", None),
        ("symbol", "text", None),
        ("price", "numeric", "last"),
    )


async def test_the_newest_events(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute(
        "INSERT INTO rows (id, time, symbol) SELECT i, to_timestamp(i), 's' || i FROM generate_series(1, 9) i"
    )
    first = (await examined(fresh, columns={"id": "n"})).first
    assert first == tuple(Row(f"s{number}", {"n": number}, float(number)) for number in (9, 8, 7, 6, 5))


async def test_a_table_may_be_empty(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    assert (await examined(fresh)).first == ()


@pytest.mark.parametrize("rows", [0, 20, 20_000])
@pytest.mark.parametrize(
    ("sql", "changes", "served"),
    [
        (TABLE, {}, True),
        ("CREATE TABLE rows (id int PRIMARY KEY, time timestamptz, symbol text)", {}, False),
        (
            "CREATE TABLE rows (id int, time timestamptz PRIMARY KEY, symbol text)",
            {"identity": ("id",)},
            True,
        ),
        ("CREATE TABLE rows (id int, time timestamptz, symbol text, PRIMARY KEY (id, time))", {}, False),
        (NUMBERED, {"follow": "xid"}, True),
        (
            TABLE + "ALTER TABLE rows ADD COLUMN xid xid8 DEFAULT pg_current_xact_id()",
            {"follow": "xid"},
            False,
        ),
        (TABLE, {"table": None, "query": "SELECT * FROM rows WHERE id > 5", "identity": ("id",)}, True),
    ],
)
async def test_whether_an_index_serves(
    fresh: Fresh, sql: str, changes: dict[str, Any], rows: int, *, served: bool
) -> None:
    fresh.execute(sql)
    fresh.execute(f"""
        INSERT INTO rows (id, time, symbol) SELECT i, to_timestamp(i), 'a' FROM generate_series(1, {rows}) i;
        ANALYZE rows""")  # noqa: S608 - a number
    found = await examined(fresh, **changes)
    assert found.served_by_index is served, found.plan
    assert "rows" in found.plan


async def test_each_partition_needs_the_index(fresh: Fresh) -> None:
    fresh.execute("""
        CREATE TABLE rows (id int, time timestamptz NOT NULL, symbol text) PARTITION BY RANGE (time);
        CREATE TABLE rows_new PARTITION OF rows FOR VALUES FROM ('2020-01-01') TO ('2200-01-01');
        CREATE TABLE rows_late PARTITION OF rows FOR VALUES FROM ('2200-01-01') TO ('2300-01-01');
        CREATE INDEX ON rows_new (time, id)""")
    assert not (await examined(fresh, identity=("id",))).served_by_index
    fresh.execute("CREATE INDEX ON rows (time, id)")
    assert (await examined(fresh, identity=("id",))).served_by_index


async def test_what_would_stop_following_is_told(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    fresh.execute("INSERT INTO rows (symbol, xid) VALUES ('a', '99999999999')")
    with pytest.raises(SourceError, match="copied from another"):
        await examined(fresh, follow="xid")
