from __future__ import annotations

from appliance.api import Mode
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def test_the_newest_prediction_counts() -> None:
    predictions = channel("predictions")
    assert (predictions.mode, predictions.message) == (Mode.STATE, "prediction_update")


def test_the_market_fits() -> None:
    assert_rows_fit("predictions")


def test_a_prediction_is_in_the_topic_of_its_symbol() -> None:
    for event in events("predictions")[:13]:
        assert topics(event) == [event.data["symbol"]]


def test_rows_of_both_systems_are_taken() -> None:
    table_row = {"time": "2024-12-28T12:00:00Z", "current_price": 50_000.0, "predicted_15min": 50_125.42}
    assert_taken("predictions", {**table_row, "predicted_1min": None, "model_version": "v1.0"})
    assert_taken("predictions", {"predicted_price": 150.25, "confidence": 0.85})


def test_wrong_types_are_refused() -> None:
    assert_refused("predictions", {"current_price": "50000"}, "current_price")
    assert_refused("predictions", {"time": 1_766_000_000}, "time")
