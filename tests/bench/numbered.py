"""Rows with a number that every dialect shows, so that a client can tell from it what it has missed.

Must not know how a row travels, nor in which words a client is told of it. Rows of prices are numbered across all
symbols, which have their turns, so that what changed between two messages follows from the newest number of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection

Data: TypeAlias = dict[str, Any]


@attrs.frozen
class Turns:
    """The numbers 1, 2, 3… go to the symbols in turn."""

    symbols: tuple[str, ...]

    def symbol(self, number: int) -> str:
        return self.symbols[(number - 1) % len(self.symbols)]

    def count(self, number: int) -> int:
        """Tell which of its own symbol's numbers this is: its first, its second…"""
        return (number - 1) // len(self.symbols) + 1

    def changed(self, after: int, until: int, chosen: Collection[str] | None = None) -> dict[str, int]:
        """Give the newest number of each chosen symbol (none: of all) that had its turn since `after`."""
        oldest = max(after, until - len(self.symbols))
        newest = {self.symbol(number): number for number in range(oldest + 1, until + 1)}
        return {symbol: number for symbol, number in newest.items() if chosen is None or symbol in chosen}

    def newest(self, until: int, chosen: Collection[str]) -> int:
        """Give the newest number that went to one of these symbols."""
        return max(self.changed(0, until, chosen).values())


def price(number: int) -> Data:
    return {
        "price": number,
        "change": 0.5,
        "change_pct": 0.33,
        "volume": 1_000_000,
        "high": 151.0,
        "low": 149.5,
        "open": 150.0,
        "close": 150.25,
    }


def prediction(symbol: str, number: int) -> Data:
    """The symbol is the model's version, too: some dialects show no other."""
    return {
        "symbol": symbol,
        "current_price": number,
        "predicted_1min": 50_010.25,
        "predicted_5min": 50_050.5,
        "predicted_15min": 50_125.42,
        "confidence_1min": 0.91,
        "confidence_5min": 0.85,
        "confidence_15min": 0.78,
        "model_version": symbol,
    }


def signal(symbol: str, number: int) -> Data:
    return {
        "signal_type": "BUY",
        "symbol": symbol,
        "price": 150.25,
        "quantity": number,
        "confidence": 0.5,
        "timestamp": "2024-12-19T12:00:00Z",
    }


def trade(symbol: str, number: int) -> Data:
    return {
        "symbol": symbol,
        "side": "BUY",
        "quantity": number,
        "price": 150.25,
        "timestamp": "2024-12-19T12:00:00Z",
    }


def alert(symbol: str, number: int) -> Data:
    return {
        "type": "price_alert",
        "symbol": symbol,
        "message": f"{symbol} moved for the {number}. time",
        "severity": "high",
        "number": number,
    }


def portfolio(symbol: str, number: int) -> Data:
    held = {"symbol": symbol, "quantity": 10, "average_price": 150.25, "market_price": 151.5}
    return {"positions": {symbol: held}, "total_pnl": number, "position_count": 1}
