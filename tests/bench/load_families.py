"""How the messages of each family are read: to which topic one belongs, and which number of it.

Must not know sockets or frames, nor where a client stands. Rows are those of `numbered`, in every family. What is no
message of a family is refused, above all one of another family: but that cryptointel's may hear those of trading, with
whom they share a path, until it is known whose they are.
"""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.bench.load_digests import Digest
from tests.bench.load_offsets import Said, own

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.numbered import Turns

    Parse: TypeAlias = Callable[[bytes], Said]

PRICES, PORTFOLIO = "prices", "portfolio"
"""The streams of digests of a trading client."""
ACCOUNT = "paper"
"""The only portfolio: its numbers all go to it."""

_PONG = json.dumps({"type": "pong"})
_OF_TRADING = frozenset({"price_update", "portfolio_update", "signal", "trade_executed"})


def family(name: str, turns: Turns) -> Parse:
    """Give the reader of a family's messages; `turns` are those of the prices that are published."""
    return partial(_FAMILIES[name], turns)


def _cryptointel(turns: Turns, payload: bytes) -> Said:
    said = own(payload)
    if said.topic is None:
        # Whoever has said nothing on the path that they share is a client of trading.
        if said.type in _OF_TRADING:
            return Said(said.type, foreign=True)
        return _one_of(said, "subscribed", "error", "pong")
    if said.topic.startswith("price:") and said.type == "price_update":
        _expect((said.topic, said.offset), _price(turns, json.loads(payload)["data"]))
    return said


def _data_ws(_turns: Turns, payload: bytes) -> Said:
    row = json.loads(payload)
    return Said("row", f"predictions:{row['model_version']}", offset=int(row["current_price"]))


def _ara(turns: Turns, payload: bytes) -> Said:
    message = json.loads(payload)
    kind, symbol, data = message["type"], message.get("symbol"), message.get("data", {})
    match kind:
        case "ping":
            return Said(kind, reply=_PONG)
        case "prediction_update":
            _expect(symbol, data["model_version"])
            return Said(kind, f"predictions:{symbol}", offset=int(data["current_price"]))
        case "market_data_update":
            topic, offset = _price(turns, data)
            _expect(f"price:{symbol}", topic)
            return Said(kind, topic, offset=offset)
        case "alert":
            return Said(kind, "alerts:all", offset=int(data["number"]))
        case "error":
            return Said(f"error {message['message']}")
        case _:
            return _one_of(Said(kind), "connected")


def _trading(_turns: Turns, payload: bytes) -> Said:
    message = json.loads(payload)
    kind = message["type"]
    match kind:
        case "signal":
            return Said(kind, "signals:all", offset=int(message["quantity"]))
        case "trade_executed":
            return Said(kind, "trades:all", offset=int(message["quantity"]))
        case "price_update":
            numbers = {symbol: int(told["price"]) for symbol, told in message["symbols"].items()}
            return Said(kind, digest=Digest(PRICES, _moment(message), numbers))
        case "portfolio_update":
            numbers = {ACCOUNT: int(message["data"]["total_pnl"])}
            return Said(kind, digest=Digest(PORTFOLIO, _moment(message), numbers))
        case "error":
            return Said(f"error {message['error']}")
        case _:
            return _one_of(Said(kind), "pong")


_FAMILIES: Mapping[str, Callable[[Turns, bytes], Said]] = {
    "cryptointel": _cryptointel,
    "data-ws": _data_ws,
    "ara": _ara,
    "trading": _trading,
}
FAMILIES = tuple(_FAMILIES)


def _price(turns: Turns, data: Mapping[str, Any]) -> tuple[str, int]:
    number = int(data["price"])
    return f"price:{turns.symbol(number)}", turns.count(number)


def _one_of(said: Said, *kinds: str) -> Said:
    if said.type.partition(" ")[0] not in kinds:
        raise ValueError(f"{said.type} is told to other families")
    return said


def _expect(expected: object, found: object) -> None:
    if found != expected:
        raise ValueError(f"{found} where {expected} is due")


def _moment(message: Mapping[str, Any]) -> float:
    return dt.datetime.fromisoformat(message["timestamp"]).timestamp()
