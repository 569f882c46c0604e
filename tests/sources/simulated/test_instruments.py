from __future__ import annotations

import pytest

from appliance.sources.simulated.instruments import DOZEN, Group, instrument


def test_the_dozen_has_coins_and_stocks() -> None:
    groups = {symbol: instrument(symbol, seed=1).group for symbol in DOZEN}
    assert len(DOZEN) == 12
    assert groups["BTC"] == groups["SOL"] == Group.COIN
    assert groups["AAPL"] == groups["MSFT"] == Group.STOCK


def test_bitcoin_is_worth_more_than_all_other_coins() -> None:
    coins = [instrument(symbol, seed=1) for symbol in DOZEN]
    worth = {each.symbol: each.price * each.supply for each in coins if each.group is Group.COIN}
    assert worth["BTC"] > sum(worth.values()) / 2


@pytest.mark.parametrize("symbol", ["PEPE", "X", "1INCH", "A-B.C_D"])
def test_an_unknown_symbol_is_invented_by_its_name_and_the_seed(symbol: str) -> None:
    invented = instrument(symbol, seed=1)
    assert invented == instrument(symbol, seed=1)
    assert invented != instrument(symbol, seed=2)
    assert invented.price > 0
    assert invented.volatility > 0
    assert 10**-invented.decimals < invented.price / 100, "the tick of its price is finer than the price"
