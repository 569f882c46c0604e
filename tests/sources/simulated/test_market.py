from __future__ import annotations

from appliance.sources.simulated.instruments import instrument
from appliance.sources.simulated.market import Market
from appliance.sources.simulated.quotes import Quote


def quote(symbol: str, price: float, change_24h: float, volume_24h: float = 1_000.0) -> Quote:
    return Quote(
        symbol=symbol,
        price=price,
        open=price,
        high=price,
        low=price,
        change=0.0,
        change_pct=0.0,
        change_24h=change_24h,
        volume=1.0,
        volume_24h=volume_24h,
    )


def market(*symbols: str) -> Market:
    return Market([instrument(symbol, seed=1) for symbol in symbols])


def test_the_summary_is_that_of_the_coins() -> None:
    quotes = [
        quote("BTC", 100_000.0, 1.0, 3e9),
        quote("ETH", 4_000.0, 1.0, 1e9),
        quote("AAPL", 230.0, 1.0, 9e9),
    ]
    summary = market("BTC", "ETH", "AAPL").rows(quotes, "t")["summary"]
    bitcoin, ether = 100_000.0 * 19.8e6, 4_000.0 * 120.4e6
    assert summary == {
        "total_market_cap": bitcoin + ether,
        "total_volume_24h": 4e9,
        "bitcoin_dominance": round(100 * bitcoin / (bitcoin + ether), 2),
        "active_cryptocurrencies": 2,
        "timestamp": "t",
    }


def test_volume_names_the_most_traded() -> None:
    quotes = [quote("BTC", 100_000.0, 1.0, 3e9), quote("ETH", 4_000.0, 1.0, 1e9)]
    volume = market("BTC", "ETH").rows(quotes, "t")["volume"]
    assert volume["volume_by_symbol"] == {"BTC": 3e9, "ETH": 1e9}
    assert (volume["top_symbol"], volume["top_share"]) == ("BTC", 75.0)


def test_sentiment_goes_from_fear_to_greed() -> None:
    def feeling(*changes: float) -> tuple[str, int]:
        symbols = ("BTC", "ETH", "SOL")[: len(changes)]
        quotes = [quote(symbol, 1.0, change) for symbol, change in zip(symbols, changes, strict=True)]
        row = market(*symbols).rows(quotes, "t")["sentiment"]
        assert row["rising"] + row["falling"] <= len(changes)
        return row["sentiment"], row["fear_greed_index"]

    assert feeling(-20.0, -15.0, -30.0) == ("extreme fear", 0)
    assert feeling(0.0, 0.0, 0.0) == ("neutral", 50)
    assert feeling(1.0, -1.0, 0.0) == ("neutral", 50)
    assert feeling(20.0, 15.0, 30.0) == ("extreme greed", 100)
    assert feeling(-2.0, -1.0, 1.0)[0] == "fear"


def test_without_coins_it_is_that_of_the_stocks() -> None:
    summary = market("AAPL").rows([quote("AAPL", 230.0, 1.0)], "t")["summary"]
    assert summary["total_market_cap"] == 230.0 * 15.1e9
    assert summary["bitcoin_dominance"] == summary["active_cryptocurrencies"] == 0
