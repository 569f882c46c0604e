"""When the watchdog is fed, and when it goes hungry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from structlog.testing import capture_logs

from appliance.ops import watchdog

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_it_is_fed_three_times_as_often_as_it_must_be(autojump_clock: MockClock) -> None:
    del autojump_clock
    meals: list[float] = []
    begun = trio.current_time()
    with trio.move_on_after(65):
        await watchdog.keep(30.0, lambda: meals.append(trio.current_time() - begun), tuple)
    assert [round(meal, 6) for meal in meals] == [0, 10, 20, 30, 40, 50, 60]


async def test_it_goes_hungry_while_something_is_stuck_which_is_told_once(autojump_clock: MockClock) -> None:
    del autojump_clock
    meals: list[float] = []
    begun = trio.current_time()

    def stuck() -> tuple[str, ...]:
        return (
            ("tcp://127.0.0.1:1: who comes is not let in",) if 15 < trio.current_time() - begun < 45 else ()
        )

    with capture_logs() as log, trio.move_on_after(65):
        await watchdog.keep(30.0, lambda: meals.append(trio.current_time() - begun), stuck)
    assert [round(meal, 6) for meal in meals] == [0, 10, 50, 60]
    assert [(entry["event"], entry["log_level"]) for entry in log] == [
        ("the watchdog is not fed any more", "error"),
        ("the watchdog is fed again", "warning"),
    ]
    assert log[0]["stuck"] == ["tcp://127.0.0.1:1: who comes is not let in"]
