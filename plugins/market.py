"""The channel `market`: the market as a whole, in `market:summary`, `market:volume` and `market:sentiment`.

Must not know which symbols there are.
"""

from __future__ import annotations

import msgspec

from appliance.api import Channel, Mode, hookimpl


class Market(msgspec.Struct, kw_only=True):
    """All three topics carry the summary; the last fields are those of `volume` and of `sentiment`."""

    total_market_cap: float | None = None
    total_volume_24h: float | None = None
    bitcoin_dominance: float | None = None
    active_cryptocurrencies: int | None = None
    timestamp: str | None = None
    volume_by_symbol: dict[str, float] | None = None
    top_symbol: str | None = None
    top_share: float | None = None
    sentiment: str | None = None
    sentiment_score: float | None = None
    fear_greed_index: int | None = None
    rising: int | None = None
    falling: int | None = None
    average_change_24h: float | None = None


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="market",
            mode=Mode.STATE,
            message="market_data",
            source="simulated",
            topics=("summary", "volume", "sentiment"),
            schema=Market,
        ),
    )
