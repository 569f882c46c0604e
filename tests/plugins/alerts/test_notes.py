from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.alerts.notes import WATCHED, Before, Known, key_name, recall, window_name
from plugins.alerts.rules import RuleSettings

RULE = RuleSettings(name="high", pattern="price:*", when='max("price", 60) > 100', message="{key}")
PLACE = ("price", "BTC/€:1")
KNOWN: dict[str, Any] = {"at": 5.0, "raised": True, "data": {"price": 101}, "before": {"at": 4.0, "data": {}}}
WINDOW = window_name("high", PLACE, "price", 3)


def noted(**changes: Any) -> dict[str, Any]:
    """What was noted of the rule and one key of it, as the store gives it back."""
    state = {**recall({}, [RULE]).changes, key_name("high", PLACE): KNOWN, WINDOW: "[1.0,5.0]", WATCHED: 7.5}
    return json.loads(json.dumps(state | changes))  # type: ignore[no-any-return]


def test_what_was_noted_is_known() -> None:
    memory = recall(noted(), [RULE])
    assert memory.rules["high"].known == {
        PLACE: Known(at=5.0, raised=True, data={"price": 101}, before=Before(4.0, {}))
    }
    assert memory.rules["high"].windows == {(PLACE, "price"): {3: [(1.0, 5.0)]}}
    assert (memory.watched, memory.changes, memory.forgotten) == (7.5, {}, [])


def test_at_first_a_rule_knows_nothing_and_notes_what_it_means() -> None:
    memory = recall({}, [RULE])
    assert (memory.rules["high"].known, memory.watched, memory.forgotten) == ({}, None, [])
    assert recall(noted(), [RULE]).changes == {}
    assert list(memory.changes.values()) == [[1, "price:*", 'max("price", 60) > 100', None, {}]]


def test_a_rule_that_means_something_else_knows_nothing() -> None:
    other = attrs.evolve(RULE, when='max("price", 60) > 99')
    memory = recall(noted(), [other])
    assert (memory.rules["high"].known, memory.forgotten) == ({}, ["high"])
    gone = {name for name, value in memory.changes.items() if value is None}
    assert gone == {key_name("high", PLACE), WINDOW}
    state = noted(**memory.changes)
    assert recall({name: value for name, value in state.items() if value is not None}, [other]).changes == {}


def test_a_rule_that_is_gone_leaves_nothing() -> None:
    memory = recall(noted(), [])
    assert (memory.rules, memory.forgotten) == ({}, ["high"])
    assert memory.changes == dict.fromkeys(noted().keys() - {WATCHED})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (key_name("high", PLACE), {"at": "soon"}),
        (key_name("high", PLACE), 5),
        (WINDOW, "[1.0]"),
        (WINDOW, "[null,1.0]"),
        (WINDOW, "no JSON"),
        (WINDOW, [1.0, 5.0]),
        ('["key","high","price"]', KNOWN),
        ('["rule","high","more"]', 1),
    ],
)
def test_what_cannot_be_read_is_let_go_of_with_its_rule(name: str, value: Any) -> None:
    other = attrs.evolve(RULE, name="other")
    state = noted(**{name: value}) | recall({}, [other]).changes
    memory = recall(state, [RULE, other])
    assert (memory.rules["high"].known, memory.rules["high"].windows) == ({}, {})
    assert memory.forgotten == ["high"]
    meaning = recall({}, [RULE]).changes
    assert memory.changes == {**dict.fromkeys(key for key in state if '"high"' in key), **meaning}


def test_what_is_no_rules_is_let_go_of() -> None:
    state = noted(where=["2026", "5"], **{"[5]": 1, '["key",5]': 2})
    assert recall(state, [RULE]).changes == {"where": None, "[5]": None, '["key",5]': None}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["high", "low"]), st.tuples(st.text(), st.text()), st.text(), st.integers()
        ),
        unique=True,
    )
)
def test_no_two_names_are_the_same(parts: list[tuple[str, tuple[str, str], str, int]]) -> None:
    assert len({window_name(*each) for each in parts}) == len(parts)
