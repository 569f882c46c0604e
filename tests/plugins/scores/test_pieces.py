from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from plugins.scores.pieces import Schedule, Series

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen
class Item:
    due: float


def note(noted: dict[int, Any], changes: Iterable[tuple[int, Any]]) -> set[int]:
    """Keep what changed; give which pieces that were."""
    changed = dict(changes)
    noted |= changed
    for number in [number for number, items in changed.items() if items is None]:
        del noted[number]
    return set(changed)


def series(*items: int) -> Series[int]:
    made: Series[int] = Series()
    for item in items:
        made.append(item)
    return made


def test_a_series_changes_in_its_last_piece() -> None:
    made = series(*range(70))
    noted: dict[int, Any] = {}
    assert note(noted, made.changes()) == {0, 1, 2}
    assert [len(items) for items in noted.values()] == [6, 32, 32]
    made.append(70)
    assert note(noted, made.changes()) == {2}
    assert note(noted, made.changes()) == set()
    assert set(made.pieces) == {0, 1, 2}


def test_a_series_lets_go_of_whole_pieces() -> None:
    made = series(*range(70))
    noted: dict[int, Any] = {}
    note(noted, made.changes())
    made.drop(31)
    assert note(noted, made.changes()) == set(), "what is within a piece comes back with it"
    made.drop(2)
    assert set(made.pieces) == {0, 1, 2}, "one that is to be let go of may still be noted"
    assert note(noted, made.changes()) == {0}
    made.drop(37)
    made.append(99)
    assert note(noted, made.changes()) == {1, 2, 3}
    assert noted == {3: [99]}


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans(), st.booleans()), max_size=12
    ),
    most=st.sampled_from([1, 5, 40, 1_000]),
)
def test_a_series_goes_on_from_its_pieces(steps: list[tuple[int, int, bool, bool]], most: int) -> None:
    """As far as what is let go of twice does no harm: it is so long, and ends where it ended."""
    made: Series[int] = Series()
    whole: list[int] = []
    noted: dict[int, Any] = {}
    for appended, dropped, notes, breaks in steps:
        for _ in range(appended):
            whole.append(whole[-1] + 1 if whole else 0)
            made.append(whole[-1])
            made.drop(max(0, len(made.items) - most))
        made.drop(dropped)
        left = made.items
        assert left == whole[len(whole) - len(left) :]
        if notes or breaks:
            note(noted, made.changes())
            assert set(made.pieces) == noted.keys()
        if breaks:
            made = Series()
            made.recall(noted)
            assert made.items[len(made.items) - len(left) :] == left
            assert len(made.items) - len(left) < 32
            made.drop(len(made.items) - len(left))
    assert len(noted) <= 2 + len(whole) // 32 + len(steps)


def schedule(*dues: float) -> Schedule[Item]:
    made: Schedule[Item] = Schedule()
    for due in dues:
        assert made.add(Item(due))
    return made


def test_the_first_of_a_moment_counts() -> None:
    made = schedule(30, 10, 20)
    assert not made.add(Item(20))
    assert [item.due for item in made.items] == [10, 20, 30]


def test_a_schedule_is_noted_by_stretches_of_time() -> None:
    made = schedule(1, 14, 16, 31)
    noted: dict[int, Any] = {}
    assert note(noted, made.changes()) == {0, 1, 2}
    made.add(Item(15))
    assert note(noted, made.changes()) == {1}
    assert [item.due for item in noted[1]] == [15, 16]
    assert [item.due for item in made.take(15)] == [1, 14]
    assert note(noted, made.changes()) == {0}
    assert [item.due for item in made.take(16)] == [15]
    assert note(noted, made.changes()) == set(), "until nothing in it is due"
    assert made.pop().due == 31
    assert note(noted, made.changes()) == {2}
    assert set(made.pieces) == {1}


@given(
    steps=st.lists(
        st.tuples(st.lists(st.integers(0, 90), max_size=8), st.integers(0, 15), st.booleans(), st.booleans()),
        max_size=12,
    ),
    most=st.sampled_from([1, 4, 100]),
)
def test_a_schedule_goes_on_from_its_pieces(
    steps: list[tuple[list[int], int, bool, bool]], most: int
) -> None:
    made: Schedule[Item] = Schedule()
    noted: dict[int, Any] = {}
    now = 0
    for ahead, pause, notes, breaks in steps:
        for seconds in ahead:
            made.add(Item(now + seconds))
            if len(made.items) > most:
                made.pop()
        now += pause
        made.take(now)
        if notes or breaks:
            note(noted, made.changes())
            assert set(made.pieces) == noted.keys() == {int(item.due // 15) for item in made.items}
        if breaks:
            left = made.items
            made = Schedule()
            made.recall(noted, now)
            assert made.items == left
