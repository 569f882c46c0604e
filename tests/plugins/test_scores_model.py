"""The scores against a slow model, which looks through all rows for each prediction."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.scores.settings import HORIZONS
from tests.plugins.scoring import board, prediction, price, told

if TYPE_CHECKING:
    from appliance.api import Event

TOLERANCE = 30.0
AGE = 700.0
WINDOW = 8
RECENT = 2


class Made(NamedTuple):
    """A prediction that counts, and the place of its row among those of its symbol."""

    place: int
    version: str
    horizon: str
    due: float
    current: float
    predicted: float
    confidence: float | None


class Came(NamedTuple):
    due: float
    predicted: float
    current: float
    confidence: float | None
    came: float | None


PAUSES = st.sampled_from([-40, -5, 0, 0, 1, 5, 10, 20, 29, 30, 31, 60])
SYMBOLS = st.sampled_from(["A", "A", "B"])
VALUES = st.integers(98, 102)
FORETOLD = st.none() | VALUES
CONFIDENCES = st.none() | st.sampled_from([0, 0.25, 0.5, 0.55, 1])
VERSIONS = st.sampled_from(["v1", "v2"])


@st.composite
def tapes(draw: st.DrawFn) -> list[Event]:
    """Rows that come somewhat out of order, some of them twice, over up to half an hour."""
    rows: list[Event] = []
    at = 0.0
    for _ in range(draw(st.integers(0, 60))):
        at = max(0.0, at + draw(PAUSES))
        symbol, value = draw(SYMBOLS), draw(VALUES)
        if draw(st.booleans()):
            rows.append(price(at, value, symbol))
        else:
            data: dict[str, Any] = {}
            for name in HORIZONS:
                data[f"predicted_{name}"] = draw(FORETOLD)
                data[f"confidence_{name}"] = draw(CONFIDENCES)
            rows.append(prediction(at, value, symbol, model_version=draw(VERSIONS), **data))
        if draw(st.integers(0, 9)) == 0:
            rows.append(draw(st.sampled_from(rows)))
    return rows


def limit(rows: list[Event], before: int, upto: int) -> float:
    """What was due before that is settled: by the prices before one place, and the time of rows until another."""
    prices = [row.at for row in rows[:before] if row.channel == "price"]
    return max([max(row.at for row in rows[:upto]) - TOLERANCE, *prices])


def made(rows: list[Event]) -> list[Made]:
    """The predictions of a symbol that count."""
    found: list[Made] = []
    for place, row in enumerate(rows):
        if row.channel == "price":
            continue
        for name, seconds in HORIZONS.items():
            due, predicted = row.at + seconds, row.data[f"predicted_{name}"]
            known = {(each.version, each.horizon, each.due) for each in found}
            version = row.data["model_version"]
            if predicted is None or (version, name, due) in known or due < limit(rows, place, place + 1):
                continue
            confidence = row.data[f"confidence_{name}"]
            found.append(Made(place, version, name, due, row.data["current_price"], predicted, confidence))
    return found


def settled(rows: list[Event], each: Made) -> Came | None:
    for place in range(each.place + 1, len(rows)):
        if each.due < limit(rows, place + 1, place + 1):
            prices = [
                (row.at, number, row.data["price"])
                for number, row in enumerate(rows[:place])
                if row.channel == "price" and row.at <= each.due
            ]
            at, _, came = max(prices, default=(0.0, 0, None))
            near = came if each.due - at <= TOLERANCE else None
            return Came(each.due, each.predicted, each.current, each.confidence, near)
    return None


def direction(change: float) -> int:
    return (change > 0) - (change < 0)


def hit(each: Came) -> bool:
    assert each.came is not None
    return direction(each.predicted - each.current) == direction(each.came - each.current)


def percent(each: Came) -> float:
    assert each.came is not None
    return abs(each.predicted - each.came) / each.came * 100


def mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def stretch(outcomes: list[Came]) -> dict[str, Any] | None:
    if not outcomes:
        return None
    return {
        "n": len(outcomes),
        "hit_rate": mean([hit(each) for each in outcomes]),
        "mape": mean([percent(each) for each in outcomes]),
    }


def calibration(outcomes: list[Came]) -> dict[str, Any] | None:
    told = [(each.confidence, hit(each)) for each in outcomes if each.confidence is not None]
    if not told:
        return None
    sorts = {
        least: [pair for pair in told if least <= pair[0] < least + 0.1 or (least == 0.9 and pair[0] == 1)]
        for least in (0, 0.2, 0.5, 0.9)
    }
    bins = [
        {
            "least": least,
            "n": len(sort),
            "confidence": mean([confidence for confidence, _ in sort]),
            "hit_rate": mean([was for _, was in sort]),
        }
        for least, sort in sorts.items()
        if sort
    ]
    return {
        "n": len(told),
        "brier": mean([(confidence - was) ** 2 for confidence, was in told]),
        "error": sum(each["n"] * abs(each["confidence"] - each["hit_rate"]) for each in bins) / len(told),  # type: ignore[operator]
        "bins": bins,
    }


def accuracy(came: list[Came], horizon: str, now: float) -> dict[str, Any]:
    scored = sorted(each for each in came if each.came is not None)
    window = [each for each in scored[-WINDOW:] if each.due >= now - AGE]
    missed = sorted(each.due for each in came if each.came is None)[-WINDOW:]
    apart: list[Came] = []
    for each in scored:
        if not apart or each.due - apart[-1].due >= HORIZONS[horizon]:
            apart.append(each)
    apart = apart[-RECENT * 6 :] if window else []
    errors = [each.predicted - each.came for each in window if each.came is not None]
    figures = {
        "n": len(window),
        "unscored": len([due for due in missed if due >= now - AGE]),
        "hits": sum(hit(each) for each in window),
        "hit_rate": mean([hit(each) for each in window]),
        "mae": mean([abs(error) for error in errors]),
        "mape": mean([percent(each) for each in window]),
        "bias": mean(errors),
        "calibration": calibration(window),
        "recent": stretch(apart[-RECENT:]),
        "baseline": stretch(apart[:-RECENT]),
        "last": text(window[-1].due) if window else None,
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def text(at: float) -> str:
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def slow(symbol: str, rows: list[Event]) -> list[dict[str, Any]]:
    """The scores of a symbol, by its rows from its first prediction on."""
    rows = [row for row in rows if row.key == symbol and (row.channel == "price" or foretells(row))]
    rows = list(itertools.dropwhile(lambda row: row.channel == "price", rows))
    found = made(rows)
    now = max((row.at for row in rows), default=0.0)
    versions = sorted({each.version for each in found}, key=lambda version: last_place(found, version))
    return [
        {
            "symbol": symbol,
            "model_version": version,
            "current": version == versions[-1],
            "horizons": {
                name: accuracy(
                    [
                        came
                        for each in found
                        if (each.version, each.horizon) == (version, name)
                        and (came := settled(rows, each)) is not None
                    ],
                    name,
                    now,
                )
                for name in HORIZONS
            },
            "timestamp": text(now),
        }
        for version in versions
    ]


def foretells(row: Event) -> bool:
    return any(row.data[f"predicted_{name}"] is not None for name in HORIZONS)


def last_place(found: list[Made], version: str) -> int:
    return max(each.place for each in found if each.version == version)


def near(value: Any) -> Any:
    """Equal to what is the same but for the last digits of numbers."""
    if isinstance(value, dict):
        return {name: near(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [near(inner) for inner in value]
    return pytest.approx(value, rel=1e-5, abs=1e-9) if isinstance(value, int | float) else value


@settings(max_examples=200, deadline=None)
@given(tapes())
def test_it_tells_what_a_slow_model_tells(rows: list[Event]) -> None:
    asked = board(tolerance=TOLERANCE, window_age=AGE, window=WINDOW, recent=RECENT)
    found = {(score["symbol"], score["model_version"]): score for score in told(asked, rows)}
    expected = {
        (score["symbol"], score["model_version"]): score for symbol in "AB" for score in slow(symbol, rows)
    }
    assert found == near(expected)
