"""The connections to one database: never more than allowed, kept while they are used, and none left afterwards."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from appliance.core.errors import SourceError
from appliance.settings.fields import Secret
from appliance.sources.postgres.pool import Pool
from appliance.sources.postgres.settings import PostgresSettings
from tests.postgres import HOST
from tests.sources.postgres.patience import until

if TYPE_CHECKING:
    from tests.postgres import Database, Fresh

WITHIN = 60.0


def settings(fresh: Fresh, **changes: Any) -> PostgresSettings:
    said = {
        "host": HOST,
        "port": fresh.server.port,
        "database": fresh.name,
        "password": Secret(fresh.server.password),
        "connections": 3,
    }
    return PostgresSettings(**{**said, **changes})


def limited(fresh: Fresh, connections: int) -> PostgresSettings:
    """A user whom the server itself refuses the first connection too many."""
    name = f"limited_in_{fresh.name}"
    fresh.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'open' CONNECTION LIMIT {connections}")
    return settings(fresh, user=name, password=Secret("open"), connections=connections)


def test_a_pool_does_nothing_until_it_is_used() -> None:
    Pool(PostgresSettings(host="nowhere.invalid", sslrootcert="/nowhere"))


async def test_a_link_is_lent_again_while_the_pool_is_used(fresh: Fresh) -> None:
    pool = Pool(settings(fresh))
    async with pool.used():
        for _ in range(3):
            async with pool.lend() as link:
                await link.fetch("SELECT 1")
            assert len(fresh.connections()) == 1
        first = fresh.connections()
        async with pool.lend():
            assert fresh.connections() == first
    assert fresh.connections() == []


async def test_a_link_that_nobody_will_use_again_is_closed(fresh: Fresh) -> None:
    pool = Pool(settings(fresh))
    async with pool.lend() as link:
        assert await link.fetch("SELECT 1") == [[1]]
    assert fresh.connections() == []


async def test_the_last_to_use_the_pool_closes_it(fresh: Fresh) -> None:
    pool = Pool(settings(fresh))
    async with pool.used():
        async with pool.used(), pool.lend():
            pass
        assert len(fresh.connections()) == 1
        await pool.close_idle()
        assert len(fresh.connections()) == 1
    assert fresh.connections() == []


async def test_a_link_on_which_anything_failed_is_not_lent_again(fresh: Fresh) -> None:
    pool = Pool(settings(fresh))
    async with pool.used():
        with pytest.raises(SourceError, match="42P01"):
            async with pool.lend() as link:
                await link.fetch("SELECT * FROM nowhere")
        assert fresh.connections() == []
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is raised within
            async with pool.lend() as link:
                await link.fetch("SELECT 1")
                raise ZeroDivisionError
        assert fresh.connections() == []
        async with pool.lend() as link:
            with pytest.raises(SourceError):
                await link.fetch("SELECT * FROM nowhere")
        async with pool.lend() as link:
            assert await link.fetch("SELECT 1") == [[1]]


async def test_a_link_whose_server_has_gone_is_not_lent_again(own_database: Database) -> None:
    fresh = own_database.create()
    pool = Pool(settings(fresh))
    async with pool.used():
        async with pool.lend() as link:
            await link.fetch("SELECT 1")
        own_database.restart()
        async with pool.lend() as link:
            assert await link.fetch("SELECT 1") == [[1]]
        own_database.kill()
        with pytest.raises(SourceError, match="no PostgreSQL listens"):
            async with pool.lend():
                pass
        own_database.start()
        async with pool.lend() as link:
            assert await link.fetch("SELECT 1") == [[1]]


async def test_a_connection_that_cannot_be_made_leaves_its_place(fresh: Fresh) -> None:
    pool = Pool(settings(fresh, connections=1, password=Secret("guessed")))
    for _ in range(3):
        with pytest.raises(SourceError, match="correct `user` and `password`"), trio.fail_after(WITHIN):
            async with pool.lend():
                pass


async def test_whoever_waits_for_a_link_gets_the_next(fresh: Fresh) -> None:
    pool = Pool(settings(fresh, connections=1))
    order: list[str] = []

    async def wait() -> None:
        async with pool.lend() as link:
            order.append("waited")
            await link.fetch("SELECT 1")

    async with pool.used(), trio.open_nursery() as nursery, pool.lend():
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.01)
        order.append("had")
    assert order == ["had", "waited"]


async def test_there_are_never_more_connections_than_allowed(fresh: Fresh) -> None:
    """The server refuses one too many, and nobody is to notice; whatever the tasks do, and however they end."""
    chance = random.Random(7)
    pool = Pool(limited(fresh, 3))
    done = 0

    async def task(statement: str, patience: float) -> None:
        nonlocal done
        with trio.move_on_after(patience):
            async with pool.lend() as link:
                if "nowhere" not in statement:
                    await link.fetch(statement)
                else:
                    with pytest.raises(SourceError, match="42P01"):
                        await link.fetch(statement)
        done += 1

    statements = ["SELECT 1", "SELECT pg_sleep(0.01)", "SELECT * FROM nowhere"]
    with trio.fail_after(WITHIN):
        async with pool.used(), trio.open_nursery() as nursery:
            for _ in range(150):
                patience = chance.choice([chance.random() * 0.3, WITHIN])
                nursery.start_soon(task, chance.choice(statements), patience)
    assert done == 150
    assert fresh.connections() == []


async def test_while_users_come_and_go_there_are_never_more_than_allowed(fresh: Fresh) -> None:
    chance = random.Random(3)
    pool = Pool(limited(fresh, 2))

    async def come_and_go() -> None:
        for _ in range(5):
            async with pool.used():
                await trio.sleep(chance.random() * 0.005)
                async with pool.lend() as link:
                    await link.fetch("SELECT 1")

    async def lend() -> None:
        for _ in range(5):
            await trio.sleep(chance.random() * 0.01)
            async with pool.lend() as link:
                await link.fetch("SELECT 1")

    with trio.fail_after(WITHIN):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(come_and_go)
                nursery.start_soon(lend)
    assert fresh.connections() == []


async def test_listening_takes_a_connection_of_those_allowed(fresh: Fresh) -> None:
    pool = Pool(limited(fresh, 2))

    async def lend() -> None:
        for _ in range(10):
            async with pool.lend() as link:
                await link.fetch("SELECT 1")

    with trio.fail_after(WITHIN):
        async with pool.used(), trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(lend)
            async with pool.listening("prices") as wake:
                await wake.wait()
                fresh.execute("NOTIFY prices")
                await wake.wait()
    assert fresh.connections() == []


def test_with_a_single_connection_nobody_can_listen() -> None:
    pool = Pool(PostgresSettings(connections=1))
    with pytest.raises(SourceError, match="set `connections` to 2 or more"):
        pool.listening("prices")


async def test_a_stop_is_not_held_up(fresh: Fresh) -> None:
    pool = Pool(settings(fresh))
    work = partial(use, pool, "SELECT pg_sleep(600)")
    with trio.fail_after(WITHIN):
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(work)
            await until(lambda: len(fresh.connections()) == 3)
            nursery.cancel_scope.cancel()
    assert fresh.connections() == []


async def use(pool: Pool, statement: str) -> None:
    async with pool.used(), pool.lend() as link:
        await link.fetch(statement)
