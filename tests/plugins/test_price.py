from __future__ import annotations

from appliance.api import Mode
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def test_the_newest_price_counts() -> None:
    price = channel("price")
    assert (price.mode, price.message, price.open) == (Mode.STATE, "price_update", False)


def test_the_market_fits() -> None:
    assert_rows_fit("price")


def test_a_price_is_in_the_topic_of_its_symbol() -> None:
    for event in events("price")[:13]:
        assert topics(event) == [event.data["symbol"]]


def test_a_row_needs_a_price_that_is_a_number() -> None:
    assert_taken("price", {"price": 149.5, "volume": 1_000_000, "timestamp": "2024-01-01T12:00:00Z"})
    assert_refused("price", {"symbol": "BTC"}, "price")
    assert_refused("price", {"price": "149.5"}, "price")
    assert_refused("price", {"price": 149.5, "change": "much"}, "change")
