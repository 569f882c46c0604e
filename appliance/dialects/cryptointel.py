"""The cryptointel dialect, which is the appliance's own protocol: client texts to commands, events to texts.

It has two forms. A client that subscribes with a list `channels` is answered as the document says; one that
subscribes with `channel` and `params` is answered as the client library in circulation understands, with each
content under `data`. `docs/protocol.md` describes both.

Must not know sessions, hubs or sockets.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.core import places
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.history import Position, Since
from appliance.core.instants import timestamp
from appliance.dialects.commands import Authenticate, Command, History, Ping, Subscribe, Unsubscribe
from appliance.dialects.messages import cryptointel as messages
from appliance.dialects.messages.cryptointel import MOST_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.core.events import Entry
    from appliance.core.history import Resumption, Stretch, Topic
    from appliance.core.subscriptions import Joined
    from appliance.dialects.complaint import Complaint

_encode = msgspec.json.Encoder().encode


class Form(enum.Enum):
    """Which of its two forms a client speaks."""

    DOCUMENT = "document"
    LIBRARY = "library"


_TYPES = "auth, history, ping, subscribe, unsubscribe"
_decode = msgspec.json.Decoder(messages.Said).decode
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
        case messages.Auth(token):
            return Authenticate(token)
        case messages.Subscribe():
            form, label, names = _names(message)
            recover = {name: _mark(at) for name, at in message.recover.items()}
            times = message.times and form is Form.DOCUMENT
            return Subscribe(
                form=form, names=names, label=label, limit=message.limit, recover=recover, times=times
            )
        case messages.Unsubscribe():
            form, label, names = _names(message)
            whole = form is Form.LIBRARY and message.params == messages.Params()
            return Unsubscribe(form=form, names=() if whole else names, label=label)
        case messages.History():
            return _history(message)
        case _:
            return Ping()


def _history(message: messages.History) -> History:
    asked = places.Asked(
        after=_shown(message.after),
        to=_shown(message.to),
        since=None if message.since is None else message.since.timestamp(),
        until=None if message.until is None else message.until.timestamp(),
    )
    tag = None if message.id is msgspec.UNSET else bytes(message.id)
    return History(name=message.channel, asked=asked, limit=message.limit, tag=tag)


def _shown(written: int | str | None) -> places.Shown | int | None:
    return places.read(written) if isinstance(written, str) else written


def _mark(mark: messages.Mark) -> Position | Since:
    match mark:
        case messages.Mark(str(epoch), int(offset), None):
            return Position(epoch, offset)
        case messages.Mark(None, None, dt.datetime() as since):
            return Since(since.timestamp())
        case _:
            raise RequestError(
                ErrorCode.INVALID_MESSAGE,
                "Malformed subscribe message: name `epoch` and `offset`, or `since` alone - at `$.recover[...]`",
            )


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


def _names(message: messages.Subscribe | messages.Unsubscribe) -> tuple[Form, str | None, tuple[str, ...]]:
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


def _library_names(channel: str, params: messages.Params) -> Iterable[str]:
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


def update(form: Form, topic: Topic, label: str, *, times: bool = False) -> Callable[[Entry], bytes]:
    """Make the function that turns an entry of `topic` into the text of its message, which may carry its times."""
    kind = topic.message if form is Form.DOCUMENT else _LIBRARY_TYPES.get(topic.message, topic.message)
    head = b'{"type":' + _encode(kind) + b',"channel":' + _encode(label)
    if form is Form.LIBRARY:
        head += b',"topic":' + _encode(topic.name)
    head += b',"offset":'

    def render(entry: Entry) -> bytes:
        return b'%b%d,"data":%b}' % (head, entry.offset, entry.body)

    def render_with_times(entry: Entry) -> bytes:
        return b'%b%d,%b,"data":%b}' % (head, entry.offset, _times(entry), entry.body)

    return render_with_times if times else render


def _times(entry: Entry) -> bytes:
    return f'"at":"{timestamp(entry.at)}","received":"{timestamp(entry.received)}"'.encode()


def gap(form: Form, topic: Topic, label: str) -> Callable[[int, int], bytes]:
    """Make the function that says which offsets of `topic` a client will not get."""

    def render(first: int, last: int) -> bytes:
        content = {"channel": label, "from": first, "to": last, "reason": "conflated"}
        if form is Form.LIBRARY:
            return _encode({"type": "gap", "data": {**content, "topic": topic.name}})
        return _encode({"type": "gap", **content})

    return render


def authenticated(name: str, expires: str | None = None) -> bytes:
    return _encode(messages.Authenticated(messages.Owner(name, expires or msgspec.UNSET)))


def expiring(form: Form | None, expires: str, seconds: float) -> bytes:
    """Say that what a client has shown soon lets it stay no longer."""
    if form is Form.LIBRARY:
        return _encode(messages.LibraryExpiring(messages.Term(expires, round(seconds, 3))))
    return _encode(messages.Expiring(expires, round(seconds, 3)))


def subscribed(form: Form, label: str | None, joined: Iterable[Joined], patterns: Iterable[str]) -> bytes:
    """Answer a subscription with the position that each topic is read from."""
    positions = [_position(form, reading) for reading in joined]
    names = list(patterns) or msgspec.UNSET
    if form is Form.LIBRARY:
        content = messages.LibrarySubscription(label, positions, names)
        return _encode(messages.LibrarySubscribed(content))
    return _encode(messages.Subscribed(positions, names))


def _position(form: Form, reading: Joined) -> messages.Position:
    topic = reading.topic
    return messages.Position(
        channel=topic.name if form is Form.LIBRARY else reading.label,
        mode=topic.mode,
        epoch=topic.epoch,
        offset=reading.offset,
        pattern=msgspec.UNSET if reading.pattern is None else reading.pattern,
        limit=msgspec.UNSET if reading.limit is None else reading.limit,
        **_recovery(reading.resumption),
    )


def _recovery(resumption: Resumption | None) -> dict[str, Any]:
    """Say what came of a wish to go on from somewhere."""
    if resumption is None:
        return {}
    content: dict[str, Any] = {"recovered": resumption.recovered}
    if resumption.gap is not None:
        content["gap"] = messages.Lost(*resumption.gap)
    elif resumption.missing is not None:
        since, until = resumption.missing
        end = timestamp(until) if until < math.inf else msgspec.UNSET
        content["gap"] = messages.Lost(since=timestamp(since), until=end)
    return content


def _stretch(topic: Topic, label: str, found: Stretch, resumption: Resumption | None) -> dict[str, Any]:
    """Say which part of a topic a client is given: where it begins, where it ends, and what of it is missing."""
    return {
        "channel": label,
        "mode": topic.mode,
        "epoch": topic.epoch,
        "offset": found.end,
        "position": places.write(Position(topic.epoch, found.end)),
        "start": places.write(Position(topic.epoch, found.start)),
        **_recovery(resumption),
    }


def page(
    topic: Topic, label: str, found: Stretch, resumption: Resumption | None, *, times: bool = False
) -> bytes:
    """Give events that a topic keeps as the messages that they were, for who polls."""
    text = update(Form.DOCUMENT, topic, label, times=times)
    events: Any = [msgspec.Raw(text(entry)) for entry in found.entries]
    return _encode(messages.Page(**_stretch(topic, label, found, resumption), events=events))


def history(
    topic: Topic, label: str, found: Stretch, resumption: Resumption | None, tag: bytes | None
) -> bytes:
    """Answer with events that a topic keeps."""
    events: Any = [
        msgspec.Raw(b'{"offset":%d,%b,"data":%b}' % (entry.offset, _times(entry), entry.body))
        for entry in found.entries
    ]
    part = _stretch(topic, label, found, resumption)
    return _encode(messages.Past(id=_tagged(tag), **part, events=events))


def _tagged(tag: bytes | None) -> msgspec.Raw | msgspec.UnsetType:
    return msgspec.UNSET if tag is None else msgspec.Raw(tag)


def unsubscribed(
    form: Form, label: str | None, names: Iterable[str], *, reason: ErrorCode | None = None
) -> bytes:
    """Say what is read no longer; `reason` is why, where the client did not ask for that."""
    why = reason or msgspec.UNSET
    if form is Form.LIBRARY:
        return _encode(messages.LibraryUnsubscribed(messages.LibraryUnsubscription(label, list(names), why)))
    return _encode(messages.Unsubscribed(list(names), why))


def notice(form: Form, label: str, *, stale: bool, since: str) -> bytes:
    """Say that a channel has been silent for too long, or no longer."""
    if form is Form.LIBRARY:
        told = messages.LibraryStale if stale else messages.LibraryFresh
        return _encode(told(messages.Silence(label, since)))
    return _encode((messages.Stale if stale else messages.Fresh)(label, since))


def pong(form: Form | None, timestamp: str) -> bytes:
    if form is Form.LIBRARY:
        return _encode(messages.LibraryPong(messages.Clock(timestamp)))
    return b'{"type":"pong"}'


def error(
    form: Form | None, code: ErrorCode, message: str, complaint: Complaint, *, tag: bytes | None = None
) -> bytes:
    """Say what a client did wrong, or what has become of its session; in both forms while its own is not known.

    `tag` is what the message carried that asked for what is not given.
    """
    label, again = complaint.label, complaint.retry_after
    resume = {name: messages.Place(*place) for name, place in complaint.resume.items()}
    fault = messages.Fault(
        channel=msgspec.UNSET if label is None else label,
        code=code,
        message=message,
        timestamp=complaint.timestamp,
        retry_after=msgspec.UNSET if again is None else round(again, 3),
        resume=resume or msgspec.UNSET,
        id=_tagged(tag),
    )
    if form is None:
        return _encode(messages.EarlyError(fault, fault))
    if form is Form.DOCUMENT:
        return _encode(messages.Error(fault))
    return _encode((messages.LibraryError if label is None else messages.LibraryRefused)(fault))
