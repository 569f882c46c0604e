from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench import numbered
from tests.bench.load_digests import Digest
from tests.bench.load_families import family
from tests.bench.load_offsets import Reading, Said
from tests.bench.numbered import Turns

TURNS = Turns(("A", "B"))
NOON = "2024-12-19T12:00:00Z"


def read(name: str, **message: Any) -> Said:
    return Reading(family(name, TURNS)).read(json.dumps(message).encode())


def test_cryptointels_prices_show_the_number_of_their_offset() -> None:
    price = {"type": "price_update", "channel": "price:A", "offset": 3, "data": numbered.price(5)}
    assert read("cryptointel", **price) == Said("price_update", "price:A", offset=3)
    for wrong in ({"offset": 2}, {"channel": "price:B"}):
        with pytest.raises(ValueError, match="price:A"):
            read("cryptointel", **{**price, **wrong})


def test_a_row_of_data_ws_shows_its_number_and_its_symbol() -> None:
    row = {**numbered.prediction("A", 7), "time": NOON}
    del row["symbol"]
    assert read("data-ws", **row) == Said("row", "predictions:A", offset=7)


def test_ara_tells_of_one_symbol() -> None:
    update = {
        "type": "prediction_update",
        "symbol": "A",
        "data": numbered.prediction("A", 7),
        "timestamp": NOON,
    }
    assert read("ara", **update) == Said("prediction_update", "predictions:A", offset=7)
    market = {"type": "market_data_update", "symbol": "B", "data": numbered.price(6), "timestamp": NOON}
    assert read("ara", **market) == Said("market_data_update", "price:B", offset=3)
    for wrong in (update, market):
        with pytest.raises(ValueError, match="is due"):
            read("ara", **{**wrong, "symbol": "C"})
    alert = {"type": "alert", "data": numbered.alert("A", 9), "timestamp": NOON}
    assert read("ara", **alert) == Said("alert", "alerts:all", offset=9)


def test_a_ping_of_ara_is_answered() -> None:
    said = read("ara", type="ping", timestamp=NOON)
    assert (said.topic, json.loads(said.reply)) == (None, {"type": "pong"})


def test_trading_tells_signals_and_trades_one_by_one_and_the_rest_in_digests() -> None:
    assert read("trading", type="signal", **numbered.signal("A", 4)) == Said(
        "signal", "signals:all", offset=4
    )
    assert read("trading", type="trade_executed", **numbered.trade("A", 5)).topic == "trades:all"
    symbols = {"A": numbered.price(5), "B": numbered.price(4)}
    prices = read("trading", type="price_update", symbols=symbols, timestamp=NOON)
    assert prices.digest == Digest("prices", 1_734_609_600.0, {"A": 5, "B": 4})
    account = numbered.portfolio("A", 6)
    portfolio = read("trading", type="portfolio_update", channel="portfolio", data=account, timestamp=NOON)
    assert portfolio.digest == Digest("portfolio", 1_734_609_600.0, {"paper": 6})


@pytest.mark.parametrize("name", ["cryptointel", "data-ws", "ara", "trading"])
@pytest.mark.parametrize("payload", [b"", b"[]", b'"text"', b"{}"])
def test_what_is_no_message_of_a_family_is_refused(name: str, payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Reading(family(name, TURNS)).read(payload)


def test_what_other_families_are_told_is_refused() -> None:
    signal = {"type": "signal", **numbered.signal("A", 4)}
    for name in ("ara", "data-ws"):
        with pytest.raises(ValueError, match=r"told to other families|KeyError"):
            read(name, **signal)
    with pytest.raises(ValueError, match="told to other families"):
        read("trading", type="subscribed", channels=[])


def test_cryptointel_may_hear_those_with_whom_it_shares_a_path() -> None:
    for kind, details in (
        ("signal", numbered.signal("A", 4)),
        ("trade_executed", numbered.trade("A", 4)),
        ("price_update", {"symbols": {"A": numbered.price(5)}}),
        ("portfolio_update", {"channel": "portfolio", "data": numbered.portfolio("A", 6)}),
    ):
        assert read("cryptointel", type=kind, **details) == Said(kind, foreign=True)
    with pytest.raises(ValueError, match="told to other families"):
        read("cryptointel", type="connected")


def test_an_event_without_a_number_is_refused() -> None:
    for name, kind in (("ara", "alert"), ("trading", "signal"), ("trading", "price_update")):
        with pytest.raises(ValueError, match="KeyError"):
            read(name, type=kind)


def test_errors_are_told_by_their_words() -> None:
    assert read("ara", type="error", message="Unknown symbol: X").type == "error Unknown symbol: X"
    assert (
        read("trading", type="error", error="Invalid message format").type == "error Invalid message format"
    )
