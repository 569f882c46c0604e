# ruff: noqa: S608 - numbers of this module

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.api import Page, PageQuery
from appliance.core.errors import RequestError
from appliance.sources.postgres.paging import page
from appliance.sources.postgres.settings import TableSettings
from tests.sources.postgres.following import NUMBERED, TABLE, linked

if TYPE_CHECKING:
    from appliance.sources.postgres.link import Link
    from tests.postgres import Fresh

ROWS = """
INSERT INTO rows (id, time, symbol)
SELECT i, '2024-01-01 00:00:00+00'::timestamptz + (i / 3) * interval '1 min', (ARRAY['BTC', 'ETH'])[i % 2 + 1]
FROM generate_series(1, 20) i;
"""


def settings(**changes: Any) -> TableSettings:
    return TableSettings(**{"table": "rows", "key": "symbol", "time": "time", **changes})


async def asked(link: Link, limit: int = 100, configured: TableSettings | None = None, **wanted: Any) -> Page:
    return await page(link, configured or settings(), PageQuery(limit=limit, **wanted))


def numbers(found: Page) -> list[int]:
    return [row.data["id"] for row in found.rows]


async def test_the_newest_rows_come_first(fresh: Fresh) -> None:
    fresh.execute(TABLE + ROWS)
    async with linked(fresh) as link:
        found = await asked(link)
    assert numbers(found) == list(range(20, 0, -1))
    assert found.next is None
    assert found.rows[0].data["time"] == "2024-01-01T00:06:00Z"


@pytest.mark.parametrize(
    "configured", [settings(), settings(table=None, query="TABLE rows", identity=("id",))]
)
async def test_pages_follow_one_another(fresh: Fresh, configured: TableSettings) -> None:
    fresh.execute(TABLE + ROWS)
    async with linked(fresh) as link:
        found: list[int] = []
        after, pages = None, 0
        while pages == 0 or after is not None:
            piece = await asked(link, 5, configured, cursor=after)
            found += numbers(piece)
            after, pages = piece.next, pages + 1
            # What comes in between is newer than all pages that are to come.
            fresh.execute(f"INSERT INTO rows (id, symbol) VALUES ({1000 + pages}, 'new')")
    assert found == list(range(20, 0, -1))
    assert pages == 4


async def test_rows_of_one_key(fresh: Fresh) -> None:
    fresh.execute(TABLE + ROWS)
    async with linked(fresh) as link:
        assert numbers(await asked(link, key="BTC")) == list(range(20, 0, -2))
        assert numbers(await asked(link, key="btc")) == []
        assert numbers(await asked(link, key="'; DROP TABLE rows; --")) == []
        by_number = settings(key="id")
        assert numbers(await asked(link, configured=by_number, key="7")) == [7]
        assert numbers(await asked(link, configured=by_number, key="seven")) == []
        assert numbers(await asked(link, configured=by_number, key="9" * 40)) == []
        template = settings(key="{symbol}:{id}")
        assert numbers(await asked(link, configured=template, key="BTC:8")) == [8]
        constant = settings(key="'all'")
        assert len(numbers(await asked(link, configured=constant, key="all"))) == 20
        assert numbers(await asked(link, configured=constant, key="none")) == []


async def test_an_index_serves_to_find_a_key(fresh: Fresh) -> None:
    fresh.execute(TABLE + ROWS + "CREATE INDEX ON rows (symbol, time, id)")
    async with linked(fresh) as link:
        await asked(link, key="BTC")
        (statement,) = (sql for sql in link.statements if "json_agg" in sql)
        await link.fetch("SET enable_seqscan = off")
        plan = await link.fetch(f"EXPLAIN {statement}", "BTC", "100", "100000", "100000")
    assert any("Index Cond:" in line and "symbol = 'BTC'::text" in line for (line,) in plan)


async def test_rows_of_a_time(fresh: Fresh) -> None:
    fresh.execute(TABLE + ROWS)
    async with linked(fresh) as link:
        since = await asked(link, since="2024-01-01T00:05:00Z")
        until = await asked(link, until="2024-01-01T01:02:00+01:00")
        both = await asked(link, since="2024-01-01T00:02:00Z", until="2024-01-01T00:03:00Z", key="BTC")
    assert numbers(since) == [20, 19, 18, 17, 16, 15]
    assert numbers(until) == [5, 4, 3, 2, 1]
    assert numbers(both) == [8, 6]


async def test_without_a_time_pages_go_by_transaction(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    for number in (3, 1, 2):
        fresh.execute(f"INSERT INTO rows (id, symbol) VALUES ({number}, 'a')")
    configured = settings(follow="xid", time=None)
    async with linked(fresh) as link:
        first = await asked(link, 2, configured)
        assert numbers(first) == [2, 1]
        assert numbers(await asked(link, 2, configured, cursor=first.next)) == [3]
        with pytest.raises(RequestError, match="no time"):
            await asked(link, 2, configured, since="2024-01-01")


async def test_rows_that_cannot_be_events_are_left_out(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute(
        "INSERT INTO rows (id, symbol) VALUES (1, 'a'), (2, NULL), (3, repeat('x', 5000)), (4, 'b')"
    )
    async with linked(fresh) as link:
        first = await asked(link, 3, settings(row_bytes=1024))
        assert numbers(first) == [4]
        assert numbers(await asked(link, 3, settings(row_bytes=1024), cursor=first.next)) == [1]


async def test_rows_without_a_time_are_in_no_page(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int PRIMARY KEY, time timestamptz, symbol text)")
    fresh.execute("INSERT INTO rows VALUES (1, now(), 'a'), (2, NULL, 'a'), (3, now(), 'a')")
    async with linked(fresh) as link:
        assert numbers(await asked(link)) == [3, 1]


async def test_a_page_is_bounded_by_bytes(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (symbol) SELECT repeat('x', 5000) FROM generate_series(1, 10)")
    configured = settings(key="'all'", batch_bytes=12_000, row_bytes=10_000)
    async with linked(fresh) as link:
        first = await asked(link, 10, configured)
        assert numbers(first) == [10, 9, 8]
        assert numbers(await asked(link, 1, configured, cursor=first.next)) == [7]


@pytest.mark.parametrize(
    "after",
    ["", "?", "abc", "W10", "WyJhIiwiYiJd", "bnVsbA", "WzEsMl0", "é", "W" * 100_000, "WyJ4IiwgIls1XSJd"],
)
async def test_a_cursor_that_no_page_has_given_is_told(fresh: Fresh, after: str) -> None:
    fresh.execute(TABLE + ROWS)
    async with linked(fresh) as link:
        with pytest.raises(RequestError, match="`cursor` is not what a page of these rows has given"):
            await asked(link, cursor=after)
        assert numbers(await asked(link, 1)) == [20]


async def test_a_cursor_of_other_rows_is_told(fresh: Fresh) -> None:
    fresh.execute(TABLE + ROWS + "CREATE TABLE others (LIKE rows INCLUDING ALL)")
    async with linked(fresh) as link:
        first = await asked(link, 5)
        with pytest.raises(RequestError, match="of these rows"):
            await asked(link, 5, settings(table="others"), cursor=first.next)


@pytest.mark.parametrize("name", ["since", "until"])
async def test_what_is_no_time_is_told(fresh: Fresh, name: Any) -> None:
    async with linked(fresh) as link:
        with pytest.raises(RequestError, match=f"`{name}` is no time"):
            await page(link, settings(), PageQuery(limit=1, **{name: "yesterday"}))
