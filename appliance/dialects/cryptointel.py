"""The cryptointel dialect, which is the appliance's own protocol: client texts to commands, events to texts.

It has two forms. A client that subscribes with a list `channels` is answered as the document says; one that
subscribes with `channel` and `params` is answered as the client library in circulation understands, with each
content under `data`. `docs/protocol.md` describes both.

Must not know sessions, hubs or sockets.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position
from appliance.dialects.commands import Authenticate, Command, Ping, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.core.events import Entry
    from appliance.core.history import Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint

MOST_NAMES = 1_000
"""Topics and patterns that one message can name: what a client multiplies must not outgrow its message."""

_encode = msgspec.json.Encoder().encode


class Form(enum.Enum):
    """Which of its two forms a client speaks."""

    DOCUMENT = "document"
    LIBRARY = "library"


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=240)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_NAMES)]
Choices = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...],
    msgspec.Meta(max_length=MOST_NAMES),
]
Limit = Annotated[float, msgspec.Meta(ge=0.001, le=1000)]


class _Position(msgspec.Struct):
    epoch: Name
    offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Params(msgspec.Struct):
    symbols: Choices = ()
    types: Choices = ()
    severities: Choices = ()
    markets: Choices = ()


class _Auth(msgspec.Struct, tag="auth"):
    token: Token


class _Ping(msgspec.Struct, tag="ping"):
    pass


class _Subscribe(msgspec.Struct, tag="subscribe"):
    channels: Names | None = None
    channel: Name | None = None
    params: _Params = msgspec.field(default_factory=_Params)
    limit: Limit | None = None
    recover: Annotated[dict[Name, _Position], msgspec.Meta(max_length=MOST_NAMES)] = msgspec.field(
        default_factory=dict
    )


class _Unsubscribe(msgspec.Struct, tag="unsubscribe"):
    channels: Names | None = None
    channel: Name | None = None
    params: _Params = msgspec.field(default_factory=_Params)


_TYPES = "auth, ping, subscribe, unsubscribe"
_decode = msgspec.json.Decoder(_Auth | _Ping | _Subscribe | _Unsubscribe).decode
_decode_anything = msgspec.json.Decoder(dict[str, Any]).decode


def parse(text: str | bytes) -> Command:
    """Turn a client's text into a command; a `RequestError` says what is wrong, where, and what is right."""
    if isinstance(text, bytes):
        raise RequestError(ErrorCode.INVALID_MESSAGE, "Messages are JSON texts; this one was binary")
    try:
        message = _decode(text)
    except RecursionError:
        raise RequestError(ErrorCode.INVALID_MESSAGE, "The message is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise RequestError(ErrorCode.INVALID_MESSAGE, _explain(text, error)) from None
    except msgspec.DecodeError as error:
        raise RequestError(ErrorCode.INVALID_MESSAGE, f"The message is not JSON: {error}") from None
    match message:
        case _Auth(token):
            return Authenticate(token)
        case _Subscribe():
            form, label, names = _names(message)
            recover = {name: Position(at.epoch, at.offset) for name, at in message.recover.items()}
            return Subscribe(form=form, names=names, label=label, limit=message.limit, recover=recover)
        case _Unsubscribe():
            form, label, names = _names(message)
            whole = form is Form.LIBRARY and message.params == _Params()
            return Unsubscribe(form=form, names=() if whole else names, label=label)
        case _:
            return Ping()


def _explain(text: str, error: msgspec.ValidationError) -> str:
    try:
        kind = _decode_anything(text).get("type")
    except msgspec.ValidationError as misfit:
        return f"A message is a JSON object with a `type` ({_TYPES}): {misfit}"
    except RecursionError:
        return "The message is nested too deeply"
    except msgspec.DecodeError as malformed:
        return f"The message is not JSON: {malformed}"
    if not isinstance(kind, str):
        return f"The message has no `type`: {_TYPES}"
    if kind not in _TYPES.split(", "):
        return f"Unknown message type {kind[:100]!r}; known are {_TYPES}"
    return f"Malformed {kind} message: {error}"


def _names(message: _Subscribe | _Unsubscribe) -> tuple[Form, str | None, tuple[str, ...]]:
    """Give the form, the label and the topics that a message names."""
    if (message.channels is None) == (message.channel is None):
        raise RequestError(
            ErrorCode.INVALID_MESSAGE, "Name either a list `channels` or one `channel` with `params`"
        )
    if message.channels is not None:
        if not message.channels:
            raise RequestError(ErrorCode.INVALID_MESSAGE, "`channels` is empty: name at least one")
        return Form.DOCUMENT, None, tuple(dict.fromkeys(message.channels))
    channel = message.channel or ""
    return Form.LIBRARY, channel, tuple(dict.fromkeys(_library_names(channel, message.params)))


def _library_names(channel: str, params: _Params) -> Iterable[str]:
    """Give the topics for what the library calls a channel; they do not overlap, so nothing comes twice."""
    match channel:
        case "prices":
            return _each("price", params.symbols)
        case "market_data":
            return _each("market", params.markets)
        case "signals":
            return _signals(params.types, params.severities)
        case _ if ":" in channel:
            return (channel,)
        case _:
            return _each(channel, params.symbols)


def _each(channel: str, keys: tuple[str, ...]) -> Iterable[str]:
    return (f"{channel}:{key}" for key in keys or ("*",))


def _signals(types: tuple[str, ...], severities: tuple[str, ...]) -> Iterable[str]:
    if len(types) * len(severities) > MOST_NAMES:
        raise RequestError(
            ErrorCode.INVALID_MESSAGE,
            f"{len(types)} types with {len(severities)} severities are over {MOST_NAMES} channels:"
            " subscribe in several messages",
        )
    kinds = [f"type:{kind}" for kind in types]
    grades = [f"severity:{grade}" for grade in severities]
    both = [f"{kind}:{grade}" for kind in kinds for grade in grades]
    return (f"signals:{key}" for key in both or kinds or grades or ("all",))


# Events to texts: each of these gives a function that makes the text of one entry, with all that can be done
# beforehand done.

_LIBRARY_TYPES = {"signal_alert": "signal_notification"}


def update(form: Form, topic: Topic, label: str) -> Callable[[Entry], bytes]:
    """Make the function that turns an entry of `topic` into the text of its message."""
    kind = topic.message if form is Form.DOCUMENT else _LIBRARY_TYPES.get(topic.message, topic.message)
    head = b'{"type":' + _encode(kind) + b',"channel":' + _encode(label)
    if form is Form.LIBRARY:
        head += b',"topic":' + _encode(topic.name)
    head += b',"offset":'

    def render(entry: Entry) -> bytes:
        return b'%b%d,"data":%b}' % (head, entry.offset, entry.body)

    return render


def gap(form: Form, topic: Topic, label: str) -> Callable[[int, int], bytes]:
    """Make the function that says which offsets of `topic` a client will not get."""

    def render(first: int, last: int) -> bytes:
        content = {"channel": label, "from": first, "to": last, "reason": "conflated"}
        if form is Form.LIBRARY:
            return _encode({"type": "gap", "data": {**content, "topic": topic.name}})
        return _encode({"type": "gap", **content})

    return render


def authenticated(name: str) -> bytes:
    return _encode({"type": "authenticated", "data": {"name": name}})


def subscribed(form: Form, label: str | None, joined: Iterable[Joined], patterns: Iterable[str]) -> bytes:
    """Answer a subscription with the position that each topic is read from."""
    positions = [_position(form, reading) for reading in joined]
    content: dict[str, Any] = {"channels": positions}
    if names := list(patterns):
        content["patterns"] = names
    if form is Form.LIBRARY:
        return _encode({"type": "subscription_success", "data": {"channel": label, **content}})
    return _encode({"type": "subscribed", **content})


def _position(form: Form, reading: Joined) -> dict[str, Any]:
    topic = reading.topic
    position: dict[str, Any] = {
        "channel": topic.name if form is Form.LIBRARY else reading.label,
        "mode": topic.mode,
        "epoch": topic.epoch,
        "offset": reading.offset,
    }
    if reading.pattern is not None:
        position["pattern"] = reading.pattern
    if reading.limit is not None:
        position["limit"] = reading.limit
    if reading.resumption is not None:
        position["recovered"] = reading.resumption.recovered
        if reading.resumption.gap is not None:
            position["gap"] = dict(zip(("from", "to"), reading.resumption.gap, strict=True))
    return position


def unsubscribed(form: Form, label: str | None, names: Iterable[str]) -> bytes:
    if form is Form.LIBRARY:
        return _encode(
            {"type": "unsubscription_success", "data": {"channel": label, "channels": list(names)}}
        )
    return _encode({"type": "unsubscribed", "channels": list(names)})


def notice(form: Form, label: str, *, stale: bool, since: str) -> bytes:
    """Say that a channel has been silent for too long, or no longer."""
    content = {"channel": label, "since": since}
    kind = "stale" if stale else "fresh"
    return _encode({"type": kind, "data": content} if form is Form.LIBRARY else {"type": kind, **content})


def pong(form: Form | None, timestamp: str) -> bytes:
    if form is Form.LIBRARY:
        return _encode({"type": "pong", "data": {"timestamp": timestamp}})
    return b'{"type":"pong"}'


def error(form: Form | None, code: ErrorCode, message: str, complaint: Complaint) -> bytes:
    """Say what a client did wrong, or what has become of its session; in both forms while its own is not known."""
    content: dict[str, Any] = {"code": code, "message": message, "timestamp": complaint.timestamp}
    if complaint.retry_after is not None:
        content["retry_after"] = round(complaint.retry_after, 3)
    if complaint.resume:
        content["resume"] = {
            name: {"epoch": epoch, "offset": offset} for name, (epoch, offset) in complaint.resume.items()
        }
    if complaint.label is not None:
        content = {"channel": complaint.label, **content}
    if form is None:
        return _encode({"type": "error", "error": content, "data": content})
    if form is Form.DOCUMENT:
        return _encode({"type": "error", "error": content})
    return _encode({"type": "error" if complaint.label is None else "subscription_error", "data": content})
