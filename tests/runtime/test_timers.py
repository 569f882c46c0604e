"""Calls at a later time."""

# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from appliance.runtime.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable


def note(called: list[tuple[str, float]], name: str) -> Callable[[], None]:
    return lambda: called.append((name, trio.current_time()))


async def test_calls_come_when_they_are_due_in_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    timers = Timers()
    called: list[tuple[str, float]] = []
    timers.call_at(3, note(called, "third"))
    timers.call_at(1, note(called, "first"))
    await nursery.start(timers.run)
    timers.call_at(2, note(called, "second"))
    assert len(timers) == 3
    await trio.sleep(10)
    assert called == [("first", 1), ("second", 2), ("third", 3)]
    assert len(timers) == 0


async def test_a_sooner_call_wakes_it(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    timers = Timers()
    called: list[tuple[str, float]] = []
    await nursery.start(timers.run)
    timers.call_at(1000, note(called, "late"))
    await trio.sleep(1)
    timers.call_at(2, note(called, "soon"))
    await trio.sleep(2)
    assert called == [("soon", 2)]


async def test_calls_of_one_instant_keep_their_order(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    timers = Timers()
    called: list[tuple[str, float]] = []
    for name in "abcdef":
        timers.call_at(5, note(called, name))
    await nursery.start(timers.run)
    await trio.sleep(6)
    assert [name for name, _ in called] == list("abcdef")


async def test_a_call_can_ask_for_the_next(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    timers = Timers()
    called: list[float] = []

    def again() -> None:
        called.append(trio.current_time())
        timers.call_at(trio.current_time() + 10, again)

    timers.call_at(10, again)
    await nursery.start(timers.run)
    await trio.sleep(45)
    assert called == [10, 20, 30, 40]


async def test_what_is_past_is_called_at_once(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    timers = Timers()
    called: list[tuple[str, float]] = []
    mock_clock.jump(100)
    await nursery.start(timers.run)
    await wait_all_tasks_blocked()
    timers.call_at(50, note(called, "missed"))
    await wait_all_tasks_blocked()
    assert called == [("missed", 100)]


async def test_a_thousand_calls_need_one_task(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    timers = Timers()
    called: list[int] = []
    await nursery.start(timers.run)
    for number in reversed(range(1000)):
        timers.call_at(number / 10, partial(called.append, number))
    assert len(nursery.child_tasks) == 1
    await trio.sleep(200)
    assert called == list(range(1000))
