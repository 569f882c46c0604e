from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.alerts.windows import Window

Sample = tuple[float, float]


def window(*samples: Sample, seconds: float = 60, most: int = 1_000) -> Window:
    made = Window(seconds, most)
    for at, value in samples:
        made.add(at, value)
    return made


def measures(made: Window, seconds: float, end: float) -> tuple[float | None, ...]:
    return tuple(made.measure(what, seconds, end) for what in ("min", "max", "mean", "change"))


def test_both_ends_belong_to_it() -> None:
    made = window((0, 9), (10, 4), (40, 2), (70, 3), (71, 1))
    assert measures(made, 60, 70) == (2, 4, 3, -25.0)
    assert measures(made, 59.9, 70) == (2, 3, 2.5, -25.0)


def test_times_that_are_sums_are_at_its_ends_too() -> None:
    start = 1_766_000_000.1
    made = window(*((start + number * 0.1, number) for number in range(101)), seconds=10)
    assert made.measure("min", 10, start + 100 * 0.1) == 0
    assert made.measure("min", 9.9, start + 100 * 0.1) == 1


def test_a_change_is_against_what_held_at_its_beginning() -> None:
    made = window((0, 100), (50, 200), (100, 300))
    assert made.measure("change", 60, 100) == 200, "100 held until 50"
    assert made.measure("change", 50, 100) == 50
    assert made.measure("change", 10, 100) == 50
    assert made.measure("min", 60, 100) == 200, "what held before is none of its values"


def test_a_change_begins_with_the_first_value() -> None:
    assert window((0, 100)).measure("change", 60, 0) == 0
    assert window((0, 100), (5, 110)).measure("change", 60, 5) == 10


def test_a_negative_value_that_rises_changes_upwards() -> None:
    assert window((0, -100), (5, -90)).measure("change", 60, 5) == 10


def test_a_change_from_nothing_is_no_number() -> None:
    with pytest.raises(ZeroDivisionError):
        window((0, 0), (5, 1)).measure("change", 60, 5)


def test_nothing_is_the_measure_of_nothing() -> None:
    assert measures(window(), 60, 100) == (None,) * 4
    assert measures(window((0, 1)), 60, 100) == (None,) * 4


def test_a_value_that_comes_late_takes_its_place() -> None:
    made = window((0, 5), (30, 7))
    made.add(20, 1)
    made.add(20, 2)
    assert measures(made, 15, 30) == (1, 7, 10 / 3, 40.0)
    assert made.measure("change", 10, 30) == 250, "the last of those of one time counts"


def test_what_is_later_than_the_end_does_not_count() -> None:
    assert measures(window((0, 5), (30, 7)), 60, 10) == (5, 5, 5, 0)


def test_it_says_when_it_is_too_small() -> None:
    made = Window(60, 3)
    assert [made.add(at, at) for at in (0, 10, 20, 30)] == [True, True, True, False]
    assert made.measure("min", 60, 30) == 10
    assert made.add(200, 5), "what is too old is no loss"


samples = st.lists(
    st.tuples(st.integers(0, 400), st.integers(-50, 50).filter(bool)), min_size=1, max_size=40
).map(lambda found: [(at / 4, float(value)) for at, value in found])


def expected(taken: list[Sample], seconds: float, end: float) -> tuple[float | None, ...]:
    """The same from all that was ever seen, in the order of time and of arrival."""
    past = sorted((sample for sample in taken if sample[0] <= end), key=lambda sample: sample[0])
    values = [value for at, value in past if at >= end - seconds]
    if not values:
        return (None,) * 4
    held = [value for at, value in past if at <= end - seconds]
    then = held[-1] if held else past[0][1]
    change = 100 * (values[-1] - then) / abs(then)
    return min(values), max(values), sum(values) / len(values), change


@given(taken=samples, seconds=st.sampled_from([0.25, 1, 7.5, 20]))
def test_it_is_that_of_all_values_ever_seen(taken: list[Sample], seconds: float) -> None:
    made = Window(20, 1_000)
    for number, sample in enumerate(taken, start=1):
        made.add(*sample)
        newest = max(at for at, _ in taken[:number])
        assert measures(made, seconds, newest) == pytest.approx(expected(taken[:number], seconds, newest))


@given(taken=samples, most=st.integers(2, 8))
def test_one_that_is_too_small_is_that_of_the_newest_values(taken: list[Sample], most: int) -> None:
    taken = sorted(taken, key=lambda sample: sample[0])
    made = window(*taken, seconds=20, most=most)
    end = taken[-1][0]
    assert measures(made, 20, end) == pytest.approx(expected(taken[-most:], 20, end))
