"""Notices that wake: at once, over one connection for all, again after a failure, and nothing left of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs

from appliance.core.errors import SourceError
from appliance.sources.postgres.pool import Pool
from appliance.sources.postgres.settings import PostgresSettings
from tests.sources.postgres.patience import until

if TYPE_CHECKING:
    from appliance.sources.postgres.wakes import Wake
    from tests.postgres import Database, Fresh

WITHIN = 30.0


def pooled(fresh: Fresh, **changes: Any) -> Pool:
    said = {"socket": str(fresh.server.socket), "port": fresh.server.port, "database": fresh.name}
    return Pool(PostgresSettings(**{**said, **changes}))


async def woken(*wakes: Wake) -> None:
    with trio.fail_after(WITHIN):
        for wake in wakes:
            await wake.wait()


async def still(wake: Wake) -> bool:
    """Whether nothing rings, once all that was told has been read."""
    with trio.move_on_after(0.2):
        await wake.wait()
        return False
    return True


async def test_a_notice_wakes_and_so_does_the_beginning(fresh: Fresh) -> None:
    async with pooled(fresh).listening("prices") as wake:
        await woken(wake)
        assert await still(wake)
        for _ in range(3):
            fresh.execute("NOTIFY prices")
            await woken(wake)
        fresh.execute("NOTIFY others")
        assert await still(wake)
    assert fresh.connections() == []


async def test_notices_that_came_meanwhile_wake_once(fresh: Fresh) -> None:
    async with pooled(fresh).listening("prices") as wake:
        await woken(wake)
        for _ in range(20):
            fresh.execute("NOTIFY prices")
        await trio.sleep(0.1)
        await woken(wake)
        assert await still(wake)


async def test_a_cancelled_wait_forgets_no_notice(fresh: Fresh) -> None:
    async with pooled(fresh).listening("prices") as wake:
        await woken(wake)
        assert await still(wake)
        fresh.execute("NOTIFY prices")
        with trio.CancelScope() as scope:
            scope.cancel()
            await wake.wait()
        await woken(wake)


@pytest.mark.parametrize("name", ["prices", "Prices", 'a"b', "Größe", "two words", "x" * 63])
async def test_any_name_is_listened_to(fresh: Fresh, name: str) -> None:
    async with pooled(fresh).listening(name) as wake:
        await woken(wake)
        fresh.execute("SELECT pg_notify($1, $2)", name, "€")
        await woken(wake)


async def test_all_share_one_connection(fresh: Fresh) -> None:
    pool = pooled(fresh)
    async with pool.listening("a") as a, pool.listening("b") as b, pool.listening("a") as again:
        await woken(a, b, again)
        assert len(fresh.connections()) == 1
        fresh.execute("NOTIFY a")
        await woken(a, again)
        assert await still(b)
    assert fresh.connections() == []


async def test_when_one_leaves_another_goes_on_with_the_same_connection(fresh: Fresh) -> None:
    pool = pooled(fresh)
    leave, left = trio.Event(), trio.Event()

    async def listen_first(task_status: trio.TaskStatus[None]) -> None:
        async with pool.listening("a") as a:
            await woken(a)
            task_status.started()
            await leave.wait()
        left.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(listen_first)
        async with pool.listening("b") as b:
            await woken(b)
            assert await still(b)
            kept = fresh.connections()
            leave.set()
            await left.wait()
            fresh.execute("NOTIFY b")
            await woken(b)
            assert await still(b)
            assert fresh.connections() == kept
    assert len(kept) == 1
    assert fresh.connections() == []


async def test_what_nobody_listens_to_any_more_is_given_up(fresh: Fresh) -> None:
    fresh.execute(f"ALTER DATABASE {fresh.name} SET log_statement = 'all'")
    pool = pooled(fresh)
    async with pool.listening("stays") as stays:
        async with pool.listening("goes") as goes:
            await woken(stays, goes)
            assert await still(goes)
        await until(lambda: 'UNLISTEN "goes"' in fresh.server.log())
        fresh.execute("NOTIFY stays")
        await woken(stays)
    assert 'UNLISTEN "stays"' not in fresh.server.log()


async def test_a_lost_connection_is_made_anew_and_wakes(fresh: Fresh) -> None:
    with capture_logs() as log:
        async with pooled(fresh).listening("prices") as wake:
            await woken(wake)
            assert await still(wake)  # it reads, and so is told why it is ended
            fresh.terminate()
            await woken(wake)
            fresh.execute("NOTIFY prices")
            await woken(wake)
    assert [(line["log_level"], line["event"]) for line in log] == [
        ("warning", "no notices come"),
        ("info", "notices come again"),
    ]
    assert "administrator command" in log[0]["error"]


async def test_a_database_that_is_away_is_told_of_once_and_waited_for(own_database: Database) -> None:
    fresh = own_database.create()
    with capture_logs() as log:
        async with pooled(fresh).listening("prices") as wake:
            await woken(wake)
            own_database.kill()
            await until(lambda: any("no PostgreSQL listens" in line.get("error", "") for line in log))
            told = len(log)
            await trio.sleep(1.5)  # a second attempt at least
            assert len(log) == told
            own_database.start()
            await woken(wake)
            fresh.execute("NOTIFY prices")
            await woken(wake)
    assert log[-1]["event"] == "notices come again"


async def test_what_the_block_raises_comes_out_as_it_is(fresh: Fresh) -> None:
    pool = pooled(fresh)
    with pytest.raises(SourceError, match="the table is gone"):  # noqa: PT012 - it is raised within
        async with pool.listening("prices") as wake:
            await woken(wake)
            raise SourceError("the table is gone")
    assert fresh.connections() == []


async def test_cancelled_it_leaves_no_connection(fresh: Fresh) -> None:
    pool = pooled(fresh)
    for delay in (0.0, 0.002, 0.005, 0.01, 0.02, 0.05):
        with trio.move_on_after(delay):
            async with pool.listening("prices") as wake:
                await wake.wait()
                await trio.sleep_forever()
        assert fresh.connections() == []


async def test_listeners_come_and_go_and_no_notice_is_forgotten(fresh: Fresh) -> None:
    """Whoever is rung for the beginning is rung for every notice thereafter, whichever listener reads for all."""
    chance = random.Random(11)
    pool = pooled(fresh, connections=2)
    heard = 0
    with fresh.session() as writer:

        async def listen(name: str) -> None:
            nonlocal heard
            for _ in range(4):
                async with pool.listening(name) as wake:
                    await woken(wake)
                    for _ in range(chance.randrange(4)):
                        writer.execute(f"NOTIFY {name}")
                        await woken(wake)
                        heard += 1
                    if chance.random() < 0.3:
                        await trio.sleep(chance.random() * 0.02)

        async def disturb() -> None:
            while True:
                await trio.sleep(0.3)
                fresh.terminate()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb)
            async with trio.open_nursery() as listeners:
                for number in range(12):
                    listeners.start_soon(listen, f"name_{number % 5}")
            nursery.cancel_scope.cancel()
    assert heard
    assert fresh.connections() == []
