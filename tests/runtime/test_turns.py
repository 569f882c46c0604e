"""Turns of who does much at once."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import pytest
import trio
import trio.testing

from appliance.runtime.turns import SLICE, Turnstile, rounds, turn_over

CROWD = 50


async def test_a_turn_goes_on_until_its_slice_is_over() -> None:
    begun = perf_counter() + 60
    with trio.testing.assert_no_checkpoints():
        assert await turn_over(begun) == begun


async def test_then_others_run() -> None:
    ran = trio.Event()

    async def other() -> None:
        ran.set()

    begun = perf_counter() - 2 * SLICE
    async with trio.open_nursery() as nursery:  # ends at once
        nursery.start_soon(other)
        while not ran.is_set():
            assert await turn_over(begun) > begun


async def test_a_turnstile_lets_others_run_between_those_who_have_much_to_do() -> None:
    turnstile = Turnstile()
    passed: list[int] = []
    seen: list[int] = []
    done = trio.Event()

    async def labour(number: int) -> None:
        await turnstile.enter()
        passed.append(number)
        until = perf_counter() + SLICE
        while perf_counter() < until:
            pass
        if len(passed) == CROWD:
            done.set()

    async def look() -> None:
        while not done.is_set():
            seen.append(len(passed))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends when all have passed
        nursery.start_soon(look)
        for number in range(CROWD):
            nursery.start_soon(labour, number)
    assert sorted(passed) == list(range(CROWD))
    assert max(after - before for before, after in pairwise(seen)) <= 6


@pytest.mark.parametrize(("room", "needed"), [(60.0, 1), (0.0, CROWD)])
async def test_so_many_go_through_in_a_round_as_there_is_room_for(room: float, needed: int) -> None:
    turnstile, loop = Turnstile(room=room), rounds()
    passed: list[int] = []

    async def one() -> None:
        await turnstile.enter()
        passed.append(loop.count)

    async with trio.open_nursery() as nursery:  # ends when all have passed
        for _ in range(CROWD):
            nursery.start_soon(one)
    assert len(passed) == CROWD
    assert len(set(passed)) == needed


async def test_who_has_much_to_do_leaves_the_round_to_others() -> None:
    turnstile, loop = Turnstile(), rounds()
    passed: list[int] = []

    async def one() -> None:
        await turnstile.enter()
        passed.append(loop.count)
        until = perf_counter() + SLICE
        while perf_counter() < until:
            pass

    async with trio.open_nursery() as nursery:  # ends when all have passed
        for _ in range(CROWD):
            nursery.start_soon(one)
    assert len(set(passed)) == CROWD


async def test_who_gives_up_holds_up_nobody() -> None:
    turnstile = Turnstile(room=0.0)
    await turnstile.enter()
    with trio.CancelScope() as scope:
        scope.cancel()
        await turnstile.enter()
    assert scope.cancelled_caught
    with trio.fail_after(60):
        await turnstile.enter()
