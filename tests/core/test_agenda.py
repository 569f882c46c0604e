"""Who is due when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core.agenda import Agenda


def due(agenda: Agenda[str], now: float) -> list[str]:
    return sorted(agenda.due(now))


def test_who_is_due_is_given_once_and_not_before() -> None:
    agenda: Agenda[str] = Agenda()
    for who, when in (("ann", 10.0), ("bob", 10.4), ("carl", 1e9)):
        agenda.put(who, when)
    assert due(agenda, 9.9) == []
    assert due(agenda, 10.9) == ["ann"]
    assert due(agenda, 11.0) == ["bob"]
    assert due(agenda, 1e6) == []
    assert len(agenda) == 1
    assert due(agenda, 2e9) == ["carl"]


def test_who_is_dropped_or_put_elsewhere_is_not_due() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("ann", 5.0)
    agenda.put("bob", 5.0)
    agenda.drop("ann")
    agenda.drop("nobody")
    agenda.put("bob", 7.0)
    assert due(agenda, 6.0) == []
    assert due(agenda, 7.0) == ["bob"]
    assert len(agenda) == 0


def test_who_comes_while_others_are_given_is_given_too() -> None:
    agenda: Agenda[str] = Agenda()
    agenda.put("ann", 5.0)
    agenda.put("bob", 5.0)
    given_out = []
    for who in agenda.due(5.0):
        given_out.append(who)
        if who == "ann":
            agenda.drop("bob")
            agenda.put("carl", 4.0)
    assert given_out == ["ann"]
    assert due(agenda, 5.0) == ["carl"]


def test_a_clock_that_is_set_back_loses_nobody() -> None:
    agenda: Agenda[str] = Agenda()
    assert due(agenda, 1000.0) == []
    agenda.put("ann", 10.0)
    assert due(agenda, 5.0) == []
    agenda.put("bob", 7.0)
    assert due(agenda, 8.0) == ["bob"]
    assert due(agenda, 2000.0) == ["ann"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["put", "drop", "look"]), st.integers(0, 9), st.floats(0, 100)), max_size=60
    )
)
def test_whatever_happens_each_is_given_when_due(steps: list[tuple[str, int, float]]) -> None:
    agenda: Agenda[int] = Agenda()
    expected: dict[int, float] = {}
    for do, who, when in steps:
        match do:
            case "put":
                agenda.put(who, when)
                expected[who] = when
            case "drop":
                agenda.drop(who)
                expected.pop(who, None)
            case _:
                found = set(agenda.due(when))
                assert found == {each for each, at in expected.items() if -(-at // 1) <= when // 1}
                expected = {each: at for each, at in expected.items() if each not in found}
    assert len(agenda) == len(expected)
