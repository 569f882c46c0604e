# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.sources.tapes import spool
from appliance.sources.tapes.spool import Spool

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


async def test_lines_come_by_days_and_stay_until_they_are_written(autojump_clock: MockClock) -> None:
    waiting = Spool(5)
    for day, line in (("1", b"a"), ("1", b"b"), ("2", b"c"), ("1", b"d")):
        await waiting.put(line, day)
    assert waiting.first() == waiting.first() == ("1", [b"a", b"b"])
    waiting.written([b"a", b"b"])
    assert waiting.first() == ("2", [b"c"])
    waiting.written([b"c"])
    assert waiting.first() == ("1", [b"d"])
    assert len(waiting) == 1


async def test_it_is_time_when_the_time_is_up(autojump_clock: MockClock) -> None:
    waiting = Spool(5)
    await waiting.put(b"a")
    await waiting.due()
    assert trio.current_time() == 5


async def test_many_lines_are_due_before(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    monkeypatch.setattr(spool, "MANY", 10)
    waiting = Spool(5)
    await waiting.put(b"x" * 10)
    await waiting.due()
    assert trio.current_time() == 0
    await waiting.due()  # each time anew
    assert trio.current_time() == 5


async def test_who_puts_too_much_waits_for_room(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(spool, "MOST", 10)
    waiting = Spool(5)
    with trio.move_on_after(60) as patience:
        await waiting.put(b"x" * 10)
    assert patience.cancelled_caught
    async with trio.open_nursery() as nursery:  # ends when there is room
        nursery.start_soon(waiting.put, b"y")
        await trio.sleep(60)
        _, lines = waiting.first()
        assert lines == [b"x" * 10, b"y"]
        waiting.written(lines)
    assert len(waiting) == 0
