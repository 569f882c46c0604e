from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.scores.figures import Outcome
from plugins.scores.notes import Standing, book_name, piece_name, recall
from plugins.scores.settings import ScoresSettings

SETTINGS = ScoresSettings()
PIECE = piece_name("scored", "BTC/€", "v:1", "5min", 3)


def noted(**changes: Any) -> dict[str, Any]:
    """What was noted of a symbol, as the store gives it back."""
    standing = Standing(turn=7, versions=["v:1"], price=5.0)
    state = {
        **recall({}, SETTINGS)[1],
        book_name("BTC/€"): standing.as_value(),
        PIECE: "[[1.0,2.0,3.0,true,null]]",
    }
    return json.loads(json.dumps(state | changes))  # type: ignore[no-any-return]


def test_what_was_noted_is_known() -> None:
    recalled, changes, problem = recall(noted(), SETTINGS)
    assert (changes, problem) == ({}, None)
    assert recalled["BTC/€"].standing == Standing(turn=7, versions=["v:1"], price=5.0)
    outcome = Outcome(1.0, 2.0, 3.0, hit=True, confidence=None)
    assert recalled["BTC/€"].pieces == {("v:1", "5min"): {"scored": {3: [outcome]}}}


def test_at_first_nothing_is_known_and_nothing_is_wrong() -> None:
    assert recall({}, SETTINGS) == ({}, {"format": [1, "predictions", "price"]}, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": [2, "predictions", "price"]},
        {"format": [1, "predictions", "fx"]},
        {"format": None},
        {PIECE: "[[1.0]]"},
        {PIECE: [[1.0, 2.0, 3.0, True, None]]},
        {piece_name("scored", "BTC", "v1", "7min", 3): "[]"},
        {piece_name("else", "BTC", "v1", "5min", 3): "[]"},
        {book_name("BTC"): {"turn": "first"}},
        {"where": ["2026", "5"]},
        {"[5,5]": 1},
    ],
    ids=str,
)
def test_what_cannot_be_read_is_let_go_of(changes: dict[str, Any]) -> None:
    state = noted(**changes)
    recalled, note, problem = recall(state, SETTINGS)
    assert recalled == {}
    assert problem
    assert note == {**dict.fromkeys(state), "format": [1, "predictions", "price"]}


def test_other_settings_let_go_of_nothing() -> None:
    assert recall(noted(), ScoresSettings(window=5, tolerance=5, recent=5, open=1))[2] is None


@given(
    st.lists(st.tuples(st.text(), st.text(), st.sampled_from(["1min", "5min"]), st.integers()), unique=True)
)
def test_no_two_names_are_the_same(parts: list[tuple[str, str, str, int]]) -> None:
    assert len({piece_name("open", *each) for each in parts}) == len(parts)
