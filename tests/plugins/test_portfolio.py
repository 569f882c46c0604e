from __future__ import annotations

from appliance.api import Mode
from tests.plugins.built_in import assert_refused, assert_rows_fit, assert_taken, channel, events, topics


def test_the_newest_portfolio_counts() -> None:
    portfolio = channel("portfolio")
    assert (portfolio.mode, portfolio.message) == (Mode.STATE, "portfolio_update")


def test_the_market_fits() -> None:
    assert_rows_fit("portfolio")
    assert any(event.data["positions"] for event in events("portfolio"))


def test_it_is_in_the_topic_of_its_account() -> None:
    assert topics(events("portfolio")[0]) == ["paper"]


def test_positions_are_looked_into() -> None:
    assert_taken("portfolio", {"positions": {"AAPL": {"symbol": "AAPL", "quantity": 10}}, "total_pnl": 12.5})
    assert_refused("portfolio", {"total_pnl": 12.5}, "positions")
    assert_refused("portfolio", {"positions": {"AAPL": {"symbol": "AAPL"}}}, "quantity")
