"""The heads of the WebSocket frames that a client sends: how much they announce, before any of it is there.

Must not judge whether the frames are good ones: whoever reads them does.
"""

from __future__ import annotations

_FINAL = 0x80
_CONTROL = 0x08
_MASKED = 0x80
_LENGTH = 0x7F
_MASK = 4
_LONG = {126: 2, 127: 8}
"""Bytes of a length that does not fit into seven bits."""
_LONGEST = 14
_NO_LENGTH = 1 << 63
"""From here on a length is none: who reads the frame says so."""


class TooBigError(Exception):
    """A message is over the bound, or is about to be."""


class FrameHeads:
    """Follows the frames of one connection, however its bytes are cut."""

    __slots__ = ("_head", "_left", "_most", "_pieces", "_size")

    def __init__(self, most: int) -> None:
        """`most` are the bytes of a message. It has no more pieces either: empty ones would gather without end."""
        self._most = most
        self._head = b""
        self._left = 0
        self._size = 0
        self._pieces = 0

    def feed(self, data: bytes) -> int:
        """Count the frames that begin here and are no whole message: control frames, and pieces of a message."""
        count = at = 0
        while True:
            skipped = min(self._left, len(data) - at)
            self._left -= skipped
            at += skipped
            head = self._head + data[at : at + _LONGEST - len(self._head)]
            size = _size(head)
            if self._left or len(head) < size:
                self._head = head
                return count
            at += size - len(self._head)
            self._head = b""
            self._left = _announced(head)
            count += self._follow(head[0])

    def _follow(self, first: int) -> int:
        if first & _CONTROL:
            return 1
        if self._left < _NO_LENGTH:
            self._size += self._left
        self._pieces += 1
        if max(self._size, self._pieces) > self._most:
            raise TooBigError
        if not first & _FINAL:
            return 1
        whole = self._pieces == 1
        self._size = self._pieces = 0
        return 0 if whole else 1


def _size(head: bytes) -> int:
    """Give how long a head is of which this is the beginning."""
    if len(head) < 2:  # noqa: PLR2004 - the bytes that every frame has
        return 2
    masked = _MASK if head[1] & _MASKED else 0
    return 2 + _LONG.get(head[1] & _LENGTH, 0) + masked


def _announced(head: bytes) -> int:
    """Give the bytes of the payload behind a whole head."""
    short = head[1] & _LENGTH
    return int.from_bytes(head[2 : 2 + _LONG[short]], "big") if short in _LONG else short
