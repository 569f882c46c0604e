from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.api import Event, Mode
from appliance.core.errors import SettingsError
from appliance.settings.structure import fill
from appliance.testing import record
from plugins.scores.notes import book_name
from plugins.scores.settings import HORIZONS, ScoresSettings
from tests.plugins.breaks import Run
from tests.plugins.built_in import channel, events
from tests.plugins.scoring import NOW, SCORES, START, board, minute, prediction, price, told

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trio.testing import MockClock

    from tests.plugins.breaks import Broken

NOTHING = {"n": 0, "unscored": 0, "hits": 0}

TAPE = [
    prediction(0, 100, predicted_1min=102, confidence_1min=0.8),
    price(0, 100),
    prediction(10, 101, predicted_1min=100, confidence_1min=0.6),
    prediction(20, 100, predicted_1min=101),
    price(20, 100),
    prediction(30, 104, predicted_1min=104, confidence_1min=0.95),
    price(60, 103),
    price(65, 100),
    price(85, 99),
    price(91, 120),
]
"""What came true, and what that makes:

made  foretold      true at  by the price of  error      of it in %  direction
0     100 to 102    60       60: 103          -1         1 of 103    up, up: hit
10    101 to 100    70       65: 100           0         0           down, down: hit
20    100 to 101    80       65: 100          +1         1 of 100    up, none: miss
30    104 to 104    90       85: 99           +5         5 of 99     none, down: miss
"""


def test_it_publishes_the_state_of_each_model() -> None:
    scores = channel("scores")
    assert (scores.mode, scores.message, scores.open) == (Mode.STATE, "score_update", True)


def test_figures_computed_by_hand() -> None:
    assert told(board(), TAPE) == [
        {
            "symbol": "BTC",
            "model_version": "v1",
            "current": True,
            "horizons": {
                "1min": {
                    "n": 4,
                    "unscored": 0,
                    "hits": 2,
                    "hit_rate": 0.5,  # 2 of 4
                    "mae": 1.75,  # (1 + 0 + 1 + 5) / 4
                    "mape": 1.75534,  # (100/103 + 0 + 1 + 500/99) / 4
                    "bias": 1.25,  # (-1 + 0 + 1 + 5) / 4
                    "calibration": {
                        "n": 3,
                        "brier": 0.3675,  # (0.2² + 0.4² + 0.95²) / 3
                        "error": 0.516667,  # (0.2 + 0.4 + 0.95) / 3
                        "bins": [
                            {"least": 0.6, "n": 1, "confidence": 0.6, "hit_rate": 1},
                            {"least": 0.8, "n": 1, "confidence": 0.8, "hit_rate": 1},
                            {"least": 0.9, "n": 1, "confidence": 0.95, "hit_rate": 0},
                        ],
                    },
                    "recent": {"n": 1, "hit_rate": 1, "mape": 0.970874},  # 100/103
                    "last": "2025-12-17T19:34:50.000Z",  # 90 s after the start
                },
                "5min": NOTHING,
                "15min": NOTHING,
            },
            "timestamp": "2025-12-17T19:34:51.000Z",
        }
    ]


def test_each_horizon_is_scored_for_itself() -> None:
    rows = [prediction(0, 100, predicted_1min=101, predicted_5min=99, predicted_15min=100)]
    rows += [price(at, 100 + at / 100) for at in range(0, 902, 10)]
    [score] = told(board(), [*rows, price(901, 200)])
    figures = {
        name: (each["n"], each["hits"], each["bias"], each["last"])
        for name, each in score["horizons"].items()
    }
    assert figures == {
        "1min": (1, 1, 0.4, "2025-12-17T19:34:20.000Z"),  # 101 - 100.6
        "5min": (1, 0, -4, "2025-12-17T19:38:20.000Z"),  # 99 - 103
        "15min": (1, 0, -9, "2025-12-17T19:48:20.000Z"),  # 100 - 109
    }


@pytest.mark.parametrize(
    ("predicted", "came", "hits"),
    [(101, 101, 1), (101, 99, 0), (99, 98, 1), (99, 101, 0), (100, 100, 1), (101, 100, 0), (100, 101, 0)],
)
def test_no_change_is_a_direction_of_its_own(predicted: float, came: float, hits: int) -> None:
    assert (
        minute([prediction(0, 100, predicted_1min=predicted), price(60, came), price(61, 1)])["hits"] == hits
    )


@pytest.mark.parametrize(
    ("prices", "came"),
    [
        ([price(59, 7), price(61, 9)], 7),
        ([price(60, 7), price(61, 9)], 7),
        ([price(59, 7), price(60, 8), price(60.001, 9)], 8),
        ([price(60, 7), price(60, 8), price(61, 9)], 8),
        ([price(30, 7), price(61, 9)], 7),
        ([price(59, 7), price(58, 8), price(61, 9)], 7),
        ([price(59, 7), price(61, 9), price(60, 8)], 7),
    ],
    ids=["before", "at", "nearest", "last of two at once", "old", "older comes later", "comes too late"],
)
def test_what_came_true_is_the_last_price_until_then(prices: list[Event], came: float) -> None:
    assert minute([prediction(0, 5, predicted_1min=10), *prices])["bias"] == 10 - came


@pytest.mark.parametrize(
    "prices",
    [[price(61, 9)], [price(29.999, 7), price(61, 9)], [price(0, 7), price(60.5, "7"), price(500, 9)]],
    ids=["none before", "too old", "long silence"],
)
def test_a_horizon_without_a_price_near_it_is_counted_and_not_guessed(prices: list[Event]) -> None:
    assert minute([prediction(0, 5, predicted_1min=10), *prices]) == {**NOTHING, "unscored": 1}


def test_a_price_before_the_first_prediction_is_not_known() -> None:
    assert minute([price(55, 7), prediction(10, 5, predicted_1min=10), price(71, 9)])["unscored"] == 1


def test_nothing_is_known_before_a_later_price_or_the_tolerance() -> None:
    asked = board()
    [score] = told(asked, [prediction(0, 5, predicted_1min=10), price(60, 9)])
    assert score["horizons"]["1min"] == NOTHING
    assert told(asked, [prediction(90, 5, predicted_5min=10)]) == []
    [score] = told(asked, [prediction(90.001, 5, predicted_5min=10)])
    assert score["horizons"]["1min"]["bias"] == 1


def test_the_silence_of_one_symbol_does_not_end_the_wait_of_another() -> None:
    asked = board()
    told(
        asked, [prediction(0, 5, predicted_1min=10), price(59, 9), prediction(0, 5, "ETH", predicted_1min=7)]
    )
    [score] = told(asked, [price(500, 8, "ETH")])
    assert (score["symbol"], score["horizons"]["1min"]["unscored"]) == ("ETH", 1)
    [score] = told(asked, [price(60, 8), price(61, 7)])
    assert score["horizons"]["1min"]["bias"] == 2


def test_the_first_of_predictions_for_one_moment_counts() -> None:
    rows = [prediction(0, 5, predicted_1min=10), prediction(0, 5, predicted_1min=9), price(60, 9)]
    assert minute([*rows, price(61, 9), rows[0]])["bias"] == 1


def test_a_prediction_that_comes_after_its_horizon_is_none() -> None:
    late = prediction(1, 5, predicted_1min=9, predicted_5min=8)
    [score] = told(board(), [prediction(0, 5, predicted_1min=10), price(60, 9), price(62, 9), late])
    assert score["horizons"]["1min"]["n"] == 1
    assert (
        told(board(), [prediction(200, 5, predicted_1min=10), prediction(0, 5, predicted_1min=9)])[0][
            "horizons"
        ]["1min"]
        == NOTHING
    )


def test_a_prediction_may_come_until_its_horizon_is_known() -> None:
    rows = [prediction(1, 5, predicted_1min=10), price(60, 8), prediction(0, 5, predicted_1min=10)]
    assert minute([*rows, price(60.5, 9)])["bias"] == 2


def test_predictions_may_come_out_of_order() -> None:
    rows = [prediction(at, 5, predicted_1min=10 + at) for at in (0, 30, 10, 20)]
    assert minute([*rows, *(price(at, at) for at in range(55, 92, 5))])["n"] == 3
    assert (
        minute([*rows, *(price(at, 50) for at in range(55, 92, 4))])["bias"] == -25
    )  # 10, 20, 30, 40 less 50


@pytest.mark.parametrize(
    "data",
    [
        {"predicted_price": 10, "confidence": 0.5},
        {"predicted_1min": None, "confidence_1min": 0.5},
        *(
            {"predicted_1min": value}
            for value in ("10", True, math.nan, math.inf, -1, 0, 1e13, 10**400, [10])
        ),
        *(
            {"predicted_1min": 10, "current_price": value}
            for value in (None, "5", math.nan, -math.inf, -5, 0, 1e300)
        ),
        {"predicted_1min": 10, "model_version": "v" * 197},
    ],
    ids=repr,
)
def test_what_cannot_be_scored_is_left_out(data: dict[str, Any]) -> None:
    assert told(board(), [prediction(0, 5, **data), price(60, 9), price(61, 9)]) == []


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, -START - 1, NOW * 1_000, 86_401 + NOW - START])
def test_rows_of_no_time_are_left_out(at: float) -> None:
    rows = [prediction(0, 5, predicted_1min=10), price(60, 9), price(at, 8), price(61, 9)]
    assert minute([prediction(at, 5, predicted_1min=1), *rows])["bias"] == 1


@pytest.mark.parametrize("value", [None, "9", True, math.nan, math.inf, 0, -9, 1e13, {}])
def test_prices_that_are_none_are_left_out(value: Any) -> None:
    rows = [prediction(0, 5, predicted_1min=10), price(59, 8), price(60, value), price(61, 9)]
    assert minute(rows)["bias"] == 2


@pytest.mark.parametrize("confidence", [None, "0.5", True, math.nan, -0.1, 1.1, 85])
def test_a_prediction_without_a_confidence_is_scored_without_calibration(confidence: Any) -> None:
    row = prediction(0, 5, predicted_1min=10, confidence_1min=confidence)
    accuracy = minute([row, price(60, 9), price(61, 9)])
    assert accuracy["n"] == 1
    assert "calibration" not in accuracy


def test_confidence_is_sorted_into_tenths() -> None:
    told_of = [0, 0.05, 0.1, 0.99, 1]
    rows = [
        prediction(at, 5, predicted_1min=10 if at else 4, confidence_1min=value)
        for at, value in enumerate(told_of)
    ]
    accuracy = minute([*rows, price(59, 9), price(80, 9)])
    assert accuracy["calibration"] == {
        "n": 5,
        "brier": 0.34252,  # (0² + 0.95² + 0.9² + 0.01² + 0²) / 5
        "error": 0.372,  # (2 * 0.475 + 0.9 + 2 * 0.005) / 5
        "bins": [
            {"least": 0, "n": 2, "confidence": 0.025, "hit_rate": 0.5},
            {"least": 0.1, "n": 1, "confidence": 0.1, "hit_rate": 1},
            {"least": 0.9, "n": 2, "confidence": 0.995, "hit_rate": 1},
        ],
    }


def test_models_are_scored_apart_and_the_last_to_predict_is_current() -> None:
    asked = board()
    first = told(asked, [prediction(0, 5, predicted_1min=10)])
    assert [(score["model_version"], score["current"]) for score in first] == [("v1", True)]
    rows = [prediction(1, 5, predicted_1min=9, model_version=version) for version in ("v2", None)]
    scores = {score["model_version"]: score for score in told(asked, [*rows, price(60, 9), price(62, 9)])}
    assert {name: score["current"] for name, score in scores.items()} == {
        "v1": False,
        "v2": False,
        "unversioned": True,
    }
    assert {name: score["horizons"]["1min"]["bias"] for name, score in scores.items()} == {
        "v1": 1,
        "v2": 0,
        "unversioned": 0,
    }


def test_a_model_that_others_follow_is_told_once_more() -> None:
    asked = board()
    told(asked, [prediction(0, 5, predicted_1min=10)])
    both = told(asked, [prediction(1, 5, predicted_1min=10, model_version="v2")])
    assert [(score["model_version"], score["current"]) for score in both] == [("v1", False), ("v2", True)]
    assert told(asked) == []


def test_only_what_changed_is_told() -> None:
    asked = board()
    assert len(told(asked, TAPE)) == 1
    assert told(asked, [price(92, 9), price(93, 9)]) == []
    assert len(told(asked, [prediction(93, 9, "ETH", predicted_1min=8)])) == 1


def test_the_window_holds_so_many() -> None:
    rows = [prediction(at, 5, predicted_1min=10 + at) for at in range(5)]
    accuracy = minute([*rows, price(59, 10), price(65, 10)], window=2)
    assert (accuracy["n"], accuracy["bias"]) == (2, 3.5)  # 3 and 4
    unscored = minute([*rows, price(65, 10)], window=2)
    assert (unscored["n"], unscored["unscored"]) == (0, 2)


def test_the_window_is_so_long() -> None:
    asked = board(window_age=100)
    rows = [prediction(0, 5, predicted_1min=10), prediction(20, 5, predicted_1min=12), price(59, 10)]
    [score] = told(asked, [*rows, price(81, 10), price(160, 10)])
    assert (score["horizons"]["1min"]["n"], score["horizons"]["1min"]["unscored"]) == (2, 0)
    [score] = told(asked, [price(161, 10)])
    assert (score["horizons"]["1min"]["n"], score["horizons"]["1min"]["bias"]) == (1, 2)


def test_what_could_not_be_scored_ages_too() -> None:
    asked = board(window_age=100)
    [score] = told(asked, [prediction(0, 5, predicted_1min=10), price(61, 10), price(160, 10)])
    assert score["horizons"]["1min"]["unscored"] == 1
    assert told(asked, [price(160, 10)]) == []
    [score] = told(asked, [price(161, 10)])
    assert score["horizons"]["1min"]["unscored"] == 0


def test_a_model_of_which_nothing_is_left_is_told_for_the_last_time_and_forgotten() -> None:
    asked = board(window_age=100)
    told(asked, [prediction(0, 5, predicted_1min=10), price(59, 10), price(61, 10)])
    [score] = told(asked, [price(161, 10)])
    assert score["horizons"] == dict.fromkeys(HORIZONS, NOTHING)
    assert score["current"]
    assert told(asked, [price(162, 10), price(400, 10)]) == []


def test_predictions_beyond_the_open_ones_are_counted_as_unscored() -> None:
    rows = [prediction(at, 5, predicted_1min=10 + at) for at in range(5)]
    accuracy = minute([*rows, price(59, 10), price(65, 10)], open=3)
    assert (accuracy["n"], accuracy["unscored"], accuracy["bias"]) == (3, 2, 1)


def test_of_too_many_models_the_one_that_predicted_longest_ago_is_forgotten() -> None:
    asked = board(models=2)
    versions = [*enumerate(["v1", "v2", "v1", "v3"])]
    rows = [prediction(at, 5, predicted_1min=10, model_version=version) for at, version in versions]
    scores = told(asked, [*rows, price(59, 10), price(70, 10)])
    assert {score["model_version"]: score["horizons"]["1min"]["n"] for score in scores} == {"v1": 2, "v3": 1}


def test_of_too_many_symbols_the_one_that_was_predicted_longest_ago_is_forgotten() -> None:
    asked = board(symbols=2)
    rows = [prediction(at, 5, symbol, predicted_1min=10) for at, symbol in enumerate("ABAC")]
    assert {score["symbol"] for score in told(asked, rows)} == {"A", "C"}


def test_drift_is_judged_by_predictions_that_do_not_overlap() -> None:
    rows = [prediction(at, 5, predicted_1min=10 + at) for at in range(0, 241, 20)]
    rows += [price(at, 10) for at in range(0, 320, 10)]
    accuracy = minute(sorted(rows, key=lambda row: row.at), recent=2)
    assert accuracy["n"] == 13
    # Those made at 0, 60, 120, 180 and 240, which are wrong by as much of a price of 10.
    assert accuracy["baseline"] == {"n": 3, "hit_rate": 1, "mape": 600}
    assert accuracy["recent"] == {"n": 2, "hit_rate": 1, "mape": 2100}


def test_the_past_of_drift_is_five_times_as_long() -> None:
    rows = [prediction(at, 5, predicted_1min=10 + at) for at in range(0, 1_200, 60)]
    rows += [price(at, 10) for at in range(0, 1_300, 10)]
    accuracy = minute(sorted(rows, key=lambda row: row.at), recent=3)
    assert (accuracy["recent"]["n"], accuracy["baseline"]["n"]) == (3, 15)


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("ridge-1", "BTC:ridge-1"),
        ("v1.0+cu_12~rc@main", "BTC:v1.0+cu_12~rc@main"),
        ("my best model*", "BTC:my%20best%20model%2A"),
        ("a:b/c", "BTC:a%3Ab%2Fc"),
        ("né", "BTC:n%C3%A9"),
    ],
)
async def test_a_version_is_written_so_that_it_is_a_key(
    version: str, key: str, autojump_clock: MockClock
) -> None:
    rows = [prediction(0, 5, predicted_1min=10, model_version=version)]
    [event] = await record(SCORES, seconds=15, shown=rows)
    assert (event.key, event.data["model_version"]) == (key, version)
    assert list(SCORES.route(event, None)) == [key, "BTC"]
    assert autojump_clock.current_time() == 15


async def test_scores_are_told_once_an_interval_while_they_change(autojump_clock: MockClock) -> None:
    begin = time.time()
    rows = [
        Event(row.channel, row.key, row.data, begin + at + 0.5)
        for at in range(1, 101)
        for row in (price(0, 10 + at), prediction(0, 10 + at, predicted_1min=11 + at))
    ]
    found = await record(SCORES, seconds=130, settings=ScoresSettings(interval=20), shown=rows)
    # Known at 20: there is a prediction. At 80 and 100: those whose minute has passed. Then nothing changes any more.
    assert [event.data["horizons"]["1min"]["n"] for event in found] == [0, 18, 38, 39]
    assert autojump_clock.current_time() == 130


async def test_the_simulated_market_is_scored(autojump_clock: MockClock) -> None:
    shown = [*events("price"), *events("predictions")]
    symbols = {event.key for event in shown}
    found = await record(SCORES, seconds=15, shown=shown)
    assert {event.key for event in found} == {f"{symbol}:ridge-1" for symbol in symbols}
    for event in found:
        minute, five, fifteen = event.data["horizons"].values()
        # Ten minutes of a tick a second: 0 to 599 s are known, so predictions until 538 and 298 s.
        assert (minute["n"], five["n"], fifteen["n"]) == (539, 299, 0)
        assert minute["unscored"] == five["unscored"] == fifteen["unscored"] == 0
        assert 0 < minute["mape"] < five["mape"] < 20
        assert minute["calibration"]["n"] == 539
        assert minute["recent"]["n"] == 9
    assert autojump_clock.current_time() == 15


async def test_other_channels_can_be_read(autojump_clock: MockClock) -> None:
    settings = ScoresSettings(predictions="fx_model", prices="fx")
    rows = [prediction(0, 5, predicted_1min=10), price(60, 9), price(61, 9)]
    fx = [
        Event({"price": "fx", "predictions": "fx_model"}[row.channel], row.key, row.data, row.at)
        for row in rows
    ]
    assert [
        event.data["horizons"]["1min"]["n"]
        for event in await record(SCORES, seconds=15, settings=settings, shown=[*fx, *TAPE])
    ] == [1]
    assert autojump_clock.current_time() == 15


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("interval", 0),
        ("window", 0),
        ("window_age", 0),
        ("tolerance", 0),
        ("tolerance", 61),
        ("open", 0),
        ("symbols", 0),
        ("models", 0),
        ("recent", 0),
        ("prices", "price:*"),
        ("predictions", ""),
    ],
)
def test_settings_have_bounds(key: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=rf"channels\.scores\.{key}"):
        fill(channel("scores").Settings, {key: value}, path="channels.scores")


@given(
    st.lists(
        st.builds(
            Event,
            st.sampled_from(["price", "predictions"]),
            st.sampled_from(["BTC", "ETH"]),
            st.dictionaries(
                st.sampled_from(
                    ["price", "current_price", "predicted_1min", "confidence_1min", "model_version"]
                ),
                st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
            ),
            st.floats() | st.floats(START, START + 500),
        ),
        max_size=30,
    )
)
def test_no_row_breaks_it(rows: list[Event]) -> None:
    told(board(open=2, models=2, symbols=1, window=3), rows)


# --- Over a break. ---


def is_noted(row: Event, state: Mapping[str, Any]) -> bool:
    """Whether what was noted goes as far as this row; each of them is later than those before."""
    standing = state.get(book_name(row.key))
    return standing is not None and standing["time"] >= row.at


def broken(shown: Sequence[Event], stretches: Iterable[tuple[float, float]], **more: Any) -> Broken:
    run = Run(channel=SCORES, settings=ScoresSettings(), shown=shown, is_noted=is_noted)
    return run(stretches, **more)


def figures(found: Broken) -> dict[str, Any]:
    """What is told last of each model, whenever that was."""
    return {event.key: {**event.data, "timestamp": ""} for event in found.all}


def no_score_is_told_twice(found: Broken) -> bool:
    for key in figures(found):
        told_of = [{**event.data, "timestamp": ""} for event in found.all if event.key == key]
        if any(one == other for one, other in itertools.pairwise(told_of)):
            return False
    return True


def test_what_is_open_is_scored_after_a_crash_and_told_once() -> None:
    rows = [prediction(0.5, 100, predicted_1min=102), price(59.5, 101), price(61.5, 100), price(65.5, 100)]
    found = broken(rows, [(0, 3), (40, 64), (64, 75), (75, 200)])
    counts = [[event.data["horizons"]["1min"]["n"] for event in events] for events in found.events]
    assert counts == [[], [0], [1], []], "beats begin with each start"
    assert figures(found)["BTC:v1"]["horizons"]["1min"]["bias"] == 1


def test_what_came_within_a_second_before_a_crash_may_be_lost() -> None:
    rows = [prediction(0.5, 100, predicted_1min=102), prediction(5.5, 100, predicted_1min=102)]
    assert broken(rows, [(0, 5.75), (6, 20)]).lost == rows[1:]
    assert broken(rows, [(0, 6.25), (7, 20)]).lost == []


@pytest.mark.parametrize("setting", ["prices", "predictions"])
def test_what_was_read_of_other_channels_says_nothing(setting: str) -> None:
    [before] = broken([prediction(0.5, 100, predicted_1min=102)], [(0, 20)]).states
    names: dict[str, Any] = {setting: "other"}
    other = ScoresSettings(**names)
    with capture_logs() as log:
        [after] = Run(channel=SCORES, settings=other, shown=[])([(20, 30)], state=before).states
    assert list(after) == ["format"]
    assert [line["event"] for line in log] == ["scores begin anew, for what was noted cannot be read"]


@pytest.mark.parametrize("lives", [*range(1, 12), *range(60, 80)])
def test_a_crash_after_anything_that_it_does_changes_no_score(lives: int) -> None:
    rows = [
        row
        for at in range(90)
        for row in (
            price(at + 0.25, 100 + at % 7),
            prediction(at + 0.75, 100 + at % 7, "BTC" if at % 3 else "ETH", predicted_1min=104),
        )
    ]
    found = broken(rows, [(0, 85), (0, 100)], lives=lives)
    whole = broken([row for row in rows if row not in found.lost], [(0, 100)])
    assert figures(found) == figures(whole)
    assert no_score_is_told_twice(found)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([1, 1, 5, 20]), st.integers(98, 102), st.sampled_from(["A", "B"]), st.booleans()
        ),
        min_size=1,
        max_size=40,
    ),
    breaks=st.lists(
        st.integers(0, 800).map(lambda quarter: quarter / 4 + 0.125), max_size=4, unique=True
    ).map(sorted),
)
def test_a_crash_at_any_moment_changes_no_score(
    rows: list[tuple[int, int, str, bool]], breaks: list[float]
) -> None:
    """But that of rows which came within the second before it nothing is known."""
    tape, at = list[Event](), 0.5
    for pause, value, symbol, foretells in rows:
        at += pause
        row = prediction(at, value, symbol, predicted_1min=100) if foretells else price(at, value, symbol)
        tape.append(row)
    end = at + 30
    breaks = [each for each in breaks if each < end]
    found = broken(tape, itertools.pairwise([0.0, *breaks, end]))
    noted = [row for row in tape if row not in found.lost]
    first = {row.key: row.at for row in reversed(noted) if row.channel == "predictions"}
    # Until a prediction of its symbol is known, a price is for nothing.
    lost = [
        row for row in found.lost if row.channel == "predictions" or row.at >= first.get(row.key, math.inf)
    ]
    for row in lost:
        assert any(0 < each - (row.at - START) < 1.25 for each in [*breaks, end])
    whole = broken([row for row in tape if row not in lost], [(0.0, end)])
    assert figures(found) == figures(whole)
    assert no_score_is_told_twice(found)
