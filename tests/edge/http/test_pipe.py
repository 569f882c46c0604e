from __future__ import annotations

import pytest
import trio
import trio.testing

from appliance.edge.http.pipe import Pipe

MOST = 1_000


async def test_what_is_pushed_is_fetched_in_order() -> None:
    pipe = Pipe(most=MOST)
    seen = [(pipe.waiting, pipe.sent)]
    assert pipe.push(b"one ")
    assert pipe.push(b"two")
    seen.append((pipe.waiting, pipe.sent))
    assert await pipe.fetch() == b"one two"
    seen.append((pipe.waiting, pipe.sent))
    assert seen == [(False, 0), (True, 0), (False, 7)]


async def test_a_fetch_waits_for_a_push_and_loses_nothing_when_cancelled(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert autojump_clock.rate == 0
    pipe = Pipe(most=MOST)
    with trio.move_on_after(1) as scope:
        await pipe.fetch()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:  # ends with the push

        async def fetch() -> None:
            assert await pipe.fetch() == b"at last"

        nursery.start_soon(fetch)
        await trio.testing.wait_all_tasks_blocked()
        pipe.push(b"at last")


async def test_a_full_pipe_says_so_until_it_is_fetched() -> None:
    pipe = Pipe(most=MOST)
    half = b"x" * (MOST // 2)
    assert [pipe.push(half), pipe.push(half), pipe.push(b"")] == [True, False, False]
    assert len(await pipe.fetch()) == 2 * len(half)
    assert pipe.push(b"room again")


async def test_a_pipe_is_drained_when_all_is_fetched() -> None:
    pipe = Pipe(most=MOST)
    await pipe.drained()
    pipe.push(b"x")
    with trio.move_on_after(0) as scope:
        await pipe.drained()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:  # ends with the fetch
        nursery.start_soon(pipe.drained)
        await trio.testing.wait_all_tasks_blocked()
        assert await pipe.fetch() == b"x"


@pytest.mark.parametrize("times", [1, 5])
async def test_a_pipe_can_be_used_again(times: int) -> None:
    pipe = Pipe(most=MOST)
    for number in range(times):
        pipe.push(b"%d" % number)
        assert await pipe.fetch() == b"%d" % number
        await pipe.drained()
