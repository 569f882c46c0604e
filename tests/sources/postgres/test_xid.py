from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import SourceError
from appliance.sources.postgres.columns import select
from appliance.sources.postgres.description import describe
from appliance.sources.postgres.reader import Reader
from appliance.sources.postgres.rows import Events
from appliance.sources.postgres.statements import Bounds, Place, Reading, Values, order_by
from appliance.sources.postgres.xid import Xid
from tests.sources.postgres.following import NUMBERED, Died, Disk, MemoryFeed, following
from tests.sources.postgres.workload import Workload

if TYPE_CHECKING:
    from typing import Any, Literal

    from tests.postgres import Fresh
    from tests.sources.postgres.following import Following


def insert(fresh: Fresh, *numbers: int) -> None:
    values = ", ".join(f"({number}, 'a')" for number in numbers)
    fresh.execute(f"INSERT INTO rows (id, symbol) VALUES {values}")  # noqa: S608 - numbers of our own


async def new(followed: Following) -> list[int]:
    return [row["id"] for row in await followed.poll()]


async def test_new_rows_are_told_in_the_order_of_transaction_and_identity(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        assert await new(followed) == []
        insert(fresh, 9, 8)
        insert(fresh, 2, 1)
        assert await new(followed) == [8, 9, 1, 2]
        assert await new(followed) == []
        assert len(followed.link.statements) == 1


async def test_a_time_is_not_needed(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid", time=None) as followed:
        await new(followed)
        insert(fresh, 1)
        assert await new(followed) == [1]
        (event,) = followed.feed.disk.events
        assert event.at is None


async def test_a_long_transaction_holds_back_those_after_it(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        await new(followed)
        with fresh.session() as long:
            long.execute("BEGIN; INSERT INTO rows (id, symbol) VALUES (5, 'a')")
            insert(fresh, 1)
            insert(fresh, 2)
            assert await new(followed) == []
            long.execute("INSERT INTO rows (id, symbol) VALUES (4, 'a'); COMMIT")
        assert await new(followed) == [4, 5, 1, 2]


async def test_a_transaction_that_was_under_way_at_the_first_start_is_told(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        with fresh.session() as long:
            long.execute("BEGIN; INSERT INTO rows (id, symbol) VALUES (1, 'a')")
            insert(fresh, 2)
            assert await new(followed) == []
            long.execute("COMMIT")
        assert await new(followed) == [1, 2]


async def test_rows_of_any_age_are_told(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        await new(followed)
        fresh.execute(
            "INSERT INTO rows (id, time, symbol) VALUES (1, '1999-01-01', 'a'), (2, 'infinity', 'a')"
        )
        assert await new(followed) == [1, 2]


async def test_rows_without_a_number_are_past(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows (id, symbol, xid) VALUES (1, 'a', NULL)")
        insert(fresh, 2)
        assert await new(followed) == [2]


async def test_a_large_transaction_comes_in_pieces(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid", batch=700) as followed:
        await new(followed)
        fresh.execute(
            "INSERT INTO rows (id, symbol) SELECT i, 'a' FROM generate_series(1, 10000) i ORDER BY random()"
        )
        insert(fresh, 20_000)
        assert await new(followed) == [*range(1, 10_001), 20_000]
        assert len(followed.link.statements) == 15


async def test_an_index_serves_within_a_transaction_too(fresh: Fresh) -> None:
    """The last piece of a large one must not cost as much as all of it."""
    fresh.execute(NUMBERED)
    fresh.execute(
        "INSERT INTO rows (id, symbol) SELECT i, 'a' FROM generate_series(1, 10000) i; ANALYZE rows"
    )
    ((xid,),) = fresh.execute("SELECT max(xid::text) FROM rows")
    async with following(fresh, follow="xid", batch=100) as followed:
        await new(followed)
        link, settings = followed.link, followed.settings
        selection = select(await describe(link, settings), settings)
        reading = Reading(selection, order_by(selection.xid, selection.identity))
        values = Values()
        conditions = [reading.order.behind(Place(xid, "[9900]"), values)]
        statement = reading.read(values, conditions, Bounds(rows=100, bytes=10**6, row_bytes=10**6))
        plan = await link.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement.sql}", *statement.values
        )
    text = "\n".join(line for (line,) in plan)
    assert "Index Cond: (ROW(xid, id) > ROW(" in text
    scan = next(line for line in text.splitlines() if "Index Scan" in line)
    assert "rows=100" in scan
    assert "Removed by Filter" not in text


async def test_the_numbers_of_another_database_are_told(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    fresh.execute("INSERT INTO rows (id, symbol, xid) VALUES (1, 'a', '99999999999')")
    async with following(fresh, follow="xid") as followed:
        with pytest.raises(
            SourceError, match=r'has the number 99999999999 in "xid".*SET "xid" = \'0\' WHERE'
        ):
            await new(followed)
        fresh.execute("UPDATE rows SET xid = '0' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())")
        assert await new(followed) == []


async def test_after_the_database_was_made_anew_the_channel_begins_anew(fresh: Fresh) -> None:
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        await new(followed)
        insert(fresh, 1)
        await new(followed)
        followed.feed.disk.state["where"] = ["99999999999", "[1]"]
        followed.restart()
        insert(fresh, 2)
        assert await new(followed) == []
        (warning,) = followed.feed.log.warnings
        assert "the database is another one, or an older copy" in warning["reason"]
        insert(fresh, 3)
        assert await new(followed) == [3]


async def test_numbers_that_go_back_while_it_runs_are_told(fresh: Fresh) -> None:
    """As where connections lead to another database from one look to the next."""
    fresh.execute(NUMBERED)
    async with following(fresh, follow="xid") as followed:
        link, settings = followed.link, followed.settings
        selection = select(await describe(link, settings), settings)
        reader = Reader(selection, order_by(selection.xid, selection.identity), settings)
        events = Events(key=settings.key, floats=(), row_bytes=settings.row_bytes)
        feed: Any = MemoryFeed(Disk({"where": ["99999999999", "[1]"]}))
        follower = Xid(reader, feed, events)
        with pytest.raises(
            SourceError, match="numbers its transactions anew: rows up to 99999999999 were told"
        ):
            await follower.poll(link, woken=False)


@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_at_any_instant_each_row_is_told_once(
    fresh: Fresh, side: Literal["before", "after"]
) -> None:
    fresh.execute(NUMBERED)
    call, died = 0, True
    while died:
        call += 1
        fresh.execute("TRUNCATE rows")
        died = await killed_at(fresh, call, side)
    assert call > 8


async def killed_at(fresh: Fresh, call: int, side: Literal["before", "after"]) -> bool:
    fresh.execute(
        "INSERT INTO rows (id, time, symbol) VALUES (1, now() - interval '1 hour', 'old'), (2, now(), 'a')"
    )
    insert(fresh, 3, 4, 5, 6)
    died = False
    async with following(fresh, follow="xid", batch=2, backfill=60.0, snapshot="latest") as followed:
        followed.kill_at(call, side)
        for hundred in (100, 200):
            insert(fresh, *range(hundred, hundred + 5))
            try:
                await new(followed)
            except Died:
                died = True
                followed.restart()
                await new(followed)
        told = followed.feed.disk.told("id")
    assert sorted(told) == [*range(1, 7), *range(100, 105), *range(200, 205)]
    return died


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_committed_is_told_once_and_in_order(fresh: Fresh, seed: int) -> None:
    dice = random.Random(seed)
    fresh.execute(NUMBERED)
    work = Workload(fresh, dice, ages=(-1e6, 1e6))
    async with following(fresh, follow="xid", batch=dice.choice((1, 5, 100))) as followed:
        await new(followed)
        work.begin(4)
        for _ in range(80):
            work.step()
            if dice.random() < 0.3:
                try:
                    await new(followed)
                except Died:
                    followed.restart()
            if dice.random() < 0.1:
                followed.kill_at(dice.randint(1, 4), dice.choice(("before", "after")))
        work.finish()
        followed.restart()
        await new(followed)
        told = list(zip(map(int, followed.feed.disk.told("xid")), followed.feed.disk.told("id"), strict=True))
    assert sorted(number for _, number in told) == sorted(work.committed), f"seed {seed}"
    assert told == sorted(told), f"seed {seed}"
