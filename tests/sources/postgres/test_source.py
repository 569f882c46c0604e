# ruff: noqa: S608 - numbers of this module

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pytest
import trio

from appliance.api import PageQuery
from appliance.core.errors import RequestError, SourceError
from appliance.sources.postgres.settings import PostgresSettings, TableSettings
from appliance.sources.postgres.source import Postgres, rest
from appliance.sources.postgres.wakes import Wake
from tests.sources.postgres.following import NUMBERED, TABLE, Died, Disk, MemoryFeed, address
from tests.sources.postgres.patience import WITHIN, until
from tests.sources.postgres.workload import Workload

if TYPE_CHECKING:
    from trio.testing import MockClock

    from appliance.api import Rows
    from tests.postgres import Fresh

NEVER = 86_400.0


def dies_at(death: int, side: Literal["before", "after"], call: int) -> Literal["before", "after"] | None:
    return side if call == death else None


def settings(**changes: Any) -> TableSettings:
    return TableSettings(**{"table": "rows", "key": "symbol", "time": "time", "every": 0.05, **changes})


def source(fresh: Fresh, **changes: Any) -> Postgres:
    return Postgres(address(fresh, **changes))


async def told(feed: MemoryFeed, *numbers: int) -> None:
    with trio.fail_after(WITHIN):
        while not set(numbers) <= set(feed.disk.told("id")):
            await feed.told.wait()


def test_it_is_a_source_that_connects_to_nobody_until_it_is_asked() -> None:
    database: Rows = Postgres(PostgresSettings(host="nowhere.invalid"))
    assert callable(database.produce)


@pytest.mark.parametrize(("follow", "table"), [("window", TABLE), ("xid", NUMBERED)])
async def test_rows_are_published_as_they_come(fresh: Fresh, follow: str, table: str) -> None:
    fresh.execute(table)
    feed: Any = MemoryFeed()
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(source(fresh).produce, feed, settings(follow=follow))
        await feed.readiness.wait()
        for number in range(5):
            fresh.execute("INSERT INTO rows (id, symbol) VALUES ($1::text::int, 'a')", str(number))
            await told(feed, number)
        nursery.cancel_scope.cancel()
    assert feed.disk.told("id") == [0, 1, 2, 3, 4]
    await until(lambda: fresh.connections() == [])


async def test_it_looks_every_so_often(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    feed: Any = MemoryFeed()
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(source(fresh).produce, feed, settings(every=NEVER))
        await feed.readiness.wait()
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a')")
        with trio.move_on_after(0.3):
            await told(feed, 1)
            pytest.fail("it looked too early")
        nursery.cancel_scope.cancel()


async def test_a_notice_makes_it_look_at_once(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    feed: Any = MemoryFeed()
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(source(fresh).produce, feed, settings(every=NEVER, notify="New rows"))
        await feed.readiness.wait()
        for number in range(20):
            fresh.execute(f"INSERT INTO rows (id, symbol) VALUES ({number}, 'a'); NOTIFY \"New rows\"")
            await told(feed, number)
        assert len(fresh.connections()) == 2
        nursery.cancel_scope.cancel()
    await until(lambda: fresh.connections() == [])


async def test_a_flood_of_notices_leaves_the_database_time_to_rest(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    feed: Any = MemoryFeed()
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(source(fresh).produce, feed, settings(every=NEVER, notify="rows"))
        await feed.readiness.wait()
        with fresh.session() as writer:
            for number in range(300):
                writer.execute(f"INSERT INTO rows (id, symbol) VALUES ({number}, 'a'); NOTIFY rows")
                await trio.lowlevel.checkpoint()
        await told(feed, 299)
        nursery.cancel_scope.cancel()
    assert sorted(feed.disk.told("id")) == list(range(300))


@pytest.mark.parametrize(
    ("took", "rings", "waits", "woken"),
    [
        (1.0, False, 4.0, False),
        (1.0, True, 1.0, True),
        (0.0, True, 0.0, True),
        (3.0, False, 3.0, False),
        (60.0, True, 60.0, False),
    ],
)
async def test_between_two_looks_the_database_rests_as_long_as_one_took(
    autojump_clock: MockClock, took: float, waits: float, *, rings: bool, woken: bool
) -> None:
    wake, began = Wake(), trio.current_time()
    await trio.sleep(took)
    if rings:
        wake.ring()
    assert await rest(began, 5.0, wake) is woken
    assert autojump_clock.current_time() - began == pytest.approx(took + waits)


async def test_without_notices_it_waits_its_time(autojump_clock: MockClock) -> None:
    assert not await rest(trio.current_time(), 5.0, None)
    assert autojump_clock.current_time() == pytest.approx(5.0)


async def test_what_fails_ends_it_and_the_next_one_goes_on(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    database, feed = source(fresh), MemoryFeed()
    producer: Any = feed
    for number in range(4):
        async with trio.open_nursery() as nursery:  # ends with the table
            nursery.start_soon(ended, database, producer)
            await feed.readiness.wait()
            fresh.execute(
                f"INSERT INTO rows (id, symbol) VALUES ({number}, 'a'); ALTER TABLE rows RENAME TO away"
            )
        fresh.execute("ALTER TABLE away RENAME TO rows")
        feed.readiness = trio.Event()
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(database.produce, producer, settings())
        await told(feed, 0, 1, 2, 3)
        nursery.cancel_scope.cancel()
    assert feed.disk.told("id") == [0, 1, 2, 3]


async def ended(database: Postgres, feed: Any) -> None:
    with pytest.raises(SourceError, match="correct `table` or `query`, or make the table again"):
        await database.produce(feed, settings())


async def test_it_is_not_ready_where_the_table_is_not(fresh: Fresh) -> None:
    feed: Any = MemoryFeed()
    with pytest.raises(SourceError, match="there is no table rows"):
        await source(fresh).produce(feed, settings())
    assert not feed.readiness.is_set()
    await until(lambda: fresh.connections() == [])


async def test_many_channels_share_few_connections(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    database = source(fresh, connections=2)
    feeds: list[Any] = [MemoryFeed() for _ in range(12)]
    async with trio.open_nursery() as nursery:  # ends with the test
        for feed in feeds:
            nursery.start_soon(database.produce, feed, settings(notify="rows"))
        for feed in feeds:
            await feed.readiness.wait()
        fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a'); NOTIFY rows")
        for feed in feeds:
            await told(feed, 1)
        assert len(fresh.connections()) <= 2
        nursery.cancel_scope.cancel()
    await until(lambda: fresh.connections() == [])


async def test_it_reads_pages_and_examines_beside(fresh: Fresh) -> None:
    fresh.execute(TABLE)
    fresh.execute("INSERT INTO rows (id, symbol) VALUES (1, 'a'), (2, 'b')")
    database = source(fresh)
    page = await database.page("rows", PageQuery(key="b", limit=10), settings())
    assert [(row.key, row.data["id"]) for row in page.rows] == [("b", 2)]
    assert (await database.examine(settings())).served_by_index
    with pytest.raises(RequestError):
        await database.page("rows", PageQuery(cursor="?", limit=10), settings())
    await until(lambda: fresh.connections() == [])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("follow", "table"), [("window", TABLE), ("xid", NUMBERED)])
async def test_whatever_happens_each_row_is_published_once(
    fresh: Fresh, follow: str, table: str, seed: int
) -> None:
    """The appliance dies at any instant, connections are ended, and writers do as they like."""
    dice, disk = random.Random(seed), Disk()
    fresh.execute(table)
    chosen = settings(follow=follow, batch=dice.choice((1, 3, 50)), notify=dice.choice((None, "rows")))
    work = Workload(fresh, dice, ages=(0.0, 15.0))
    begun = trio.Event()

    async def supervise() -> None:
        while True:
            feed: Any = MemoryFeed(disk, readiness=begun)
            if begun.is_set():
                feed.dies = partial(dies_at, dice.randint(1, 12), dice.choice(("before", "after")))
            try:
                await source(fresh).produce(feed, chosen)
            except (Died, SourceError):
                await trio.sleep(dice.random() * 0.02)

    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(supervise)
        await begun.wait()
        work.begin(3)
        for _ in range(120):
            work.step()
            if dice.random() < 0.05:
                fresh.terminate()
            if dice.random() < 0.1:
                fresh.execute("NOTIFY rows")
            await trio.sleep(dice.random() * 0.01)
        work.finish()
        await until(lambda: len(disk.events) >= len(work.committed))
        nursery.cancel_scope.cancel()
    assert sorted(disk.told("id")) == sorted(work.committed), f"seed {seed}"
    if follow == "xid":
        order = list(zip(map(int, disk.told("xid")), disk.told("id"), strict=True))
        assert order == sorted(order), f"seed {seed}"
