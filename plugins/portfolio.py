"""The channel `portfolio`: positions, cash and profit of each account, `portfolio:paper`.

Must not know who trades in it.
"""

from __future__ import annotations

import msgspec

from appliance.api import Channel, History, Mode, hookimpl


class Position(msgspec.Struct, kw_only=True):
    symbol: str
    quantity: float
    average_price: float | None = None
    market_price: float | None = None
    market_value: float | None = None
    unrealized_pnl: float | None = None
    unrealized_pnl_pct: float | None = None


class Portfolio(msgspec.Struct, kw_only=True):
    positions: dict[str, Position]
    cash: float | None = None
    equity: float | None = None
    realized_pnl: float | None = None
    total_pnl: float | None = None
    position_count: int | None = None
    timestamp: str | None = None


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="portfolio",
            mode=Mode.STATE,
            message="portfolio_update",
            source="simulated",
            history=History(count=300),
            schema=Portfolio,
        ),
    )
