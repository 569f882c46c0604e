"""Producers that fail, return or are cancelled."""

# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING

import pytest
import structlog
import trio
from structlog.testing import capture_logs

from appliance.core.errors import SourceError
from appliance.runtime.status import Health
from appliance.runtime.supervisor import Producer, supervise

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from trio.testing import MockClock

    Logs = list[MutableMapping[str, object]]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as caught:
        yield caught


async def begin(
    nursery: trio.Nursery, produce: Callable[[], Awaitable[None]], *, calm: float = 60.0
) -> Health:
    producer = Producer("price", produce, Health(), structlog.get_logger())
    await nursery.start(partial(supervise, first=1.0, most=8.0, calm=calm), producer)
    return producer.health


async def test_a_producer_that_runs_is_healthy(
    autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs
) -> None:
    health = await begin(nursery, trio.sleep_forever)
    await trio.sleep(1000)
    assert health.healthy
    assert health.started_at is not None
    assert (health.errors, health.recovery_attempts, health.last_error) == (0, 0, None)
    assert logs == []


async def test_a_producer_that_fails_is_started_again(
    autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs
) -> None:
    runs = 0

    async def produce() -> None:
        nonlocal runs
        runs += 1
        if runs <= 2:
            await trio.sleep(1)
            raise OSError("the exchange is away")
        await trio.sleep_forever()

    health = await begin(nursery, produce)
    await trio.sleep(1.2)
    healthy = [health.healthy]
    assert health.last_error == "OSError: the exchange is away"
    await trio.sleep(100)
    healthy.append(health.healthy)  # it runs, but nobody knows yet whether it can publish
    health.updated(2.0, 1.0)
    healthy.append(health.healthy)
    assert healthy == [False, False, True]
    assert (health.errors, health.recovery_attempts) == (2, 2)
    assert [entry["event"] for entry in logs] == ["producer failed", "producer restarts"] * 2
    assert logs[0]["error"] == "OSError: the exchange is away"
    assert logs[0]["exc_info"]
    assert [entry["attempt"] for entry in logs if "attempt" in entry] == [1, 2]


async def test_an_error_that_says_what_to_do_needs_no_traceback(
    autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs
) -> None:
    async def produce() -> None:
        raise SourceError("there is no table `prices`: create it")

    health = await begin(nursery, produce)
    await trio.sleep(0.1)
    assert health.last_error == "there is no table `prices`: create it"
    assert logs[0] == {"event": "producer failed", "error": health.last_error, "log_level": "error"} | {
        name: value for name, value in logs[0].items() if name == "channel"
    }


async def test_a_producer_that_returns_is_started_again(
    autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs
) -> None:
    health = await begin(nursery, trio.lowlevel.checkpoint)
    await trio.sleep(5)
    assert health.errors >= 2
    assert health.last_error == "the producer returned"
    assert logs[0]["event"] == "producer returned"


async def test_each_restart_comes_later(autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs) -> None:
    started: list[float] = []

    async def produce() -> None:
        started.append(trio.current_time())
        raise ValueError

    await begin(nursery, produce)
    await trio.sleep(100)
    waits = [later - earlier for earlier, later in itertools.pairwise(started)]
    for wait, longest in zip(waits, [1, 2, 4, 8, 8, 8, 8], strict=False):
        assert longest / 2 <= wait <= longest
    assert len(waits) >= 7


async def test_a_calm_run_begins_anew(autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs) -> None:
    async def produce() -> None:
        await trio.sleep(61)
        raise ValueError

    await begin(nursery, produce, calm=60)
    await trio.sleep(500)
    assert {entry["attempt"] for entry in logs if "attempt" in entry} == {1}


async def raises_a_group() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises_deeper)


async def raises_deeper() -> None:
    async with trio.open_nursery():
        raise KeyError("BTC")


async def leaves_the_house() -> None:
    raise SystemExit(3)


def is_no_coroutine() -> Awaitable[None]:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("produce", "error"),
    [
        (raises_a_group, "KeyError: 'BTC'"),
        (leaves_the_house, "SystemExit: 3"),
        (is_no_coroutine, "TypeError: "),
    ],
)
async def test_whatever_it_raises_is_contained(
    autojump_clock: MockClock,
    nursery: trio.Nursery,
    logs: Logs,
    produce: Callable[[], Awaitable[None]],
    error: str,
) -> None:
    health = await begin(nursery, produce)
    await trio.sleep(0.1)
    assert health.errors == 1
    assert (health.last_error or "").startswith(error)


async def test_a_failure_hurts_no_other(autojump_clock: MockClock, nursery: trio.Nursery, logs: Logs) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await trio.sleep(1)
            beats += 1

    healthy = await begin(nursery, beat)
    await begin(nursery, leaves_the_house)
    await trio.sleep(50.5)
    assert beats == 50
    assert healthy.healthy


async def test_a_cancel_is_no_failure(autojump_clock: MockClock, logs: Logs) -> None:
    async with trio.open_nursery() as nursery:
        health = await begin(nursery, trio.sleep_forever)
        nursery.cancel_scope.cancel()
    assert (health.errors, logs) == (0, [])


async def test_a_cancel_passes_what_fails_beside_it(autojump_clock: MockClock, logs: Logs) -> None:
    async def produce() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails_at_the_end)
            await trio.sleep_forever()

    async def fails_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError

    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            await begin(nursery, produce)
    assert trio.current_time() == 10


async def test_an_interrupt_passes(logs: Logs) -> None:
    async def produce() -> None:
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await begin(nursery, produce)
    assert caught.group_contains(KeyboardInterrupt)
