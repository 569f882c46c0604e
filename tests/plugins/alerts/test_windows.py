from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.alerts.windows import Window, read_piece

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


# --- What is noted of it. ---


def again(noted: dict[int, str], seconds: float = 20, most: int = 1_000) -> Window:
    made = Window(seconds, most)
    for piece, text in sorted(noted.items()):
        made.recall(piece, read_piece(text))
    return made


def note(made: Window, noted: dict[int, str]) -> None:
    for piece, text in made.changes():
        if text is None:
            del noted[piece]
        else:
            noted[piece] = text


def test_a_value_changes_one_piece_and_what_is_too_old_is_let_go_of() -> None:
    made = window((0, 1), (1, 2), (8, 3), seconds=8)
    assert dict(made.changes()) == {0: "[0.0,1.0]", 1: "[1.0,2.0]", 8: "[8.0,3.0]"}
    made.add(8.5, 4)
    assert dict(made.changes()) == {8: "[8.0,3.0,8.5,4.0]"}
    made.add(9, 5)
    assert dict(made.changes()) == {0: None, 9: "[9.0,5.0]"}
    assert set(made.pieces) == {1, 8, 9}
    assert dict(made.changes()) == {}


def test_a_window_of_a_moment_has_pieces_too() -> None:
    assert len(dict(window((1.7e9, 1), (1.7e9 + 1, 2), seconds=1e-300).changes())) == 1


@given(
    taken=samples,
    most=st.sampled_from([2, 5, 1_000]),
    notes=st.sets(st.integers(0, 40)),
    breaks=st.sets(st.integers(0, 40)),
)
def test_it_goes_on_from_what_was_noted(
    taken: list[Sample], most: int, notes: set[int], breaks: set[int]
) -> None:
    """Each break is right after a note: what came between is another matter."""
    made, whole = Window(20, most), Window(20, most)
    noted: dict[int, str] = {}
    for number, sample in enumerate(taken):
        assert made.add(*sample) == whole.add(*sample)
        if number in notes | breaks:
            note(made, noted)
            assert set(made.pieces) == noted.keys()
        if number in breaks:
            made = again(noted, most=most)
        newest = max(at for at, _ in taken[: number + 1])
        for seconds in (0.25, 7.5, 20):
            assert measures(made, seconds, newest) == measures(whole, seconds, newest)
    assert len(noted) <= 10


# --- Where nobody watched. ---


def test_what_held_is_not_known_after_an_interruption() -> None:
    made = window((0, 100), (10, 200))
    made.interrupt()
    for at, value in ((100, 300), (110, 330)):
        made.add(at, value)
    assert made.measure("change", 60, 110) == pytest.approx(10), "since the first one that was seen again"
    assert measures(made, 60, 110) == pytest.approx((300, 330, 315, 10))
    made.add(165, 363)
    assert made.measure("change", 60, 165) == pytest.approx(21), "300 held at 105, for it was watched"


def test_what_was_known_before_an_interruption_is_known_after_it() -> None:
    made = window((0, 100), (10, 200))
    made.interrupt()
    made.add(30, 400)
    assert measures(made, 60, 30) == pytest.approx((100, 400, 700 / 3, 300))
    assert made.measure("change", 25, 30) == 300, "100 held at 5"
    assert made.measure("change", 15, 30) == 0, "nobody knows what held at 15"


def test_an_interruption_is_noted_and_ends_with_its_time() -> None:
    made = window((0, 100), (10, 200), seconds=20)
    made.interrupt()
    made.interrupt()
    noted: dict[int, str] = {}
    note(made, noted)
    assert "".join(noted.values()).count("null") == 1
    for each in (made, again(noted)):
        each.add(25, 300)
        assert measures(each, 20, 25) == (200, 300, 250, 200)
        for at, value in itertools.product((40, 60), (5.0,)):
            each.add(at, value)
        assert measures(each, 20, 60) == (5, 5, 5, 0)


def test_of_nothing_nothing_is_interrupted() -> None:
    made = window()
    made.interrupt()
    assert measures(made, 60, 100) == (None,) * 4
    made.add(100, 5)
    assert measures(made, 60, 100) == (5, 5, 5, 0)


@pytest.mark.parametrize("text", ["[1.0]", "[null,1.0]", "{}", "", "[1.0,true]"])
def test_what_is_no_piece_is_refused(text: str) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        read_piece(text)


def test_a_piece_may_hold_what_is_no_number() -> None:
    [(at, value)] = read_piece("[1.5,null]")
    assert (at, math.isnan(value)) == (1.5, True)
