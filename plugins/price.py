"""The channel `price`: the latest price of each symbol, `price:BTC`.

Must not know where prices come from: a row needs no more than a price.
"""

from __future__ import annotations

import msgspec

from appliance.api import Channel, Mode, hookimpl


class Price(msgspec.Struct, kw_only=True):
    """`change` and `change_pct` are since the day's open, `change_24h` is in percent."""

    price: float
    symbol: str | None = None
    change: float | None = None
    change_pct: float | None = None
    change_24h: float | None = None
    volume: float | None = None
    volume_24h: float | None = None
    high: float | None = None
    low: float | None = None
    open: float | None = None
    close: float | None = None
    timestamp: str | None = None


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (Channel(name="price", mode=Mode.STATE, message="price_update", source="simulated", schema=Price),)
