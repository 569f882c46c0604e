from __future__ import annotations

from appliance.api import Mode
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def test_every_trade_counts() -> None:
    trades = channel("trades")
    assert (trades.mode, trades.message, trades.topics) == (Mode.LOG, "trade_executed", ("all",))


def test_the_market_fits() -> None:
    assert_rows_fit("trades")


def test_a_trade_is_in_all_and_in_the_topic_of_its_symbol() -> None:
    for event in events("trades"):
        assert topics(event) == ["all", event.data["symbol"]]


def test_a_row_says_what_was_traded() -> None:
    row = {"symbol": "AAPL", "side": "BUY", "quantity": 10, "price": 150.25}
    assert_taken("trades", row)
    for field in row:
        assert_refused("trades", {key: value for key, value in row.items() if key != field}, field)
