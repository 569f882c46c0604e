"""The ara dialect: the paths of a symbol's predictions, its market data, and of alerts, with their messages.

Must not know sessions, hubs or sockets. Symbols are upper-cased wherever they come in.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import msgspec

from appliance.core import instants, topics
from appliance.core.errors import ErrorCode, RequestError
from appliance.dialects.commands import Ping
from appliance.dialects.messages import ara as messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from appliance.core.events import Entry

_encode = msgspec.json.Encoder().encode


class Kind(enum.StrEnum):
    """What a path gives; also what `connected` calls its `channel`."""

    PREDICTIONS = "predictions"
    MARKET_DATA = "market-data"
    ALERTS = "alerts"


_CHANNELS = {Kind.PREDICTIONS: "predictions", Kind.MARKET_DATA: "price", Kind.ALERTS: "alerts"}


@attrs.frozen
class Route:
    """Where a path leads; alerts have no symbol."""

    kind: Kind
    symbol: str | None = None

    @property
    def channel(self) -> str:
        """The channel of its topics, which is not what the dialect calls a channel."""
        return _CHANNELS[self.kind]


_PATH = re.compile(r"/ws/(?:(alerts)|(predictions|market-data)/([^/?#]+))")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def route(path: str) -> Route | None:
    """Find where a path leads, given as it stands in the request: with its escapes and without the query."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    alerts, kind, escaped = found.groups()
    if alerts is not None:
        return Route(Kind.ALERTS)
    symbol = _unescaped(escaped).upper()
    return Route(Kind(kind), symbol) if topics.is_key(symbol) else None


def _unescaped(text: str) -> str:
    """Undo percent-encoding; what is broken gives nothing, where `urllib` would guess."""
    if _BROKEN_ESCAPE.search(text):
        return ""
    try:
        return _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), text.encode()).decode()
    except UnicodeError:
        return ""


class Severity(enum.IntEnum):
    """How grave an alert is, in rising order."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


_SEVERITIES = {severity.name.lower(): severity for severity in Severity}


def _upper(symbols: Iterable[str]) -> frozenset[str]:
    return frozenset(symbol.upper() for symbol in symbols)


def _as_they_are(types: Iterable[str]) -> frozenset[str]:
    return frozenset(types)


@attrs.frozen(kw_only=True)
class AlertConfig:
    """Which alerts a client wants. No symbols or types: any. Equal when it means the same."""

    symbols: frozenset[str] = attrs.field(default=frozenset(), converter=_upper)
    types: frozenset[str] = attrs.field(default=frozenset(), converter=_as_they_are)
    min_severity: Severity | None = None

    def admits(self, alert: Mapping[str, Any]) -> bool:
        """Whether a client wants this alert; what is asked for and the alert does not say, it does not have."""
        if self.symbols and _text(alert, "symbol").upper() not in self.symbols:
            return False
        if self.types and _text(alert, "type") not in self.types:
            return False
        if self.min_severity is None:
            return True
        severity = _SEVERITIES.get(_text(alert, "severity").lower())
        return severity is not None and severity >= self.min_severity

    def told(self) -> dict[str, Any]:
        """Give it as a client could have written it."""
        least = None if self.min_severity is None else self.min_severity.name.lower()
        return {"symbols": sorted(self.symbols), "types": sorted(self.types), "min_severity": least}


def _text(alert: Mapping[str, Any], field: str) -> str:
    value = alert.get(field)
    return value if isinstance(value, str) else ""


# Texts to commands.


@attrs.frozen
class Pong:
    pass


@attrs.frozen
class Subscribe:
    """Take this symbol instead of the one before."""

    symbol: str


@attrs.frozen
class RequestPrediction:
    """No `symbol`: the one that the client is subscribed to."""

    symbol: str | None = None


@attrs.frozen
class ConfigureAlerts:
    config: AlertConfig


Command: TypeAlias = Ping | Pong | Subscribe | RequestPrediction | ConfigureAlerts


_TYPES = {
    Kind.PREDICTIONS: ("pong", "ping", "subscribe", "request_prediction"),
    Kind.MARKET_DATA: ("pong", "ping", "subscribe"),
    Kind.ALERTS: ("pong", "ping", "configure_alerts"),
}
_decode = {
    Kind.PREDICTIONS: msgspec.json.Decoder(messages.SaidOfPredictions).decode,
    Kind.MARKET_DATA: msgspec.json.Decoder(messages.SaidOfMarketData).decode,
    Kind.ALERTS: msgspec.json.Decoder(messages.SaidOfAlerts).decode,
}
_decode_anything = msgspec.json.Decoder(dict[str, Any]).decode
_INVALID_JSON = "Invalid JSON format"


def parse(kind: Kind, text: str | bytes) -> Command:
    """Turn a client's text into a command; a `RequestError` says what is wrong, where, and what is right."""
    if isinstance(text, bytes):
        raise _refusal("Messages are JSON texts; this one was binary")
    try:
        message = _decode[kind](text)
    except RecursionError:
        raise _refusal("The message is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise _refusal(_explain(kind, text, error)) from None
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise _refusal(_INVALID_JSON) from None
    match message:
        case messages.Pong():
            return Pong()
        case messages.Subscribe(symbol):
            return Subscribe(_symbol(symbol))
        case messages.RequestPrediction(symbol):
            return RequestPrediction(None if symbol is None else _symbol(symbol))
        case messages.ConfigureAlerts(config):
            return ConfigureAlerts(_config(config))
        case _:
            return Ping()


def _refusal(message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_MESSAGE, message)


def _explain(kind: Kind, text: str, error: msgspec.ValidationError) -> str:
    known = ", ".join(_TYPES[kind])
    try:
        named = _decode_anything(text).get("type")
    except msgspec.ValidationError as misfit:
        return f"A message is a JSON object with a `type` ({known}): {misfit}"
    except RecursionError:
        return "The message is nested too deeply"
    except msgspec.DecodeError:
        return _INVALID_JSON
    if not isinstance(named, str):
        return f"A message needs a `type`: {known}"
    if named not in _TYPES[kind]:
        return f"Unknown message type: {named[:100]}"
    return f"Malformed {named} message: {error}"


def _symbol(text: str) -> str:
    symbol = text.upper()
    if not topics.is_key(symbol):
        raise _refusal(
            f"{_shown(text)} is no symbol: 1 to {topics.MOST_CHARACTERS} visible characters without `*`"
        )
    return symbol


def _config(given: dict[str, Any]) -> AlertConfig:
    for key in given:
        if key not in messages.Config.__struct_fields__:
            raise _refusal(
                f"Unknown key {_shown(key)} in `config`; known are symbols, types, min_severity (or severity)"
            )
    try:
        config = msgspec.convert(given, messages.Config)
    except msgspec.ValidationError as error:
        raise _refusal(f"Malformed `config`: {error}") from None
    if config.min_severity is not None and config.severity is not None:
        raise _refusal("`severity` is another name for `min_severity`: give one of them")
    least = config.severity if config.min_severity is None else config.min_severity
    return AlertConfig(
        symbols=map(_symbol, config.symbols or ()),
        types=config.types or (),
        min_severity=None if least is None else _severity(least),
    )


def _severity(text: str) -> Severity:
    try:
        return _SEVERITIES[text.lower()]
    except KeyError:
        raise _refusal(f"Unknown severity {_shown(text)}; known are {', '.join(_SEVERITIES)}") from None


def _shown(text: str) -> str:
    return repr(text if len(text) <= topics.MOST_CHARACTERS else f"{text[: topics.MOST_CHARACTERS]}…")


# What is told: answers, and events as functions that make the text of one entry.


def connected(route: Route, connection_id: str, timestamp: str) -> bytes:
    stream = route.kind.replace("-", " ")
    of = "" if route.symbol is None else f" for {route.symbol}"
    return _encode(
        messages.Connected(
            channel=route.kind.value,
            symbol=msgspec.UNSET if route.symbol is None else route.symbol,
            connection_id=connection_id,
            timestamp=timestamp,
            message=f"Connected to the {stream} stream{of}",
        )
    )


def ping(timestamp: str) -> bytes:
    return _encode(messages.PingTold(timestamp))


def pong() -> bytes:
    return _encode(messages.PongTold())


def subscribed(symbol: str, timestamp: str) -> bytes:
    return _encode(messages.Subscribed(symbol, timestamp))


def prediction_requested(symbol: str, timestamp: str) -> bytes:
    message = f"The prediction for {symbol} follows"
    return _encode(messages.PredictionRequested(symbol, "processing", timestamp, message))


def alerts_configured(config: AlertConfig, timestamp: str) -> bytes:
    return _encode(messages.AlertsConfigured(messages.Configured(**config.told()), timestamp))


def error(message: str, timestamp: str) -> bytes:
    return _encode(messages.Error(message, timestamp))


_UPDATES = {Kind.PREDICTIONS: "prediction_update", Kind.MARKET_DATA: "market_data_update"}


def update(kind: Kind, symbol: str) -> Callable[[Entry], bytes]:
    """Make the function that turns an entry of a symbol's topic into the text of its message."""
    head = b'{"type":%b,"symbol":%b,"data":' % (_encode(_UPDATES[kind]), _encode(symbol))

    def render(entry: Entry) -> bytes:
        return b'%b%b,"timestamp":"%b"}' % (head, entry.body, instants.timestamp(entry.at).encode())

    return render


def alert(config: AlertConfig) -> Callable[[Entry], bytes]:
    """Make the function for an entry of alerts; one that the client does not want has an empty text."""
    picky = config != AlertConfig()
    decode = msgspec.json.Decoder(dict[str, Any]).decode

    def render(entry: Entry) -> bytes:
        if picky and not config.admits(decode(entry.body)):
            return b""
        return b'{"type":"alert","data":%b,"timestamp":"%b"}' % (
            entry.body,
            instants.timestamp(entry.at).encode(),
        )

    return render
