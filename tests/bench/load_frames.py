"""WebSocket frames as a client meets them: what a server sent, cut anywhere, to whole messages.

Must not know sockets, nor what the messages mean.
"""

from __future__ import annotations

import enum
import os


class Opcode(enum.IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


TEXT = int(Opcode.TEXT)
MOST = 16 * 1024 * 1024
"""The largest message taken: a longer one is a server's mistake."""

_OPCODES = frozenset(Opcode)
_CONTROL = 0x8
_MOST_CONTROL = 125
_SHORT = 126
_LONG = 127
_SHORT_HEAD = 4
_LONG_HEAD = 10


class FrameError(Exception):
    """The server broke the framing rules; the connection cannot go on."""


class FrameReader:
    """Takes bytes as they come and gives whole messages, control frames among them in their order."""

    __slots__ = ("_message", "_opcode", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._message: list[bytes] = []
        self._opcode = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        if self._rest:
            data = self._rest + data
        messages: list[tuple[int, bytes]] = []
        at, size = 0, len(data)
        while size - at >= 2:
            length, body = data[at + 1], at + 2
            if length >= _SHORT:
                body = at + (_SHORT_HEAD if length == _SHORT else _LONG_HEAD)
                if size < body:
                    break
                length = _extended_length(length, data[at + 2 : body])
            end = body + length
            if end > size:
                break
            if data[at] == 0x80 | TEXT and not self._message:  # nearly all frames: a whole text
                messages.append((TEXT, data[body:end]))
            else:
                self._take(data[at], data[body:end], messages)
            at = end
        self._rest = data[at:]
        return messages

    def _take(self, first: int, payload: bytes, messages: list[tuple[int, bytes]]) -> None:
        final, opcode = bool(first & 0x80), first & 0x0F
        if first & 0x70 or opcode not in _OPCODES:
            raise FrameError(f"first byte {first:#04x} uses reserved bits")
        if opcode & _CONTROL:
            if not final or len(payload) > _MOST_CONTROL:
                raise FrameError("control frame fragmented or over 125 bytes")
            messages.append((opcode, payload))
            return
        if (opcode == Opcode.CONTINUATION) != bool(self._message):
            raise FrameError("fragments out of order")
        self._opcode = opcode or self._opcode
        self._message.append(payload)
        if sum(map(len, self._message)) > MOST:
            raise FrameError("message too long")
        if final:
            messages.append((self._opcode, b"".join(self._message)))
            self._message.clear()


def _extended_length(form: int, field: bytes) -> int:
    if form > _LONG:
        raise FrameError("a server's frame must not be masked")
    length = int.from_bytes(field, "big")
    if length < (_SHORT if form == _SHORT else 1 << 16):
        raise FrameError("length not in its shortest form")
    if length > MOST:
        raise FrameError("message too long")
    return length


def _head(first: int, masked: int, length: int) -> bytes:
    if length < _SHORT:
        return bytes((first, masked | length))
    if length < 1 << 16:
        return bytes((first, masked | _SHORT)) + length.to_bytes(2, "big")
    return bytes((first, masked | _LONG)) + length.to_bytes(8, "big")


def client_frame(opcode: int, payload: bytes) -> bytes:
    mask = os.urandom(4)
    stream = mask * (len(payload) // 4 + 1)
    masked = bytes(byte ^ key for byte, key in zip(payload, stream, strict=False))
    return _head(0x80 | opcode, 0x80, len(payload)) + mask + masked


def server_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    return _head((0x80 if final else 0) | opcode, 0, len(payload)) + payload
