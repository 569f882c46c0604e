"""A board that ends after any row, and another that goes on with what was noted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.kept import change
from plugins.scores.board import Scoreboard, model_key
from plugins.scores.notes import recall
from plugins.scores.settings import HORIZONS, ScoresSettings
from tests.plugins.scoring import NOW, prediction, price, told

if TYPE_CHECKING:
    from appliance.api import Event


class Kept:
    """A board, and what was noted of it."""

    def __init__(self, **asked: Any) -> None:
        self.settings = ScoresSettings(**asked)
        self.board = Scoreboard(self.settings)
        self.state: dict[str, Any] = dict(recall({}, self.settings)[1])

    def note(self, most: int = 1_000) -> None:
        change(self.state, self.board.changes(self.board.changed(most)))

    def tell(self) -> list[dict[str, Any]]:
        """Tell, and note that of each symbol it is told."""
        found = []
        for book in self.board.books():
            scores = list(book.scores())
            found += [(score.symbol, score.model_version, score.horizons, score.current) for score in scores]
            if scores:
                change(self.state, self.board.changes([book.symbol]))
        return [
            {"of": (symbol, version), "is": (horizons, current)}
            for symbol, version, horizons, current in found
        ]

    def crash(self, **asked: Any) -> None:
        self.settings = ScoresSettings(**asked) if asked else self.settings
        recalled, changes, problem = recall(json.loads(json.dumps(self.state)), self.settings)
        assert problem is None
        change(self.state, changes)
        self.board = Scoreboard(self.settings)
        self.board.recall(recalled)

    def take(self, *rows: Event) -> None:
        for row in rows:
            self.board.take(row, NOW)


def test_open_predictions_wait_over_a_break() -> None:
    kept = Kept()
    kept.take(prediction(0, 100, predicted_1min=102), price(20, 100))
    kept.note()
    kept.crash()
    kept.take(price(59, 101), price(61, 500))
    [score] = told(kept.board)
    assert score["horizons"]["1min"]["bias"] == 1


def test_a_prediction_that_comes_again_is_not_scored_again() -> None:
    kept = Kept()
    rows = [prediction(0, 100, predicted_1min=102, predicted_5min=102), price(60, 101), price(61, 500)]
    kept.take(*rows)
    kept.note()
    kept.crash()
    kept.take(rows[0], rows[0], *rows)
    [score] = told(kept.board)
    assert (score["horizons"]["1min"]["n"], score["horizons"]["1min"]["bias"]) == (1, 1)
    kept.take(price(299, 100), price(301, 100))
    assert told(kept.board)[0]["horizons"]["5min"]["n"] == 1


def test_what_was_told_is_not_told_again_and_what_was_not_is() -> None:
    kept = Kept()
    kept.take(prediction(0, 100, predicted_1min=102))
    assert len(kept.tell()) == 1
    kept.crash()
    assert kept.tell() == []
    kept.take(price(59, 101), price(61, 500))
    kept.note()
    kept.crash()
    assert len(kept.tell()) == 1


def test_the_price_before_a_break_counts_as_long_as_it_is_not_too_old() -> None:
    kept = Kept()
    kept.take(*(prediction(at, 100, predicted_1min=102) for at in (0, 30)), price(55, 101))
    kept.note()
    kept.crash()
    kept.take(price(95, 500))
    [score] = told(kept.board)
    figures = score["horizons"]["1min"]
    assert (figures["n"], figures["bias"], figures["unscored"]) == (1, 1, 1), "that for 60, not that for 90"


@pytest.mark.parametrize(
    ("asked", "left"),
    [({"symbols": 2}, "BC"), ({"symbols": 1}, "C"), ({"window": 7, "tolerance": 9}, "ABC")],
    ids=str,
)
def test_other_settings_go_on_with_what_fits_them(asked: dict[str, Any], left: str) -> None:
    kept = Kept()
    kept.take(*(prediction(at, 100, symbol, predicted_1min=102) for at, symbol in enumerate("ACBC")))
    kept.note()
    kept.crash(**asked)
    kept.note()
    assert {json.loads(name)[1] for name in kept.state if name != "format"} == {*left}
    kept.take(*(price(at, 100, symbol) for symbol in "ABC" for at in (59, 70)))
    assert {score["symbol"] for score in told(kept.board)} == {*left}


def test_fewer_models_go_on_with_the_last() -> None:
    kept = Kept()
    kept.take(*(prediction(at, 5, predicted_1min=10, model_version=f"v{at}") for at in range(3)))
    kept.note()
    kept.crash(models=1)
    kept.note()
    assert {score["model_version"] for score in told(kept.board)} == {"v2"}
    kept.take(price(1, 5))
    kept.note()
    assert not any('"v1"' in name for name in kept.state)


def test_symbols_are_noted_so_many_at_a_time_the_longest_waiting_first() -> None:
    kept = Kept()
    kept.take(*(prediction(at, 100, symbol, predicted_1min=102) for at, symbol in enumerate("ABAC")))
    assert kept.board.changed(2) == ["A", "B"]
    kept.note(2)
    assert kept.board.changed(2) == ["C"]
    kept.note(2)
    assert kept.board.changes(kept.board.changed(2)) == {}


def test_what_is_noted_is_small_whatever_is_known() -> None:
    kept = Kept()
    for at in range(1_500):
        told_of: dict[str, Any] = {f"predicted_{name}": 101 + at / 7 for name in HORIZONS}
        kept.take(prediction(at, 100 + at / 7, **told_of), price(at, 100 + at / 7))
        kept.note()
    kept.take(prediction(1_500, 100, predicted_1min=102, predicted_5min=102, predicted_15min=102))
    changes = kept.board.changes(["BTC"])
    assert len(changes) <= 10
    assert len(json.dumps(changes)) < 8_000
    assert len(kept.state) < 3 * (64 + 3 * 34) + 2


def test_of_what_is_forgotten_nothing_is_left() -> None:
    kept = Kept(symbols=2, models=2, window=40, window_age=400)
    for at in range(0, 3_000, 5):
        symbol, version = f"S{at // 300}", f"v{at // 50}"
        kept.take(
            prediction(at, 100, symbol, predicted_1min=102, model_version=version), price(at, 100, symbol)
        )
        if at % 3 == 0:
            kept.note()
        if at % 100 == 0:
            kept.tell()
    kept.note()
    assert {json.loads(name)[1] for name in kept.state if name != "format"} == {"S8", "S9"}
    assert {json.loads(name)[2] for name in kept.state if '"S9",' in name} == {"v58", "v59"}


def test_a_version_is_part_of_a_key() -> None:
    assert model_key("BTC", "my model") == "BTC:my%20model"


PAUSES = st.sampled_from([-40, -5, 0, 1, 5, 10, 20, 29, 30, 31, 60, 200])
SYMBOLS = st.sampled_from(["A", "A", "B", "C"])
VALUES = st.integers(98, 102)
VERSIONS = st.sampled_from(["v1", "v2", "v3"])
FORETOLD = st.none() | VALUES
NEXT = st.sampled_from(["", "", "note", "crash", "tell"])


@st.composite
def tapes(draw: st.DrawFn) -> list[tuple[Event, str]]:
    """Rows, and what happens after each: nothing, a note, a crash right after one, or a score that is told."""
    rows: list[tuple[Event, str]] = []
    at = 0.0
    for _ in range(draw(st.integers(0, 60))):
        at = max(0.0, at + draw(PAUSES))
        symbol, value = draw(SYMBOLS), draw(VALUES)
        if draw(st.booleans()):
            row = price(at, value, symbol)
        else:
            data: dict[str, Any] = {f"predicted_{name}": draw(FORETOLD) for name in HORIZONS}
            row = prediction(at, value, symbol, model_version=draw(VERSIONS), **data)
        rows.append((row, draw(NEXT)))
    return rows


@settings(max_examples=300, deadline=None)
@given(
    tape=tapes(),
    asked=st.fixed_dictionaries(
        {
            "window": st.sampled_from([3, 8, 1_000]),
            "window_age": st.sampled_from([200.0, 700.0]),
            "recent": st.sampled_from([1, 2]),
            "open": st.sampled_from([2, 1_000]),
            "symbols": st.sampled_from([2, 1_000]),
            "models": st.sampled_from([1, 2, 1_000]),
        }
    ),
)
def test_breaks_change_nothing(tape: list[tuple[Event, str]], asked: dict[str, Any]) -> None:
    whole, broken = Kept(**asked), Kept(**asked)
    for row, then in tape:
        whole.take(row)
        broken.take(row)
        if then == "tell":
            assert broken.tell() == whole.tell()
        if then in {"note", "crash"}:
            broken.note()
        if then == "crash":
            broken.crash()
    assert broken.tell() == whole.tell()
