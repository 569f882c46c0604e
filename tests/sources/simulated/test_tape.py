from __future__ import annotations

import datetime as dt
import itertools
import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from appliance.sources.simulated.instruments import DOZEN, instrument
from appliance.sources.simulated.tape import Tape, Tick

if TYPE_CHECKING:
    from pathlib import Path

START = 1_766_000_000.0


def ticks(
    count: int, symbols: tuple[str, ...] = DOZEN, *, seed: int = 1, interval: float = 1.0
) -> list[Tick]:
    tape = Tape(seed=seed, symbols=symbols, start=START, interval=interval)
    return [tape.step(START + number * interval) for number in range(count)]


def rows(tick: Tick, channel: str) -> dict[str, Any]:
    return {row.key: row.data for row in tick.rows if row.channel == channel}


def listed(tick: Tick, channel: str) -> list[Any]:
    return [row.data for row in tick.rows if row.channel == channel]


@pytest.fixture(scope="module")
def tape() -> list[Tick]:
    return ticks(2_000)


def test_the_same_seed_gives_the_same_tape() -> None:
    assert ticks(50) == ticks(50)


def test_another_seed_gives_another_tape() -> None:
    assert rows(ticks(1)[0], "price") != rows(ticks(1, seed=2)[0], "price")


def test_the_first_tick_has_all_that_a_client_waits_for(tape: list[Tick]) -> None:
    first = tape[0]
    assert (first.number, first.at) == (0, START)
    assert tuple(rows(first, "price")) == tuple(rows(first, "predictions")) == DOZEN
    assert set(rows(first, "market")) == {"summary", "volume", "sentiment"}
    assert set(rows(first, "portfolio")) == {"paper"}
    for price in rows(first, "price").values():
        assert price["change_24h"] != 0
        assert price["volume_24h"] > 0
        assert price["low"] < price["high"]
    assert any(row["predicted_1min"] != row["current_price"] for row in rows(first, "predictions").values())


def test_the_keys_known_at_the_beginning_are_those_of_the_rows(tape: list[Tick]) -> None:
    keys = Tape(seed=1, symbols=DOZEN, start=START).keys
    for row in itertools.chain.from_iterable(tick.rows for tick in tape):
        assert row.key in keys[row.channel] or row.channel == "signals"


def test_prices_agree_with_themselves(tape: list[Tick]) -> None:
    for tick in tape:
        for symbol, row in rows(tick, "price").items():
            assert row["low"] <= min(row["open"], row["close"])
            assert row["high"] >= max(row["open"], row["close"])
            assert row["close"] == row["price"]
            assert row["change"] == round(row["price"] - row["open"], instrument(symbol, seed=1).decimals)
            assert row["change_pct"] == pytest.approx(100 * row["change"] / row["open"], abs=1e-4)


def test_all_channels_of_a_tick_speak_of_the_same_prices(tape: list[Tick]) -> None:
    for tick in tape:
        prices = {symbol: row["price"] for symbol, row in rows(tick, "price").items()}
        for symbol, row in rows(tick, "predictions").items():
            assert row["current_price"] == prices[symbol]
        for row in listed(tick, "signals") + listed(tick, "trades"):
            assert row["price"] == prices[row["symbol"]]
        for symbol, position in rows(tick, "portfolio")["paper"]["positions"].items():
            assert position["market_price"] == prices[symbol]
        stamps = {row.data["timestamp"] for row in tick.rows}
        assert len(stamps) == 1
        assert {row.at for row in tick.rows} == {tick.at}


def test_the_market_is_the_sum_of_its_coins(tape: list[Tick]) -> None:
    coins = ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE")
    for tick in tape:
        prices = rows(tick, "price")
        worth = {symbol: prices[symbol]["price"] * instrument(symbol, seed=1).supply for symbol in coins}
        market = rows(tick, "market")
        for row in market.values():
            assert row["total_market_cap"] == pytest.approx(sum(worth.values()))
            assert row["total_volume_24h"] == pytest.approx(sum(prices[coin]["volume_24h"] for coin in coins))
            assert row["bitcoin_dominance"] == pytest.approx(
                100 * worth["BTC"] / sum(worth.values()), abs=0.01
            )
            assert row["active_cryptocurrencies"] == len(coins)
        assert market["volume"]["volume_by_symbol"] == {coin: prices[coin]["volume_24h"] for coin in coins}
        assert market["sentiment"]["rising"] == sum(prices[coin]["change_24h"] > 0 for coin in coins)


def test_the_rows_have_all_that_the_trading_document_shows(tape: list[Tick], root: Path) -> None:
    document = (root / "tests" / "spec" / "trading-stream.md").read_text(encoding="utf-8")
    sent = document.partition("### Server → Client")[2].partition("## JavaScript Example")[0]
    blocks = [
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", sent, re.MULTILINE | re.DOTALL)
    ]
    shown = {block["type"]: block for block in blocks}
    signal, trade = (set(shown[kind]) - {"type"} for kind in ("signal", "trade_executed"))
    price = set(shown["price_update"]["symbols"]["AAPL"])
    portfolio = shown["portfolio_update"]["data"]
    position = set(portfolio["positions"]["AAPL"])
    held = 0
    for tick in tape:
        assert all(price <= set(row) for row in rows(tick, "price").values())
        assert all(signal <= set(row) for row in listed(tick, "signals"))
        assert all(trade <= set(row) for row in listed(tick, "trades"))
        paper = rows(tick, "portfolio")["paper"]
        assert set(portfolio) <= set(paper)
        assert all(position <= set(row) for row in paper["positions"].values())
        held += len(paper["positions"])
    assert held


def test_a_day_gains_volume_and_a_signal_proposes_something(tape: list[Tick]) -> None:
    for earlier, later in itertools.pairwise(tape):
        for symbol, row in rows(later, "price").items():
            assert row["volume"] >= rows(earlier, "price")[symbol]["volume"] > 0
        for signal in listed(later, "signals"):
            assert signal["quantity"] > 0


def test_each_trade_follows_a_signal_of_its_tick(tape: list[Tick]) -> None:
    for tick in tape:
        signals = {signal["id"]: signal for signal in listed(tick, "signals")}
        for trade in listed(tick, "trades"):
            signal = signals[trade["signal_id"]]
            assert (trade["symbol"], trade["side"]) == (signal["symbol"], signal["signal_type"])


def test_a_signal_points_where_the_surest_prediction_does(tape: list[Tick]) -> None:
    for tick in tape:
        predictions = rows(tick, "predictions")
        for signal in listed(tick, "signals"):
            row = predictions[signal["symbol"]]
            assert signal["confidence"] == max(
                row[f"confidence_{ahead}"] for ahead in ("1min", "5min", "15min")
            )
            surest = [
                row[f"predicted_{ahead}"] - row["current_price"]
                for ahead in ("1min", "5min", "15min")
                if row[f"confidence_{ahead}"] == signal["confidence"]
            ]
            side = 1 if signal["signal_type"] == "BUY" else -1
            assert any(side * move >= 0 for move in surest)


def test_the_portfolio_is_what_the_trades_made_of_it(tape: list[Tick]) -> None:
    held: dict[str, float] = {}
    cash = 100_000.0
    for tick in tape:
        for trade in listed(tick, "trades"):
            side = 1 if trade["side"] == "BUY" else -1
            held[trade["symbol"]] = round(held.get(trade["symbol"], 0.0) + side * trade["quantity"], 8)
            cash -= side * round(trade["quantity"] * trade["price"], 2) + trade["fee"]
        portfolio = rows(tick, "portfolio")["paper"]
        positions = portfolio["positions"]
        assert {symbol: position["quantity"] for symbol, position in positions.items()} == {
            symbol: quantity for symbol, quantity in held.items() if quantity
        }
        assert portfolio["cash"] == pytest.approx(cash, abs=0.02)
        assert portfolio["equity"] == pytest.approx(
            cash + sum(p["market_value"] for p in positions.values()), abs=0.02
        )


def test_signals_and_trades_are_seen_but_do_not_flood(tape: list[Tick]) -> None:
    signals = [signal for tick in tape for signal in listed(tick, "signals")]
    trades = [trade for tick in tape for trade in listed(tick, "trades")]
    assert len(tape) / 20 < len(signals) < len(tape)
    assert len(tape) / 200 < len(trades) < len(signals)
    assert {signal["type"] for signal in signals} == {
        "price_anomaly",
        "volume_spike",
        "momentum",
        "trend_reversal",
    }
    assert {signal["signal_type"] for signal in signals} == {"BUY", "SELL"}
    assert {signal["severity"] for signal in signals} >= {"low", "medium", "high"}
    assert len({signal["id"] for signal in signals}) == len(signals)
    assert any(signal["confidence"] >= 0.8 for signal in signals)


def test_every_number_is_json(tape: list[Tick]) -> None:
    for tick in tape[::20]:
        for row in tick.rows:
            assert json.loads(json.dumps(row.data, allow_nan=False)) == row.data


@pytest.mark.parametrize("interval", [0.05, 0.5, 3.0, 7.0, 60.0])
def test_any_interval_gives_a_market(interval: float) -> None:
    for tick in ticks(60, ("BTC", "AAPL", "PEPE"), interval=interval):
        for row in rows(tick, "predictions").values():
            assert 0.5 <= row["confidence_15min"] <= 0.99
            assert math.isfinite(row["predicted_15min"])
            assert row["predicted_15min"] > 0


@pytest.mark.parametrize(
    "symbols", [("BTC",), ("AAPL", "MSFT"), ("PEPE",), tuple(f"C{n}" for n in range(60))]
)
def test_any_symbols_make_a_market(symbols: tuple[str, ...]) -> None:
    for tick in ticks(20, symbols):
        assert tuple(rows(tick, "price")) == symbols
        assert rows(tick, "market")["summary"]["total_market_cap"] > 0


def test_times_are_rfc_3339_in_utc_and_never_go_back() -> None:
    tape = Tape(seed=1, symbols=("BTC",), start=START)
    first, second, back = (tape.step(at) for at in (START, START + 1.25, START - 3_600))
    assert rows(second, "price")["BTC"]["timestamp"] == "2025-12-17T19:33:21.250Z"
    assert back.at == second.at > first.at
    for tick in (first, second, back):
        stamp = rows(tick, "predictions")["BTC"]["time"]
        assert dt.datetime.fromisoformat(stamp).timestamp() == pytest.approx(tick.at)


def test_a_prediction_is_made_at_any_time_from_the_last_prices() -> None:
    tape = Tape(seed=1, symbols=DOZEN, start=START, interval=60.0)
    tape.step(START)
    tick = tape.step(START + 60)
    changed = 0
    for symbol, row in rows(tick, "predictions").items():
        assert tape.prediction(symbol, START + 60) == row
        later = tape.prediction(symbol, START + 90)
        assert later is not None
        assert set(later) == set(row)
        assert later["time"] == later["timestamp"] == "2025-12-17T19:34:50.000Z"
        assert later["current_price"] == row["current_price"]
        changed += later["confidence_1min"] != row["confidence_1min"]
    assert changed, "the model has seen prices stand still for half a minute"


def test_there_is_a_prediction_before_the_first_tick_and_none_of_what_is_not_traded() -> None:
    tape = Tape(seed=1, symbols=("BTC",), start=START)
    made = tape.prediction("BTC", START - 5)
    assert made is not None
    assert made["time"] == "2025-12-17T19:33:20.000Z", "time never goes back"
    assert tape.prediction("ETH", START) is None


def test_a_tape_goes_on_as_if_nobody_had_asked() -> None:
    asked = Tape(seed=1, symbols=DOZEN, start=START)
    steps = []
    for number in range(50):
        asked.prediction("BTC", START + number - 0.5)
        steps.append(asked.step(START + number))
    assert steps == ticks(50)


def test_two_tapes_of_a_seed_have_ids_of_their_own() -> None:
    def ids(start: float) -> set[str]:
        tape = Tape(seed=1, symbols=DOZEN, start=start)
        steps = [tape.step(start + number) for number in range(60)]
        return {signal["id"] for step in steps for signal in listed(step, "signals")}

    assert ids(START)
    assert not ids(START) & ids(START + 60)
