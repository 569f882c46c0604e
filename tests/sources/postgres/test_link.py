"""A connection as tasks use it: calls that wait in threads, and end at once when they are cancelled."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio

from appliance.core.errors import SourceError
from appliance.settings.fields import Secret
from appliance.sources.postgres.link import Link
from appliance.sources.postgres.settings import PostgresSettings
from tests.postgres import HOST
from tests.sources.postgres.patience import until

if TYPE_CHECKING:
    from tests.postgres import Database, Fresh

WITHIN = 20.0


def linked(fresh: Fresh, **changes: Any) -> Link:
    said = {
        "host": HOST,
        "port": fresh.server.port,
        "database": fresh.name,
        "password": Secret(fresh.server.password),
    }
    return Link(PostgresSettings(**{**said, **changes}), threads=trio.CapacityLimiter(2))


async def until_running(fresh: Fresh, sql: str) -> None:
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND query = $2 AND state = 'active'"
    await until(lambda: fresh.server.execute(asked, fresh.name, sql) == [[1]])


async def test_statements_are_run_with_their_values(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    assert await link.fetch("SELECT $1::text::int + 1, $2::text", "41", None) == [[42, None]]
    assert await link.fetch("SELECT 1") == [[1]]
    assert link.version == int(fresh.execute("SHOW server_version_num")[0][0])
    await link.close()
    assert fresh.connections() == []


async def test_other_tasks_go_on_while_one_waits(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    steps = 0
    async with trio.open_nursery() as nursery:

        async def count() -> None:
            nonlocal steps
            while True:
                await trio.sleep(0.01)
                steps += 1

        nursery.start_soon(count)
        await link.fetch("SELECT pg_sleep(0.2)")
        nursery.cancel_scope.cancel()
    assert steps > 2
    await link.close()


async def test_before_it_is_opened_and_after_it_is_closed_nothing_can_be_asked(fresh: Fresh) -> None:
    link = linked(fresh)
    assert (link.usable, link.alive) == (False, False)
    for ask in (link.fetch("SELECT 1"), link.heard(), link.wait_readable()):
        with pytest.raises(SourceError, match="is lost"):
            await ask
    await link.close()
    await link.open()
    assert (link.usable, link.alive) == (True, True)
    await link.close()
    assert (link.usable, link.alive) == (False, False)


async def test_a_failure_closes_it(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    with pytest.raises(SourceError, match="division by zero"):
        await link.fetch("SELECT 1/0")
    assert not link.usable
    assert fresh.connections() == []
    await link.close()


async def test_a_cancelled_statement_ends_at_once_in_the_server_too(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    statement = "SELECT pg_sleep(600)"
    with trio.fail_after(WITHIN):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.fetch, statement)
            await until_running(fresh, statement)
            nursery.cancel_scope.cancel()
    assert fresh.connections() == []
    assert not link.usable
    await link.close()


async def test_a_connection_that_is_cancelled_while_it_is_made_ends_at_once(fresh: Fresh) -> None:
    with socket.create_server((HOST, 0)) as silent:
        link = linked(fresh, port=silent.getsockname()[1], connect_timeout=600.0)
        with trio.fail_after(WITHIN):
            with trio.move_on_after(0.05) as scope:
                await link.open()
            assert scope.cancelled_caught
            await link.close()


async def test_no_thread_is_left_of_what_is_cancelled(fresh: Fresh) -> None:
    threads = trio.CapacityLimiter(2)
    said = PostgresSettings(socket=str(fresh.server.socket), port=fresh.server.port, database=fresh.name)
    for _ in range(10):
        link = Link(said, threads=threads)
        await link.open()
        with trio.move_on_after(0.01):
            await link.fetch("SELECT pg_sleep(600)")
        await link.close()
        await until(lambda: threads.borrowed_tokens == 0)


async def test_cancelled_before_a_thread_was_free_it_is_closed_too(fresh: Fresh) -> None:
    threads = trio.CapacityLimiter(1)
    said = PostgresSettings(socket=str(fresh.server.socket), port=fresh.server.port, database=fresh.name)
    link = Link(said, threads=threads)
    await link.open()
    async with threads:
        with trio.move_on_after(0.01) as scope:
            await link.fetch("SELECT 1")
        assert scope.cancelled_caught
    assert not link.usable
    await link.close()
    await until(lambda: fresh.connections() == [])


async def test_closing_is_done_even_when_cancelled(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    with trio.CancelScope() as scope:
        scope.cancel()
        await link.close()
    assert fresh.connections() == []


async def test_a_database_that_no_longer_answers_holds_nobody_up(own_database: Database) -> None:
    link = linked(own_database.create())
    await link.open()
    own_database.freeze()
    with trio.fail_after(WITHIN):
        with trio.move_on_after(0.05) as scope:
            await link.fetch("SELECT 1")
        assert scope.cancelled_caught
        await link.close()
    own_database.thaw()


async def test_whoever_lost_its_server_is_not_alive(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    fresh.terminate()
    assert (link.usable, link.alive) == (True, False)
    await link.close()


async def test_a_notice_makes_it_readable(fresh: Fresh) -> None:
    link = linked(fresh)
    await link.open()
    await link.fetch("LISTEN prices")
    assert await link.heard() == set()
    fresh.execute("NOTIFY prices")
    with trio.fail_after(WITHIN):
        await link.wait_readable()
    assert await link.heard() == {"prices"}
    fresh.terminate()
    with trio.fail_after(WITHIN):
        await link.wait_readable()
    with pytest.raises(SourceError, match="administrator command"):
        await link.heard()
    await link.close()
