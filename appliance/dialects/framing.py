"""WebSocket framing of a finished text (RFC 6455): what a server sends, unmasked and in one piece."""

from __future__ import annotations

import struct

_TEXT = 0x81
_SHORT = 125
_MIDDLE = 0xFFFF

PING = b"\x89\x00"
"""A ping without a payload."""

CLOSE = 0x88
"""First byte of a close frame."""


def text(payload: bytes) -> bytes:
    """Frame a text, given as UTF-8."""
    size = len(payload)
    if size <= _SHORT:
        return bytes((_TEXT, size)) + payload
    if size <= _MIDDLE:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload
