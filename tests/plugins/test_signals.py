from __future__ import annotations

from typing import Any

import pytest

from appliance.api import Event, Mode
from appliance.core.errors import SettingsError
from appliance.settings.structure import fill
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def signal(**data: Any) -> Event:
    return Event("signals", "BTC", {"symbol": "BTC", "confidence": 0.5, **data}, 0.0)


def test_every_signal_counts() -> None:
    signals = channel("signals")
    assert (signals.mode, signals.message) == (Mode.LOG, "signal_alert")
    assert signals.topics == ("all", "high", "type:*", "severity:*")


def test_the_market_fits() -> None:
    assert_rows_fit("signals")


def test_a_signal_is_in_the_topics_of_all_that_it_is() -> None:
    event = signal(type="price_anomaly", severity="high", confidence=0.85)
    assert topics(event) == [
        "all",
        "high",
        "type:price_anomaly",
        "severity:high",
        "type:price_anomaly:severity:high",
    ]


def test_a_signal_without_type_and_severity_is_in_all() -> None:
    assert topics(signal()) == ["all"]
    assert topics(signal(type="momentum", severity=None)) == ["all", "type:momentum"]


@pytest.mark.parametrize(
    ("confidence", "settings", "high"),
    [
        (0.8, {}, True),
        (0.7999, {}, False),
        (0.6, {"high": 0.6}, True),
        (0.85, {"high": 0.9}, False),
        (0.0, {"high": 0}, True),
        (1, {"high": 1}, True),
    ],
)
def test_high_begins_where_the_settings_say(confidence: float, settings: dict[str, Any], high: bool) -> None:  # noqa: FBT001 - a case of the table
    assert ("high" in topics(signal(confidence=confidence), **settings)) is high


def test_the_market_has_high_signals_and_others() -> None:
    found = [(event.data["confidence"], "high" in topics(event, high=0.6)) for event in events("signals")]
    assert {high for _, high in found} == {True, False}
    assert all(high == (confidence >= 0.6) for confidence, high in found)


@pytest.mark.parametrize("high", [-0.1, 1.1])
def test_the_threshold_is_a_confidence(high: float) -> None:
    with pytest.raises(SettingsError, match=r"channels\.signals\.high"):
        fill(channel("signals").Settings, {"high": high}, path="channels.signals")


def test_a_row_needs_a_symbol_and_a_confidence() -> None:
    assert_taken("signals", {"symbol": "AAPL", "confidence": 1, "signal_type": "BUY"})
    assert_refused("signals", {"symbol": "AAPL"}, "confidence")
    assert_refused("signals", {"confidence": 0.5}, "symbol")
    assert_refused("signals", {"symbol": "AAPL", "confidence": 85}, "confidence")
