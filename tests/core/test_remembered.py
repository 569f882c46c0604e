from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.remembered import Remembered


def weigh(value: float, _now: float) -> float:
    return value


def test_what_is_kept_is_found_until_it_is_forgotten() -> None:
    table: Remembered[str, float] = Remembered(3, weigh)
    table.keep("a", 1, 0)
    table.keep("a", 2, 0)
    assert (table.find("a"), table.find("b"), len(table)) == (2, None, 1)
    table.forget("a")
    table.forget("a")
    assert (table.find("a"), len(table)) == (None, 0)


def test_who_does_not_matter_is_given_up_first() -> None:
    table: Remembered[str, float] = Remembered(3, weigh)
    for name, weight in (("worst", 9.0), ("quiet", 0.0), ("bad", 5.0)):
        table.keep(name, weight, 0)
    table.keep("new", 1, 0)
    assert [table.find(name) for name in ("worst", "quiet", "bad", "new")] == [9, None, 5, 1]


def test_of_those_who_matter_it_is_who_matters_least() -> None:
    table: Remembered[str, float] = Remembered(3, weigh)
    for name, weight in (("worst", 9.0), ("bad", 5.0), ("worse", 7.0)):
        table.keep(name, weight, 0)
    table.keep("new", 1, 0)
    assert table.find("bad") is None


def test_who_comes_from_many_places_does_not_make_it_forget_who_is_watched() -> None:
    table: Remembered[str, float] = Remembered(100, weigh)
    for number in range(6):
        table.keep(f"watched {number}", 9, 0)
    for number in range(10_000):
        table.keep(f"place {number}", 1, 0)
    assert [table.find(f"watched {number}") for number in range(6)] == [9] * 6
    assert len(table) == 100


def test_what_matters_changes_with_time() -> None:
    table: Remembered[str, float] = Remembered(2, lambda until, now: max(0.0, until - now))
    table.keep("soon over", 10, 0)
    table.keep("long", 1_000, 0)
    table.keep("new", 30, 20)
    assert (table.find("soon over"), table.find("long")) == (None, 1_000)


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=200))
def test_it_never_holds_more_and_always_the_newest(most: int, kept: list[tuple[int, int]]) -> None:
    table: Remembered[int, float] = Remembered(most, weigh)
    for key, weight in kept:
        table.keep(key, weight, 0)
        assert table.find(key) == weight
        assert len(table) <= most
