"""What a client of TLS says first, read as far as it takes to choose how it is served.

Must not know certificates or contexts; the handshake reads the hello in full, and judges it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 4_096
"""Bytes that are looked at: of a longer hello, its beginning."""
HANDSHAKE: Final = 0x16
_BEFORE_SESSION: Final = 5 + 4 + 2 + 32
"""Heads of the record and of the message, version and random bytes."""
_ALPN: Final = 16


def offers_alpn(data: bytes) -> bool:
    """Whether a client says which protocols it speaks, as far as can be seen."""
    return data[:1] == bytes((HANDSHAKE,)) and _ALPN in _extensions(data)


def _extensions(data: bytes) -> Iterator[int]:
    at = _BEFORE_SESSION
    for size in (1, 2, 1):  # session, ciphers, compressions
        at += size + int.from_bytes(data[at : at + size], "big")
    at += 2
    while at + 4 <= len(data):
        yield int.from_bytes(data[at : at + 2], "big")
        at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
