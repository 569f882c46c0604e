"""Waits before the next try: they double, vary, have a most, and begin anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.backoff import Backoff

chances = st.floats(0, 1)


def test_waits_double_up_to_the_most() -> None:
    backoff = Backoff(0.5, 3)
    assert [backoff.next(0) for _ in range(5)] == [0.5, 1, 2, 3, 3]


def test_chance_cuts_up_to_a_half() -> None:
    assert Backoff(4, 30).next(1) == 2
    assert Backoff(4, 30).next(0.5) == 3


def test_a_reset_begins_anew() -> None:
    backoff = Backoff(1, 30)
    for _ in range(4):
        backoff.next(0)
    assert backoff.failures == 4
    backoff.reset()
    assert backoff.next(0) == 1


@given(st.floats(0.001, 10), st.floats(0.001, 1000), st.lists(chances, min_size=1, max_size=100))
def test_no_wait_is_over_the_most_nor_under_half_of_the_first(
    first: float, most: float, drawn: list[float]
) -> None:
    backoff = Backoff(first, most)
    for chance in drawn:
        assert min(first, most) / 2 <= backoff.next(chance) <= most


def test_it_goes_on_for_ever() -> None:
    backoff = Backoff(1, 60)
    assert {backoff.next(0) for _ in range(5000)} == {1, 2, 4, 8, 16, 32, 60}
