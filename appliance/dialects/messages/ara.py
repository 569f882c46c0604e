"""The messages of the ara dialect as types: what a client may say on each of its paths, and what it is told.

Must not know what a message asks for, nor when one is told.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from appliance.core import topics

MOST_CHOICES = 1_000
"""Symbols and types that one configuration of alerts can name, of each."""

Stamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment as it is told: RFC 3339 in UTC."""
Choices = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=topics.MOST_CHARACTERS)], ...],
    msgspec.Meta(max_length=MOST_CHOICES),
]


# What a client says.


class Ping(msgspec.Struct, tag="ping"):
    """Asks for a sign of life."""


class Pong(msgspec.Struct, tag="pong"):
    """Gives a sign of life."""


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Takes this symbol instead of the one before."""

    symbol: str


class RequestPrediction(msgspec.Struct, tag="request_prediction"):
    """Asks for a prediction now; without `symbol`, of the one that is subscribed to."""

    symbol: str | None = None


class Config(msgspec.Struct):
    """Which alerts a client wants, the least severity as `min_severity` or `severity`."""

    symbols: Choices | None = None
    types: Choices | None = None
    min_severity: str | None = None
    severity: str | None = None


class ConfigureAlerts(msgspec.Struct, tag="configure_alerts"):
    """Says which alerts the client wants."""

    config: dict[str, Any]


SaidOfPredictions: TypeAlias = Pong | Ping | Subscribe | RequestPrediction
SaidOfMarketData: TypeAlias = Pong | Ping | Subscribe
SaidOfAlerts: TypeAlias = Pong | Ping | ConfigureAlerts


# What it is told.


class Connected(msgspec.Struct, tag="connected", kw_only=True):
    """The connection stands."""

    channel: str
    symbol: str | msgspec.UnsetType = msgspec.UNSET
    connection_id: str
    timestamp: Stamp
    message: str


class PingTold(msgspec.Struct, tag="ping"):
    """Asks the client for a sign of life."""

    timestamp: Stamp


class PongTold(msgspec.Struct, tag="pong"):
    """The answer to a ping."""


class Subscribed(msgspec.Struct, tag="subscribed"):
    """This symbol is now told of."""

    symbol: str
    timestamp: Stamp


class PredictionRequested(msgspec.Struct, tag="prediction_requested"):
    """A prediction is being made, and follows."""

    symbol: str
    status: Literal["processing"]
    timestamp: Stamp
    message: str


class Configured(msgspec.Struct):
    """Which alerts come."""

    symbols: list[str]
    types: list[str]
    min_severity: str | None


class AlertsConfigured(msgspec.Struct, tag="alerts_configured"):
    """The configuration of alerts that now applies."""

    config: Configured
    timestamp: Stamp


class PredictionUpdate(msgspec.Struct, tag="prediction_update"):
    """A prediction."""

    symbol: str
    data: dict[str, Any]
    timestamp: Stamp


class MarketDataUpdate(msgspec.Struct, tag="market_data_update"):
    """A price."""

    symbol: str
    data: dict[str, Any]
    timestamp: Stamp


class Alert(msgspec.Struct, tag="alert"):
    """An alert."""

    data: dict[str, Any]
    timestamp: Stamp


class Error(msgspec.Struct, tag="error"):
    """What is wrong, and what is right."""

    message: str
    timestamp: Stamp


_Told: TypeAlias = tuple[type[msgspec.Struct], ...]
_ON_EACH_PATH: _Told = (Connected, PingTold, PongTold, Error)
TOLD_OF_PREDICTIONS: _Told = (*_ON_EACH_PATH, Subscribed, PredictionRequested, PredictionUpdate)
TOLD_OF_MARKET_DATA: _Told = (*_ON_EACH_PATH, Subscribed, MarketDataUpdate)
TOLD_OF_ALERTS: _Told = (*_ON_EACH_PATH, AlertsConfigured, Alert)
