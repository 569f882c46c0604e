"""Short HTTP answers for connections that never reach an application, and the last words of a refused socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http import HTTPStatus


def response(status: HTTPStatus, error: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Make a whole answer, in the envelope that all HTTP answers have, after which the connection closes."""
    body = msgspec.json.encode({"success": False, "data": None, "error": error})
    lines = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body


_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""A frame of HTTP/2 that changes nothing: it has to come first."""
_GOAWAY = 7
_CALM_DOWN = 0xB


def goaway(reason: str) -> bytes:
    """Make the frames with which a connection of HTTP/2 is closed that asks for too much."""
    payload = bytes(4) + _CALM_DOWN.to_bytes(4, "big") + reason.encode()
    return _SETTINGS + len(payload).to_bytes(3, "big") + bytes((_GOAWAY, 0, 0, 0, 0, 0)) + payload
