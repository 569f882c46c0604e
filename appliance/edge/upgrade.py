"""What the head of an upgrade to a WebSocket must be (RFC 6455, 4.2.1).

Must not know who may connect, nor where to.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.edge.head import Head

_KEY = 16
"""Bytes of a key, once it is decoded."""
_KEY_TEXT = 24
_ONCE = (b"host", b"sec-websocket-key", b"sec-websocket-version", b"upgrade", b"origin")
_BODY = (b"content-length", b"transfer-encoding")
_WANTED: Mapping[str, str] = {"upgrade": "websocket", "sec-websocket-version": "13"}


class BadUpgradeError(Exception):
    """The request is no upgrade by the book; the answer says what is wrong."""

    def __init__(self, status: HTTPStatus, problem: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.headers = headers


def check(head: Head) -> None:
    """Raise BadUpgradeError for what is read in two ways, or not at all, by who upgrades the connection."""
    if not head.is_plain:
        raise BadUpgradeError(HTTPStatus.BAD_REQUEST, "the head of a WebSocket upgrade is plain ASCII")
    if head.version == b"HTTP/1.0":
        raise BadUpgradeError(HTTPStatus.UPGRADE_REQUIRED, "a WebSocket upgrade is of HTTP/1.1", _WANTED)
    twice = [name.decode() for name in _ONCE if head.count(name) > 1]
    if twice:
        raise BadUpgradeError(HTTPStatus.BAD_REQUEST, f"a WebSocket upgrade has one header {twice[0]}")
    if any(head.count(name) for name in _BODY):
        raise BadUpgradeError(HTTPStatus.BAD_REQUEST, "a WebSocket upgrade has no body")
    if head.get(b"sec-websocket-version") != b"13" or not _is_key(head.get(b"sec-websocket-key") or b""):
        raise BadUpgradeError(
            HTTPStatus.UPGRADE_REQUIRED,
            "a WebSocket upgrade has Sec-WebSocket-Version 13 and a Sec-WebSocket-Key (RFC 6455)",
            _WANTED,
        )


def _is_key(value: bytes) -> bool:
    """Whether this is 16 bytes in base64."""
    try:
        return len(value) == _KEY_TEXT and len(base64.b64decode(value, validate=True)) == _KEY
    except ValueError:
        return False
