from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import SourceError
from tests.sources.postgres.following import TABLE, Died, following
from tests.sources.postgres.workload import Workload

if TYPE_CHECKING:
    from typing import Literal

    from tests.postgres import Fresh
    from tests.sources.postgres.following import Following


OF = '["window", "rows", null, "time", "id"]'


def insert(fresh: Fresh, *rows: tuple[int, float]) -> None:
    """Insert rows of a number and an age in seconds."""
    values = ", ".join(f"({number}, now() - {age} * interval '1 s', 'a')" for number, age in rows)
    fresh.execute(f"INSERT INTO rows (id, time, symbol) VALUES {values}")  # noqa: S608 - numbers of our own


async def new(followed: Following, *, woken: bool = False) -> list[int]:
    return [row["id"] for row in await followed.poll(woken=woken)]


async def test_new_rows_are_told_in_the_order_of_their_time(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        assert await new(followed) == []
        insert(fresh, (1, 3), (2, 1), (3, 2))
        assert await new(followed) == [1, 3, 2]
        assert await new(followed) == []


async def test_rows_that_were_there_before_are_not_told(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    insert(fresh, (1, 1000), (2, 5), (3, 1))
    async with following(fresh) as followed:
        assert await new(followed) == []
        insert(fresh, (4, 0))
        assert await new(followed) == [4]


async def test_a_row_that_is_committed_late_is_told_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        with fresh.session() as late:
            late.execute("BEGIN; INSERT INTO rows (id, symbol) VALUES (1, 'a')")
            insert(fresh, (2, 0))
            assert await new(followed) == [2]
            late.execute("COMMIT")
        assert await new(followed) == [1]
        assert await new(followed) == []
        assert await new(followed, woken=True) == []


async def test_rows_with_the_same_time_are_told_once_in_pieces(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, batch=70) as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows (id, symbol) SELECT i, 'a' FROM generate_series(1, 5000, 2) i")
        assert await new(followed) == list(range(1, 5000, 2))
        fresh.execute("""
            INSERT INTO rows (id, time, symbol)
            SELECT i, (SELECT max(time) FROM rows), 'a' FROM generate_series(2, 4999, 2) i""")
        assert await new(followed) == list(range(2, 4999, 2))
        assert await new(followed) == []


async def test_without_a_key_that_is_never_null_the_same_holds(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int, time timestamptz, symbol text)")
    async with following(fresh, batch=7, identity=("id",)) as followed:
        await new(followed)
        fresh.execute(
            "INSERT INTO rows SELECT nullif(i, 50), '2024-01-01', 'a' FROM generate_series(1, 100) i"
        )
        assert await new(followed) == []
        fresh.execute("INSERT INTO rows SELECT nullif(i, 50), now(), 'a' FROM generate_series(1, 100) i")
        told = await new(followed)
        assert sorted(number or 0 for number in told) == [0, *range(1, 50), *range(51, 101)]
        fresh.execute(
            "INSERT INTO rows SELECT i, (SELECT max(time) FROM rows), 'a' FROM generate_series(90, 110) i"
        )
        assert await new(followed) == list(range(101, 111))


async def test_rows_alike_in_all_columns_are_one(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (time timestamptz, symbol text, data json)")
    fresh.execute("CREATE TABLE more (LIKE rows)")
    async with following(fresh) as followed:
        await followed.poll()
        fresh.execute(
            """INSERT INTO rows VALUES (now(), 'a', '{"a": 1}'), (now(), 'a', '{"a": 1}'), (now(), 'a', NULL)"""
        )
        assert len(await followed.poll()) == 3  # in one read each is seen for itself
        fresh.execute(
            "INSERT INTO rows SELECT DISTINCT ON (symbol) * FROM rows ORDER BY symbol, data IS NULL"
        )
        assert await followed.poll() == []


async def test_an_identity_may_come_again_with_another_time(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int, time timestamptz NOT NULL, symbol text NOT NULL)")
    async with following(fresh, identity=("symbol",)) as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows VALUES (1, now() - interval '7 s', 'a'), (2, now(), 'b')")
        assert sorted(await new(followed)) == [1, 2]
        fresh.execute(
            "INSERT INTO rows VALUES (3, now() - interval '9 s', 'a'), (4, now() - interval '5 s', 'c')"
        )
        assert await new(followed) == [3, 4]
        assert await new(followed) == []


async def test_a_row_of_the_future_is_told_at_once_and_does_not_hide_others(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, overlap=30.0) as followed:
        await new(followed)
        insert(fresh, (1, -7200))
        assert await new(followed) == [1]
        insert(fresh, (2, 0), (3, 5))
        assert await new(followed) == [3, 2]
        insert(fresh, (4, -3600), (5, -10_000), (6, 1000))
        assert sorted(await new(followed)) == [4, 5]
        assert await new(followed) == []
        followed.restart()
        insert(fresh, (7, 0))
        assert await new(followed) == [7]


async def test_infinite_times(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows (id, time) VALUES (5, 'infinity'), (1, '-infinity')")
        fresh.execute("UPDATE rows SET symbol = 'a'")
        assert await new(followed) == [5]
        fresh.execute("INSERT INTO rows (id, time, symbol) VALUES (2, 'infinity', 'a'), (9, 'infinity', 'a')")
        insert(fresh, (3, 1))
        assert sorted(await new(followed)) == [2, 3, 9]
        assert await new(followed) == []


async def test_deleted_rows_are_told_no_more_and_disturb_nobody(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        insert(fresh, (1, 2), (2, 1), (3, 0))
        await new(followed)
        fresh.execute("DELETE FROM rows WHERE id <> 2")
        assert await new(followed) == []
        assert await new(followed) == []
        assert len(followed.link.statements) == 1  # it has seen what is left
        fresh.execute("INSERT INTO rows (id, time, symbol) SELECT 4, time, 'a' FROM rows")
        assert await new(followed) == [4]


async def test_the_newest_row_may_be_deleted(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        insert(fresh, (1, 1), (2, 0))
        await new(followed)
        fresh.execute("DELETE FROM rows WHERE id = 2")
        insert(fresh, (3, 0.5))
        assert await new(followed) == [3]


async def test_an_update_is_not_told(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        insert(fresh, (1, 1))
        await new(followed)
        fresh.execute("UPDATE rows SET price = 2")
        assert await new(followed) == []


async def test_a_row_that_is_given_another_time_is_told_again(fresh: Fresh) -> None:
    """Whether it lies in the window still or not: a table of current values is followed by when they were set."""
    fresh.execute(TABLE)
    async with following(fresh, overlap=10.0) as followed:
        await new(followed)
        insert(fresh, (1, 5))
        await new(followed)
        fresh.execute("UPDATE rows SET time = now()")
        assert await new(followed) == [1]


async def test_when_idle_it_asks_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    insert(fresh, *((number, number) for number in range(1, 40)))
    async with following(fresh) as followed:
        await new(followed)
        for _ in range(3):
            assert await new(followed) == []
            assert len(followed.link.statements) == 1
        insert(fresh, (100, 0))
        await new(followed)
        await new(followed)
        assert len(followed.link.statements) == 1


async def test_woken_it_asks_for_what_is_new_first(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        insert(fresh, (1, 0))
        assert await new(followed, woken=True) == [1]
        assert len(followed.link.statements) == 2


async def test_a_late_row_costs_no_more_than_to_list_the_window_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh) as followed:
        await new(followed)
        insert(fresh, (2, 0))
        await new(followed)
        insert(fresh, (1, 5))
        assert await new(followed, woken=True) == [1]
        assert len(followed.link.statements) == 4  # new ones, the digest, the list, the row
        assert await new(followed) == []
        assert len(followed.link.statements) == 1


async def test_what_came_late_while_nobody_looked_is_told(fresh: Fresh) -> None:
    """Though many newer ones came too, and the window has moved on by now."""
    fresh.execute(TABLE)
    async with following(fresh, overlap=20.0, batch=10) as followed:
        await new(followed)
        insert(fresh, (1, 60))
        assert await new(followed) == []
        # As it was a minute ago, with the newest row and the edge of that time.
        state = followed.feed.disk.state
        fresh.execute("DELETE FROM rows")
        ((where, edge),) = fresh.execute(
            """
            SELECT (now() - interval '60 s')::timestamp::text || '+00',
                   (extract(epoch FROM now() - interval '80 s') * 1000000)::int8""",
        )
        state.clear()
        state |= {"of": OF, "where": [where, None], "edge": edge}
        insert(fresh, *((number, 50 - number / 10) for number in range(100, 400)))
        insert(fresh, (2, 75), (3, 61), (4, 90))
        followed.restart()
        told = await new(followed)
        assert sorted(told) == [2, 3, *range(100, 400)]
        assert await new(followed) == []


async def test_catching_up_does_not_keep_what_lies_before_the_window(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, overlap=10.0, batch=100, window_rows=500, backfill=100_000.0) as followed:
        insert(fresh, *((number, 20_000 - number) for number in range(3_000)))
        assert await new(followed) == list(range(3_000))
        pages = [page for name, page in followed.feed.disk.state.items() if name.startswith("seen/")]
        assert sum(map(len, pages)) < 700


async def test_too_many_rows_in_the_window_are_told(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, window_rows=10) as followed:
        await new(followed)
        insert(fresh, *((number, 1) for number in range(11)))
        with pytest.raises(
            SourceError, match=r"more than 10 rows lie within `overlap`, 1m.*raise `window_rows`"
        ):
            await new(followed)


async def test_a_row_near_the_edge_raises_a_warning(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, overlap=40.0) as followed:
        insert(fresh, (1, 0))
        await new(followed)
        insert(fresh, (2, 20))
        await new(followed)
        assert followed.feed.log.warnings == []
        insert(fresh, (3, 35), (4, 36))
        await new(followed)
        insert(fresh, (5, 35))
        await new(followed)
        first, second = followed.feed.log.warnings
        assert first["event"] == "rows came late, near the edge of the window"
        assert (first["rows"], first["so_far"], second["rows"], second["so_far"]) == (2, 2, 1, 3)
        assert "raise `overlap`" in first["remedy"]


async def test_rows_that_cannot_be_events_are_left_out_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    async with following(fresh, row_bytes=1024) as followed:
        await new(followed)
        fresh.execute(
            "INSERT INTO rows (id, symbol) VALUES (1, 'a'), (2, NULL), (3, repeat('x', 5000)), (4, 'b')"
        )
        assert await new(followed) == [1, 4]
        assert [warning["event"] for warning in followed.feed.log.warnings] == ["row left out"] * 2
        followed.restart()
        assert await new(followed) == []
        assert len(followed.feed.log.warnings) == 2


async def test_a_view_a_query_and_a_partitioned_table_are_followed(fresh: Fresh) -> None:
    fresh.execute("""
        CREATE TABLE parted (id int, time timestamptz, symbol text, PRIMARY KEY (time, id)) PARTITION BY RANGE (time);
        CREATE TABLE parted_old PARTITION OF parted FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
        CREATE VIEW viewed AS SELECT * FROM parted WHERE symbol <> 'hidden'""")
    query = "SELECT id AS number, time, upper(symbol) AS symbol FROM parted -- with a comment"
    async with (
        following(fresh, table="parted") as table,
        following(fresh, table="viewed", identity=("id",)) as view,
        following(fresh, query=query, identity=("number",)) as asked,
    ):
        for followed in (table, view, asked):
            assert await followed.poll() == []
        fresh.execute(
            "CREATE TABLE parted_new PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2100-01-01')"
        )
        fresh.execute("INSERT INTO parted VALUES (2, now(), 'a'), (1, now(), 'hidden')")
        assert [row["id"] for row in await table.poll()] == [1, 2]
        assert [row["id"] for row in await view.poll()] == [2]
        assert [(row["number"], row["symbol"]) for row in await asked.poll()] == [(1, "HIDDEN"), (2, "A")]


async def test_a_time_without_a_zone_is_followed(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE rows (id int PRIMARY KEY, time timestamp, symbol text)")
    async with following(fresh) as followed:
        await new(followed)
        fresh.execute("INSERT INTO rows VALUES (2, now() AT TIME ZONE 'UTC', 'a')")
        assert await new(followed) == [2]
        fresh.execute("INSERT INTO rows VALUES (1, now() AT TIME ZONE 'UTC' - interval '5 s', 'a')")
        assert await new(followed) == [1]
        assert await new(followed) == []
        assert len(followed.link.statements) == 1


@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_at_any_instant_each_row_is_told_once(
    fresh: Fresh, side: Literal["before", "after"]
) -> None:
    fresh.execute(TABLE)
    call, died = 0, True
    while died:
        call += 1
        fresh.execute("TRUNCATE rows")
        died = await killed_at(fresh, call, side)
    assert call > 10


async def killed_at(fresh: Fresh, call: int, side: Literal["before", "after"]) -> bool:
    insert(fresh, (1, 500), (2, 30), (3, 0.5))
    died = False
    async with following(fresh, batch=3, overlap=40.0, backfill=100.0) as followed:
        followed.kill_at(call, side)
        for hundred in (100, 200, 300):
            insert(fresh, *((hundred + number, 0.1) for number in range(7)))
            insert(fresh, *((hundred + number, number - 30) for number in range(50, 54)))
            try:
                await new(followed)
            except Died:
                died = True
                followed.restart()
                await new(followed)
        told = followed.feed.disk.told("id")
    # What is older than `backfill` at the first look was there before.
    both = (*range(7), *range(50, 54))
    assert sorted(told) == [2, 3, *(hundred + number for hundred in (100, 200, 300) for number in both)]
    return died


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_committed_within_the_overlap_is_told_once(fresh: Fresh, seed: int) -> None:
    dice = random.Random(seed)
    fresh.execute(TABLE)
    work = Workload(fresh, dice, ages=(0.0, 15.0))
    async with following(fresh, batch=dice.choice((1, 5, 100)), overlap=60.0) as followed:
        await new(followed)
        work.begin(4)
        for _ in range(80):
            work.step()
            if dice.random() < 0.3:
                try:
                    await new(followed, woken=dice.random() < 0.5)
                except Died:
                    followed.restart()
            if dice.random() < 0.1:
                followed.kill_at(dice.randint(1, 4), dice.choice(("before", "after")))
        work.finish()
        followed.restart()
        await new(followed)
        told = followed.feed.disk.told("id")
    assert sorted(told) == sorted(work.committed), f"seed {seed}"
