"""The channel `predictions`: what a model expects of each symbol, `predictions:BTC`.

Must not know the model: a row may have three horizons, one prediction without a horizon, or both.
"""

from __future__ import annotations

import msgspec

from appliance.api import Channel, Mode, hookimpl


class Prediction(msgspec.Struct, kw_only=True):
    symbol: str | None = None
    time: str | None = None
    current_price: float | None = None
    predicted_1min: float | None = None
    predicted_5min: float | None = None
    predicted_15min: float | None = None
    confidence_1min: float | None = None
    confidence_5min: float | None = None
    confidence_15min: float | None = None
    model_version: str | None = None
    predicted_price: float | None = None
    confidence: float | None = None
    timestamp: str | None = None


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="predictions",
            mode=Mode.STATE,
            message="prediction_update",
            source="simulated",
            schema=Prediction,
        ),
    )
