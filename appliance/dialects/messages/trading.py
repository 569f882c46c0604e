"""The messages of the trading-stream dialect as types: what a client may say, and what it is told.

Must not know what a message asks for, nor when one is told.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

MOST_SYMBOLS = 1_000
"""Symbols that one message can name, and that a client's choice of one channel can be made of."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=240)]
Symbols = Annotated[frozenset[Name], msgspec.Meta(max_length=MOST_SYMBOLS)]
Stamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment as it is told: RFC 3339 in UTC."""
Number: TypeAlias = int | float


# What a client says.


class Ping(msgspec.Struct, tag="ping"):
    """Asks for a sign of life."""


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Reads a channel: `price_updates`, `signals`, `trades` or `portfolio`; without `symbols`, all of them.

    The first one replaces the automatic subscription to everything.
    """

    channel: Name
    symbols: Symbols | None = None


class Unsubscribe(msgspec.Struct, tag="unsubscribe"):
    """Reads these symbols no longer; without `symbols`, the channel."""

    channel: Name
    symbols: Symbols | None = None


Said: TypeAlias = Ping | Subscribe | Unsubscribe


# What it is told.


class Price(msgspec.Struct, omit_defaults=True):
    price: Number
    change: Number | None = None
    change_pct: Number | None = None
    volume: Number | None = None
    high: Number | None = None
    low: Number | None = None
    open: Number | None = None
    close: Number | None = None


class PriceUpdate(msgspec.Struct, tag="price_update"):
    """Every symbol whose price has changed since the last one."""

    symbols: dict[str, Price]
    timestamp: Stamp


class SignalData(msgspec.Struct, kw_only=True, omit_defaults=True):
    signal_type: str | None = None
    symbol: str
    price: Number | None = None
    quantity: Number | None = None
    confidence: Number | None = None
    timestamp: str | None = None


class Signal(SignalData, tag="signal"):
    """A signal to buy or sell."""


class TradeData(msgspec.Struct, omit_defaults=True):
    symbol: str
    side: str
    quantity: Number
    price: Number
    timestamp: str | None = None


class Trade(TradeData, tag="trade_executed"):
    """A trade that was executed."""


class Position(msgspec.Struct, omit_defaults=True):
    symbol: str
    quantity: Number
    average_price: Number | None = None
    market_price: Number | None = None
    unrealized_pnl: Number | None = None
    unrealized_pnl_pct: Number | None = None


class Portfolio(msgspec.Struct, omit_defaults=True):
    positions: dict[str, Position]
    total_pnl: Number | None = None
    position_count: int | None = None


class PortfolioUpdate(msgspec.Struct, tag="portfolio_update"):
    """What an account holds."""

    channel: Literal["portfolio"]
    timestamp: Stamp
    data: Portfolio


class Pong(msgspec.Struct, tag="pong"):
    """The answer to a ping."""


class Error(msgspec.Struct, tag="error"):
    """What is wrong, and what is right."""

    error: str
    timestamp: Stamp


TOLD: tuple[type[msgspec.Struct], ...] = (PriceUpdate, Signal, Trade, PortfolioUpdate, Pong, Error)
