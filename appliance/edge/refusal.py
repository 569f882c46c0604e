"""Short HTTP/1.1 answers for connections that never reach an application, and the last words of a refused socket."""

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
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body
