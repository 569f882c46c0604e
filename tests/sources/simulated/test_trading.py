from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sources.simulated.signals import Direction, Signal
from appliance.sources.simulated.trading import START, Account, Trader

SYMBOLS = ("BTC", "ADA", "AAPL")

prices = st.floats(0.0001, 150_000).map(lambda price: round(price, 4) or 0.0001)
quantities = st.floats(0.00001, 100_000).map(lambda quantity: round(quantity, 5) or 0.00001)
orders = st.lists(
    st.tuples(st.sampled_from(Direction), st.sampled_from(SYMBOLS), quantities, prices), max_size=40
)
market = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, prices))


def cents(amount: float) -> int:
    return round(amount * 100)


def assert_adds_up(row: dict[str, Any], start: int = START) -> None:
    positions = row["positions"].values()
    worth = sum(cents(position["market_value"]) for position in positions)
    unrealized = sum(cents(position["unrealized_pnl"]) for position in positions)
    assert cents(row["equity"]) == cents(row["cash"]) + worth
    assert cents(row["total_pnl"]) == cents(row["equity"]) - start
    assert cents(row["total_pnl"]) == cents(row["realized_pnl"]) + unrealized
    assert row["position_count"] == len(positions)
    assert row["cash"] >= 0
    for position in positions:
        assert position["quantity"] > 0
        assert cents(position["market_value"]) == cents(position["quantity"] * position["market_price"])


@given(orders, market)
def test_the_portfolio_adds_up_whatever_is_traded(
    sequence: list[tuple[Direction, str, float, float]], now: dict[str, float]
) -> None:
    account = Account()
    for side, symbol, quantity, price in sequence:
        if side is Direction.BUY and account.affordable(quantity, price):
            account.buy(symbol, quantity, price)
        elif side is Direction.SELL and account.held(symbol):
            account.sell(symbol, min(quantity, account.held(symbol)), price)
        assert_adds_up(account.row(now, "t"))


@given(orders, st.lists(st.floats(0.5, 0.99), min_size=40, max_size=40), market)
def test_the_trader_never_spends_what_it_has_not(
    sequence: list[tuple[Direction, str, float, float]], confidences: list[float], now: dict[str, float]
) -> None:
    account = Account()
    trader = Trader(account, "test")
    for (side, symbol, quantity, price), confidence in zip(sequence, confidences, strict=False):
        held = account.held(symbol)
        trade = trader.follow(signal(side, symbol, quantity=quantity, price=price, confidence=confidence))
        row = account.row(now, "t")
        assert_adds_up(row)
        assert all(account.cost(known) <= 8_000_00 for known in SYMBOLS)
        if trade is None:
            assert account.held(symbol) == held
        else:
            change = trade.quantity if side is Direction.BUY else -trade.quantity
            assert account.held(symbol) == pytest.approx(held + change, abs=1e-7)
            assert trade.signal_id == "s"


def signal(
    side: Direction,
    symbol: str = "AAPL",
    *,
    quantity: float = 10.0,
    price: float = 100.0,
    confidence: float = 0.7,
) -> Signal:
    return Signal(
        id="s",
        type="momentum",
        symbol=symbol,
        direction=side,
        severity="low",
        confidence=confidence,
        price=price,
        quantity=quantity,
        price_change=0.0,
        volume_spike=1.0,
    )


def test_a_gain_is_unrealized_then_realized() -> None:
    account = Account()
    account.buy("AAPL", 10, 150.25)
    row = account.row({"AAPL": 151.5}, "t")
    assert row["positions"]["AAPL"] == {
        "symbol": "AAPL",
        "quantity": 10,
        "average_price": 150.25,
        "market_price": 151.5,
        "market_value": 1515.0,
        "unrealized_pnl": 12.5,
        "unrealized_pnl_pct": 0.8319,
    }
    fees = row["realized_pnl"]
    assert fees == -0.3
    assert row["total_pnl"] == 12.5 + fees
    account.sell("AAPL", 10, 151.5)
    row = account.row({}, "t")
    assert (row["positions"], row["position_count"]) == ({}, 0)
    assert row["cash"] == row["equity"] == 100_000 + row["realized_pnl"] == 100_011.9


def test_two_buys_are_averaged_and_a_part_is_sold_at_the_average() -> None:
    account = Account()
    account.buy("AAPL", 10, 100.0)
    account.buy("AAPL", 10, 200.0)
    before = account.row({"AAPL": 200.0}, "t")
    account.sell("AAPL", 5, 200.0)
    after = account.row({"AAPL": 200.0}, "t")
    assert (
        before["positions"]["AAPL"]["average_price"] == after["positions"]["AAPL"]["average_price"] == 150.0
    )
    assert after["realized_pnl"] - before["realized_pnl"] == pytest.approx(5 * 50 - 0.2)


@pytest.mark.parametrize(("quantity", "price"), [(1, 100_001.0), (0, 1.0), (-1, 1.0)])
def test_what_cannot_be_bought_is_refused(quantity: float, price: float) -> None:
    account = Account()
    with pytest.raises(ValueError, match="cannot buy"):
        account.buy("BTC", quantity, price)
    assert account.row({}, "t")["cash"] == 100_000


def test_what_is_not_held_cannot_be_sold() -> None:
    account = Account()
    account.buy("BTC", 0.5, 90_000.0)
    for quantity in (0.6, 0, -1):
        with pytest.raises(ValueError, match="cannot sell"):
            account.sell("BTC", quantity, 90_000.0)
    with pytest.raises(ValueError, match="cannot sell"):
        account.sell("ADA", 1, 1.0)


def test_unsure_signals_are_not_followed_nor_sales_of_nothing() -> None:
    trader = Trader(Account(), "test")
    assert trader.follow(signal(Direction.BUY, confidence=0.55)) is None
    assert trader.follow(signal(Direction.SELL)) is None


def test_a_position_has_a_limit_and_a_remnant_is_sold_whole() -> None:
    account = Account()
    trader = Trader(account, "test")
    bought = [trader.follow(signal(Direction.BUY, quantity=20.0)) for _ in range(6)]
    assert [trade is not None for trade in bought] == [True] * 4 + [False] * 2
    sold = [trader.follow(signal(Direction.SELL, quantity=25.0)) for _ in range(4)]
    assert [trade.quantity if trade else 0 for trade in sold] == [25.0, 25.0, 30.0, 0]
    assert account.held("AAPL") == 0
