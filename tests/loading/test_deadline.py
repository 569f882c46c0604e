from __future__ import annotations

import threading
import time
from functools import partial
from typing import NoReturn

import pytest
import trio

from appliance.loading.deadline import TooLongError, call


def endless() -> None:
    while True:
        pass


def fails() -> NoReturn:
    raise KeyError("no luck")


def interrupted() -> NoReturn:
    raise KeyboardInterrupt


def until(end: float) -> bool:
    while time.monotonic() < end:
        pass
    return True


async def no_threads() -> None:
    """Wait until all threads have ended."""
    with trio.fail_after(10):
        while threads():  # noqa: ASYNC110 - threads tell nobody that they end
            await trio.sleep(0.01)


def threads() -> int:
    return sum(thread.name == "plugin" for thread in threading.enumerate())


async def test_what_the_work_gives_is_given() -> None:
    assert await call(lambda: threading.current_thread() is threading.main_thread(), seconds=10) is False


async def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(KeyError, match="no luck"):
        await call(fails, seconds=10)
    with pytest.raises(SystemExit):
        await call(lambda: (_ for _ in ()).throw(SystemExit(3)), seconds=10)


async def test_an_endless_loop_is_ended_while_others_go_on() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.sleep(0.01)
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        with pytest.raises(TooLongError) as caught:
            await call(endless, seconds=0.2)
        nursery.cancel_scope.cancel()
    assert caught.value.ended
    assert turns > 3
    await no_threads()


async def test_what_cannot_be_interrupted_is_given_up() -> None:
    go = threading.Event()
    with pytest.raises(TooLongError) as caught:
        await call(lambda: go.wait(60), seconds=0.05)
    assert not caught.value.ended
    go.set()
    await no_threads()


async def test_it_can_be_cancelled() -> None:
    go = threading.Event()
    with trio.move_on_after(0.05) as scope:
        await call(lambda: go.wait(60), seconds=60)
    assert scope.cancelled_caught
    go.set()
    await no_threads()


async def test_nothing_goes_on_behind_a_call_that_was_cancelled() -> None:
    """A loop that nobody waits for would take half of the interpreter from all that goes on."""
    for seconds in (0.0, 0.001, 0.05):
        with trio.move_on_after(seconds) as scope:
            await call(endless, seconds=60)
        assert scope.cancelled_caught
        await no_threads()


async def test_work_that_ends_just_in_time_is_never_harmed() -> None:
    """The interruption must not reach beyond the work, whenever it comes."""
    ends = []
    for _ in range(30):
        try:
            ends.append(await call(partial(until, time.monotonic() + 0.02), seconds=0.02))
        except TooLongError as error:
            ends.append(error.ended)
    assert set(ends) <= {True}
    await no_threads()


async def test_ctrl_c_in_the_work_is_its_own_trouble() -> None:
    with pytest.raises(RuntimeError, match=r"raised KeyboardInterrupt\(\)"):
        await call(interrupted, seconds=10)
