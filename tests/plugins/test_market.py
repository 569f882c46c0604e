from __future__ import annotations

from appliance.api import Mode
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def test_the_newest_figures_count() -> None:
    market = channel("market")
    assert (market.mode, market.message) == (Mode.STATE, "market_data")
    assert market.topics == ("summary", "volume", "sentiment")


def test_the_market_fits() -> None:
    assert_rows_fit("market")


def test_each_part_has_its_topic() -> None:
    assert [topics(event) for event in events("market")[:3]] == [["summary"], ["volume"], ["sentiment"]]


def test_wrong_types_are_refused() -> None:
    assert_taken("market", {"total_market_cap": 2_450_000_000_000, "active_cryptocurrencies": 9_875})
    assert_refused("market", {"total_market_cap": "much"}, "total_market_cap")
