"""Garbage that is looked for seldom, and found nevertheless."""

from __future__ import annotations

import gc
import weakref

import attrs
import pytest
import trio
import trio.testing

from appliance.ops import garbage
from appliance.ops.garbage import Sweeper


@attrs.define
class House:
    """Something to sweep: a sweep takes a millisecond for each thing in it, and leaves what is `used`."""

    things: int = 1_000
    used: int = 1_000
    now: float = 0.0
    sweeps: list[float] = attrs.field(factory=list)

    def sweep(self) -> None:
        self.now += self.things / 1_000
        self.things = self.used
        self.sweeps.append(self.now)

    def sweeper(self) -> Sweeper:
        return Sweeper(now=lambda: self.now, held=lambda: self.things, sweep=self.sweep)

    def pass_time(self, sweeper: Sweeper, seconds: int, *, gathering: int) -> None:
        for _ in range(seconds):
            self.now += 1
            self.things += gathering
            sweeper.look()


@pytest.fixture
def house() -> House:
    return House()


def test_where_little_gathers_nothing_is_swept(house: House) -> None:
    sweeper = house.sweeper()
    house.pass_time(sweeper, 10_000, gathering=0)
    house.things += 240
    house.pass_time(sweeper, 10_000, gathering=0)
    assert len(house.sweeps) == 1  # the first, which shows how long it takes


def test_what_has_gathered_is_swept_when_that_is_due(house: House) -> None:
    sweeper = house.sweeper()
    house.things += 500
    house.pass_time(sweeper, 140, gathering=0)
    assert len(house.sweeps) == 1
    house.pass_time(sweeper, 20, gathering=0)
    assert len(house.sweeps) == 2
    assert house.things == 1_000


@pytest.mark.parametrize("gathering", [1, 2, 4])
def test_sweeping_takes_a_small_share_of_the_time(house: House, gathering: int) -> None:
    sweeper = house.sweeper()
    began, seconds = house.now, 100_000
    house.pass_time(sweeper, seconds, gathering=gathering)
    assert len(house.sweeps) > 100
    assert 0 < house.now - began - seconds < 0.011 * seconds


def test_where_more_gathers_than_that_can_sweep_memory_is_worth_more(house: House) -> None:
    sweeper, most = house.sweeper(), 0
    for _ in range(1_000):
        house.pass_time(sweeper, 1, gathering=100)
        most = max(most, house.things)
    assert 3_000 < most <= 4_000


@pytest.fixture
def thresholds() -> object:
    return gc.get_threshold()


async def test_python_leaves_the_rest_to_it_as_long_as_it_runs(
    thresholds: object, autojump_clock: trio.testing.MockClock
) -> None:
    class Circle:
        def __init__(self) -> None:
            self.itself = self

    house = House()
    sweeper = Sweeper(now=trio.current_time, held=lambda: house.things, sweep=gc.collect)
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(sweeper.run)
        await trio.testing.wait_all_tasks_blocked()
        assert gc.get_threshold()[2] > 1_000_000
        circle = Circle()
        seen = weakref.ref(circle)
        gc.collect(1)  # it is old by now
        del circle
        house.things = 2_000
        await trio.sleep(2 * garbage.LOOK_EVERY)
        assert seen() is None
        nursery.cancel_scope.cancel()
    assert gc.get_threshold() == thresholds
    assert autojump_clock.current_time() > 0
