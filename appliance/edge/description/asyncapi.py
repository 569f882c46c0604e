"""The AsyncAPI document: the sockets, what is spoken on each, and each message of it.

Must not know how a message is read or told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, get_args

import attrs

import appliance
from appliance.dialects.messages import ara, cryptointel, data_ws, trading
from appliance.edge.description import openapi, schemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from appliance.edge.description.operation import Audience
    from appliance.edge.description.schemas import Schema

_VERSION: Final = "3.0.0"
_ABOUT = """One JSON object per text message, in both directions. Ignore fields and message types that you do not know.

Further dialects can be given to paths by the configuration. What is served over HTTP is described by the OpenAPI
document beside this one."""


@attrs.frozen
class Dialect:
    """What is spoken: the types of the messages that are heard, and of those that are told.

    `channel` is whose events are told of, where that is said by the path.
    """

    name: str
    about: str
    said: tuple[type, ...]
    told: tuple[type, ...]
    channel: str | None = None


CRYPTOINTEL: Final = Dialect(
    "cryptointel",
    "The appliance's own protocol. A client that subscribes with a list `channels` is answered in the document's form,"
    " one that subscribes with `channel` and `params` in the library's.",
    get_args(cryptointel.Said),
    cryptointel.TOLD,
)
TRADING: Final = Dialect(
    "trading",
    "The trading-stream dialect: a client is told everything until its first `subscribe` replaces that.",
    get_args(trading.Said),
    trading.TOLD,
)
DATA_WS: Final = Dialect(
    "data_ws", "The newest prediction, then every newer one, as bare rows.", (), data_ws.TOLD
)
ARA_PREDICTIONS: Final = Dialect(
    "ara", "Predictions of a symbol.", get_args(ara.SaidOfPredictions), ara.TOLD_OF_PREDICTIONS, "predictions"
)
ARA_MARKET_DATA: Final = Dialect(
    "ara", "Prices of a symbol.", get_args(ara.SaidOfMarketData), ara.TOLD_OF_MARKET_DATA, "price"
)
ARA_ALERTS: Final = Dialect("ara", "Alerts.", get_args(ara.SaidOfAlerts), ara.TOLD_OF_ALERTS)
_SUBSCRIBE: Final = "cryptointel.subscribe"
DIALECTS: Final = (CRYPTOINTEL, TRADING, DATA_WS, ARA_PREDICTIONS, ARA_MARKET_DATA, ARA_ALERTS)


@attrs.frozen
class Socket:
    """A path, and what is spoken there; several dialects where its clients tell by their messages which."""

    name: str
    path: str
    dialects: tuple[Dialect, ...]


def document(sockets: Iterable[Socket], audience: Audience, *, host: str, secure: bool) -> dict[str, Any]:
    """Make the document for somebody who came to `host`."""
    found = list(sockets)
    messages, parts = _messages({dialect for each in found for dialect in each.dialects})
    if audience.topics and _SUBSCRIBE in messages:
        said = {"type": "subscribe", "channels": list(audience.topics)}
        messages[_SUBSCRIBE]["examples"] = [{"payload": said}]
    return {
        "asyncapi": _VERSION,
        "info": {
            "title": "stream appliance",
            "version": appliance.__version__,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"listener": _server(audience, host, secure=secure)},
        "channels": {each.name: _channel(each, audience) for each in found},
        "operations": dict(operation for each in found for operation in _operations(each)),
        "components": {
            "messages": messages,
            "schemas": parts,
            "securitySchemes": _schemes(audience),
        },
    }


def payloads(dialect: Dialect) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Give the schema of each message of a dialect by its name, and the schemas that they refer to."""
    kinds = tuple(dict.fromkeys((*dialect.said, *dialect.told)))
    found, parts = schemas.made(kinds, within=f"{dialect.name}.")
    return {message_name(kind): schema for kind, schema in zip(kinds, found, strict=True)}, parts


def _messages(dialects: Iterable[Dialect]) -> tuple[dict[str, Any], dict[str, Schema]]:
    messages: dict[str, Any] = {}
    parts: dict[str, Schema] = {}
    for dialect in sorted(dialects, key=DIALECTS.index):
        found, schemas_of_it = payloads(dialect)
        parts |= schemas_of_it
        for kind in (*dialect.said, *dialect.told):
            name = message_name(kind)
            summary = (kind.__doc__ or "").partition("\n")[0]
            messages[f"{dialect.name}.{name}"] = {"name": name, "summary": summary, "payload": found[name]}
    return messages, parts


def message_name(kind: type) -> str:
    return kind.__name__[:1].lower() + kind.__name__[1:]


def _server(audience: Audience, host: str, *, secure: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"host": host, "protocol": "wss" if secure else "ws"}
    if audience.auth == "required":
        ways = _schemes(audience)
        told["security"] = [{"$ref": f"#/components/securitySchemes/{name}"} for name in ways]
    return told


def _schemes(audience: Audience) -> dict[str, Schema]:
    """Give the ways in which a key can be shown, in this document's words."""
    told: dict[str, Schema] = {}
    for name, scheme in openapi.schemes(audience).items():
        match scheme:
            case {"type": "apiKey"}:
                told[name] = {**scheme, "type": "httpApiKey"}
            case {"type": "mutualTLS"}:
                told[name] = {**scheme, "type": "X509"}
            case _:
                told[name] = dict(scheme)
    return told


def _channel(socket: Socket, audience: Audience) -> dict[str, Any]:
    told: dict[str, Any] = {
        "address": socket.path,
        "description": "\n\n".join(dialect.about for dialect in socket.dialects),
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for dialect in socket.dialects
            for name in _names(dialect, (*dialect.said, *dialect.told))
        },
        "bindings": {"ws": {"method": "GET"}},
    }
    if "{symbol}" in socket.path:
        parameter = {"description": "What it is about; capital letters make no other one"}
        told["parameters"] = {"symbol": {**parameter, **_symbols(socket, audience)}}
    return told


def _symbols(socket: Socket, audience: Audience) -> dict[str, Any]:
    """Give examples of what a socket can be about."""
    channels = {dialect.channel for dialect in socket.dialects}
    parts = [topic.partition(":") for topic in audience.topics]
    known = [key for channel, _, key in parts if channel in channels]
    return {"examples": known} if known else {}


def _names(dialect: Dialect, kinds: Iterable[type]) -> Iterator[str]:
    return (f"{dialect.name}.{message_name(kind)}" for kind in kinds)


def _operations(socket: Socket) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give what the appliance does on a socket: it receives what clients say, and sends what they are told."""
    heard = [name for dialect in socket.dialects for name in _names(dialect, dialect.said)]
    told = [name for dialect in socket.dialects for name in _names(dialect, dialect.told)]
    for action, names in (("receive", heard), ("send", told)):
        if names:
            yield (
                f"{action}.{socket.name}",
                {
                    "action": action,
                    "channel": {"$ref": f"#/channels/{socket.name}"},
                    "messages": [{"$ref": f"#/channels/{socket.name}/messages/{name}"} for name in names],
                },
            )


def spoken(paths: Mapping[str, str]) -> Iterator[Socket]:
    """Give the sockets of paths, each with the word for what is spoken there."""
    for path, word in paths.items():
        yield Socket(_UNNAMED.sub(".", path).strip(".") or "root", path, _SPOKEN[word])


_UNNAMED = re.compile(r"[^A-Za-z0-9_-]+")
_SPOKEN: Final[Mapping[str, tuple[Dialect, ...]]] = {
    "shared": (TRADING, CRYPTOINTEL),
    "cryptointel": (CRYPTOINTEL,),
    "trading": (TRADING,),
    "data-ws": (DATA_WS,),
    "predictions": (ARA_PREDICTIONS,),
    "market-data": (ARA_MARKET_DATA,),
    "alerts": (ARA_ALERTS,),
}
