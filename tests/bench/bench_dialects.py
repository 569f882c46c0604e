"""The dialects under the bench: one appliance that speaks them all, each to clients of its own.

Must not know how they are measured. All are told of rows of the same kind where they can be: predictions in the own
protocol, in data-ws and in ara; signals, and digests of prices, in the trading dialect.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench import numbered
from tests.bench.bench_recipes import Listener, Recipe, Rows, subscribing
from tests.bench.load_families import PRICES
from tests.bench.numbered import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN = "own protocol"
PRICED = Turns(tuple(f"COIN{number}" for number in range(10)))
"""Symbols of the digests: each event changes all of them."""

_CONFIGURATION = """
[heartbeat]
interval = 86400  # as the status: else pings would fall into some turns and not into others

[trading]
price_interval = 0.05  # the least: each digest stands for one event, or for two

[sources.bench]
orders = {orders}

[channels]
predictions = {{ source = "bench" }}
signals = {{ source = "bench" }}
price = {{ source = "bench" }}
alerts = {{ enabled = false }}
bench = {{ enabled = false }}
market = {{ enabled = false }}
portfolio = {{ enabled = false }}
trades = {{ enabled = false }}
"""


def dialects(appliance: Sequence[str]) -> Recipe:
    signals = Rows(channel="signals", make=_signal)
    prices = Rows(channel="price", make=_prices)
    return Recipe(
        name="dialects",
        part="dialects",
        command=(*appliance, "serve", "--config"),
        configuration=_CONFIGURATION,
        listeners=(
            Listener(
                name=OWN, family="cryptointel", rows=_predictions("OWN"), **subscribing("predictions:OWN")
            ),
            _predicting("data-ws", "ROW", path="/api/v1/predictions/stream?symbol=ROW", family="data-ws"),
            _predicting("ara", "ARA", path="/ws/predictions/ARA", family="ara", ready="connected"),
            _trading("trading signals", "signals", topic="signals:all", rows=signals),
            _trading("trading prices", "price_updates", topic=PRICES, rows=prices, symbols=PRICED.symbols),
        ),
    )


def _predicting(name: str, symbol: str, **details: Any) -> Listener:
    return Listener(name=name, topic=f"predictions:{symbol}", rows=_predictions(symbol), **details)


def _trading(name: str, chosen: str, **details: Any) -> Listener:
    """No answer says that a choice is made: that the ping behind it is answered does."""
    choice = {"type": "subscribe", "channel": chosen}
    sends = (json.dumps(choice), json.dumps({"type": "ping"}))
    return Listener(name=name, family="trading", sends=sends, ready="pong", **details)


def _predictions(symbol: str) -> Rows:
    return Rows(channel="predictions", make=partial(_prediction, symbol))


def _prediction(symbol: str, event: int) -> list[dict[str, Any]]:
    return [{"key": symbol, "data": numbered.prediction(symbol, event)}]


def _signal(event: int) -> list[dict[str, Any]]:
    return [{"key": "SIGNAL", "data": numbered.signal("SIGNAL", event)}]


def _prices(event: int) -> list[dict[str, Any]]:
    last = event * len(PRICED.symbols)
    numbers = range(last - len(PRICED.symbols) + 1, last + 1)
    return [{"key": PRICED.symbol(number), "data": numbered.price(number)} for number in numbers]
