"""The trading-stream dialect: client texts to commands, what a client has chosen, events to texts.

Must not know sessions, hubs or sockets, nor how often prices are told.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import msgspec

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.dialects.commands import Ping
from appliance.dialects.messages import trading as messages
from appliance.dialects.messages.trading import MOST_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from appliance.core.events import Entry

_encode = msgspec.json.Encoder().encode


class Channel(enum.StrEnum):
    """What a client can subscribe to."""

    PRICES = "price_updates"
    SIGNALS = "signals"
    TRADES = "trades"
    PORTFOLIO = "portfolio"


# Client texts to commands.


@attrs.frozen
class Subscribe:
    """No `symbols`: all of them."""

    channel: Channel
    symbols: frozenset[str] | None = None


@attrs.frozen
class Unsubscribe:
    """No `symbols`: the whole channel."""

    channel: Channel
    symbols: frozenset[str] | None = None


Command: TypeAlias = Ping | Subscribe | Unsubscribe

_TYPES = "ping, subscribe, unsubscribe"
_decode = msgspec.json.Decoder(messages.Said).decode
_decode_anything = msgspec.json.Decoder(dict[str, Any]).decode


def parse(text: str | bytes) -> Command:
    """Turn a client's text into a command; a `RequestError` says what is wrong, where, and what is right."""
    if isinstance(text, bytes):
        raise _refusal("messages are JSON texts; this one was binary")
    try:
        message = _decode(text)
    except RecursionError:
        raise _refusal("the message is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise _refusal(_explain(text, error)) from None
    except msgspec.DecodeError as error:
        raise _refusal(f"the message is not JSON: {error}") from None
    match message:
        # An empty list comes from a client that has none to name, and means the same as no list.
        case messages.Subscribe(channel, symbols):
            return Subscribe(_channel(channel), symbols or None)
        case messages.Unsubscribe(channel, symbols):
            return Unsubscribe(_channel(channel), symbols or None)
        case _:
            return Ping()


def _refusal(problem: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_MESSAGE, f"Invalid message format: {problem}")


def _explain(text: str, error: msgspec.ValidationError) -> str:
    try:
        kind = _decode_anything(text).get("type")
    except msgspec.ValidationError as misfit:
        return f"a message is a JSON object with a `type` ({_TYPES}): {misfit}"
    except RecursionError:
        return "the message is nested too deeply"
    except msgspec.DecodeError as malformed:
        return f"the message is not JSON: {malformed}"
    if not isinstance(kind, str):
        return f"the message has no `type`: {_TYPES}"
    if kind not in _TYPES.split(", "):
        return f"unknown message type {kind[:100]!r}; known are {_TYPES}"
    return f"malformed {kind} message: {error}"


def _channel(name: str) -> Channel:
    try:
        return Channel(name)
    except ValueError:
        raise _refusal(f"unknown channel {name[:100]!r}; known are {', '.join(Channel)}") from None


# What a client has chosen.


@attrs.frozen
class Choice:
    """All symbols but those named, or (without `others`) those named. Choices that mean the same are equal."""

    symbols: frozenset[str] = frozenset()
    others: bool = True

    def admits(self, symbol: str) -> bool:
        return (symbol in self.symbols) is not self.others

    def add(self, symbols: frozenset[str] | None) -> Choice:
        if symbols is None:
            return EVERYTHING
        if self.others:
            return Choice(self.symbols - symbols)
        return Choice(self.symbols | symbols, others=False)

    def remove(self, symbols: frozenset[str] | None) -> Choice | None:
        """Nothing: when no symbol is left."""
        if symbols is None:
            return None
        if self.others:
            return Choice(self.symbols | symbols)
        left = self.symbols - symbols
        return Choice(left, others=False) if left else None


EVERYTHING = Choice()


def only(symbols: frozenset[str] | None) -> Choice:
    """Choose the symbols named, or all."""
    return EVERYTHING if symbols is None else Choice(symbols, others=False)


@attrs.frozen
class Selection:
    """What a client is subscribed to: everything, automatically, until its first `subscribe` replaces that.

    An `unsubscribe` before it takes away from the automatic subscription, and leaves it automatic.
    """

    choices: Mapping[Channel, Choice] = attrs.field(factory=lambda: dict.fromkeys(Channel, EVERYTHING))
    automatic: bool = True

    def apply(self, command: Subscribe | Unsubscribe) -> Selection:
        channel, symbols = command.channel, command.symbols
        choices: dict[Channel, Choice] = dict(self.choices)
        match command:
            case Subscribe():
                if self.automatic:
                    choices.clear()
                before = choices.get(channel)
                choices[channel] = only(symbols) if before is None else before.add(symbols)
                selection = Selection(choices, automatic=False)
            case Unsubscribe():
                before = choices.pop(channel, None)
                left = None if before is None else before.remove(symbols)
                if left is not None:
                    choices[channel] = left
                selection = Selection(choices, self.automatic)
        if channel in choices and len(choices[channel].symbols) > MOST_SYMBOLS:
            raise _refusal(f"more than {MOST_SYMBOLS} symbols of {channel}: leave out `symbols` to name all")
        return selection


# Events to texts. Data that does not fit the document gives an empty text: there is nothing to say of it.

_MISFIT = (msgspec.ValidationError, RecursionError)

# Not strict: decimals stand in an event as texts, and reach the client as numbers.
_decode_price = msgspec.json.Decoder(messages.Price, strict=False).decode
_decode_portfolio = msgspec.json.Decoder(messages.Portfolio, strict=False).decode


def price(body: bytes) -> bytes:
    """Give what a `price_update` says of one symbol."""
    try:
        return _encode(_decode_price(body))
    except _MISFIT:
        return b""


def price_update(parts: Iterable[tuple[str, bytes]], moment: str) -> bytes:
    """Join what is said of each symbol, as `price` gives it."""
    symbols = b",".join([b"%b:%b" % (_encode(symbol), part) for symbol, part in parts])
    return b'{"type":"price_update","symbols":{%b},"timestamp":%b}' % (symbols, _encode(moment))


def portfolio(body: bytes, choice: Choice) -> bytes:
    """Give the `data` of a `portfolio_update`: the chosen positions; the sums are those of the whole account."""
    try:
        account = _decode_portfolio(body)
    except _MISFIT:
        return b""
    positions = account.positions
    if account.position_count is None:
        account.position_count = len(positions)
    account.positions = {symbol: held for symbol, held in positions.items() if choice.admits(symbol)}
    return _encode(account)


def portfolio_update(data: bytes, moment: str) -> bytes:
    return b'{"type":"portfolio_update","channel":"portfolio","timestamp":%b,"data":%b}' % (
        _encode(moment),
        data,
    )


Kind: TypeAlias = Literal["signal", "trade"]
_DATA: Mapping[Kind, tuple[bytes, type[messages.SignalData | messages.TradeData]]] = {
    "signal": (b'{"type":"signal",', messages.SignalData),
    "trade": (b'{"type":"trade_executed",', messages.TradeData),
}


def update(kind: Kind, choice: Choice) -> Callable[[Entry], bytes]:
    """Make the function that turns an entry into a text of its own; an empty one when it was not chosen."""
    head, data = _DATA[kind]
    decode = msgspec.json.Decoder(data, strict=False).decode

    def render(entry: Entry) -> bytes:
        try:
            event = decode(entry.body)
        except _MISFIT:
            return b""
        if not choice.admits(event.symbol):
            return b""
        if event.timestamp is None:
            event.timestamp = timestamp(entry.at)
        return head + _encode(event)[1:]

    return render


def pong() -> bytes:
    return _encode(messages.Pong())


def error(message: str, moment: str) -> bytes:
    return _encode(messages.Error(message, moment))
