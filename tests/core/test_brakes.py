from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.brakes import FIRST, FORGOTTEN, Brake


def fail(brake: Brake, now: float, who: str = "ann") -> float:
    return brake.fail(who, free=2, longest=60, now=now)


def test_the_first_ones_cost_nothing() -> None:
    brake = Brake()
    assert [fail(brake, 0) for _ in range(3)] == [0, 0, 0]
    assert fail(brake, 0) == FIRST
    assert fail(brake, 0, "bob") == 0


def test_each_wait_is_twice_as_long_up_to_the_longest() -> None:
    brake, now = Brake(), 0.0
    waits = []
    for _ in range(2):
        fail(brake, now)
    for _ in range(9):
        assert fail(brake, now) == 0
        waits.append(fail(brake, now))
        now += waits[-1]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_who_waits_as_told_is_heard() -> None:
    """What comes too early does not make it longer: else nobody would ever be told the truth."""
    brake = Brake()
    for _ in range(3):
        fail(brake, 0)
    assert [fail(brake, 0.5) for _ in range(100)] == [0.5] * 100
    assert fail(brake, FIRST) == 0


def test_it_is_forgotten_in_time() -> None:
    brake = Brake()
    for _ in range(3):
        fail(brake, 0)
    later = FIRST + 3 * FORGOTTEN
    assert [fail(brake, later) for _ in range(3)] == [0, 0, 0]
    assert fail(brake, later) == FIRST


def test_a_longest_wait_that_is_made_shorter_holds_at_once() -> None:
    brake, now = Brake(), 0.0
    for _ in range(11):
        now += fail(brake, now)
    assert fail(brake, now) > 5
    assert brake.fail("ann", free=2, longest=5, now=now) == 5


def test_it_remembers_no_more_than_so_many_and_the_worst_of_them() -> None:
    brake = Brake(50)
    for _ in range(5):
        fail(brake, 0, "worst")
    for number in range(1_000):
        fail(brake, 0, f"guesser {number}")
    assert len(brake) == 50
    assert fail(brake, 0, "worst") > 0


@given(st.lists(st.floats(0, 200), max_size=100), st.integers(1, 5))
def test_no_more_are_heard_than_are_free_and_the_waits_allow(steps: list[float], free: int) -> None:
    brake, heard = Brake(), 0
    now = 0.0
    for now in itertools.accumulate(steps):
        wait = brake.fail("ann", free=free, longest=60, now=now)
        assert 0 <= wait <= 60
        heard += not wait
    assert heard <= free + 1 + now / FIRST
