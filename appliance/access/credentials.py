"""Where a credential stands in a request: header, subprotocol or query, the first found in this order.

Must not know which credentials are good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from appliance.access.principals import Credential

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.access.principals import Principal, Way

PARAMETERS: Final = frozenset({"token", "api_key", "key"})
SUBPROTOCOL: Final = "bearer."
"""Browsers cannot set headers on a socket, but can offer `["appliance.v1", "bearer.KEY"]`."""


def find(headers: Iterable[tuple[bytes, bytes]], query: str) -> Credential | None:
    """The credential of a request, or none when nothing was shown (empty values show nothing).

    Raises RequestError (INVALID_TOKEN) for text that no credential can have.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    for value in values.get(b"authorization", ()):
        if shown := from_header(value):
            return shown
    for value in values.get(b"x-api-key", ()):
        if text := _text(value):
            return Credential(text, "header")
    for value in values.get(b"sec-websocket-protocol", ()):
        if text := _offered(value):
            return Credential(text, "subprotocol")
    return next((Credential(text, "query") for text in _asked(query)), None)


def way(principal: Principal, headers: Iterable[tuple[bytes, bytes]], query: str) -> Way | None:
    """Say in which way somebody has shown who it is that came with this request; None: in no way."""
    if principal.kind == "anonymous":
        return None
    if principal.kind == "certificate":
        return "handshake"
    shown = find(headers, query)
    return "message" if shown is None else shown.way


def from_header(value: bytes) -> Credential | None:
    """Read `Bearer KEY` or the bare key. Another scheme is meant for somebody else, such as a proxy."""
    text = _text(value)
    scheme, space, rest = text.partition(" ")
    if scheme.lower() == "bearer":
        text = rest.strip()
    elif space:
        return None
    return Credential(text, "header") if text else None


def _text(value: bytes) -> str:
    # Latin-1 takes any byte; what is not ASCII is refused by Credential.
    return value.decode("latin-1").strip(" \t")


def _offered(value: bytes) -> str:
    offers = (offer.strip() for offer in _text(value).split(","))
    return next((offer[len(SUBPROTOCOL) :] for offer in offers if offer.startswith(SUBPROTOCOL)), "")


def _asked(query: str) -> Iterator[str]:
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        # A `+` stays one: keys have no spaces, and clients paste keys without escaping them.
        if name in PARAMETERS and (text := unquote(value)):
            yield text
