"""The frames of HTTP/2 that a client sends, as far as their heads tell: how much there is of them, and of what.

Must not know requests or streams: whoever reads the frames does.
"""

from __future__ import annotations

from typing import Final

from appliance.core.buckets import Bucket

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST: Final = 16_384
"""Bytes of a frame: what a server that says nothing else takes."""

ENHANCE_YOUR_CALM: Final = 0xB
FRAME_SIZE_ERROR: Final = 0x6

_HEAD = 9
_DATA, _HEADERS, _PRIORITY, _RESET, _CONTINUATION = 0x0, 0x1, 0x2, 0x3, 0x9
_END_STREAM, _END_HEADERS = 0x1, 0x4

_ALLOWANCE = 1_000
_A_MINUTE = 1_200
_OF_A_RESET = 10
"""A request that is taken back costs us more than its frame says."""
_FOR_AN_ANSWER = 2
"""Frames that a client may send for each that it gets: windows are opened so."""


class FloodError(Exception):
    """The client sends what nobody needs; the connection is over, for this reason of HTTP/2."""

    def __init__(self, code: int, problem: str) -> None:
        super().__init__(problem)
        self.code = code


class Frames:
    """Follows the frames of one connection, however its bytes are cut. Data and requests are free: they have bounds
    of their own.
    """

    __slots__ = ("_allowance", "_block", "_head", "_left", "_most_headers", "_preface")

    def __init__(self, *, most_headers: int, now: float) -> None:
        """`most_headers` are the bytes of the headers of a request."""
        self._allowance = Bucket(rate=_A_MINUTE / 60, size=_ALLOWANCE, updated=now)
        self._most_headers = most_headers
        self._preface = len(PREFACE)
        self._head = b""
        self._left = 0
        self._block = 0

    def receive(self, data: bytes, now: float) -> None:
        """Look at what has come, or raise FloodError."""
        at = min(self._preface, len(data))
        self._preface -= at
        cost = 0
        while True:
            skipped = min(self._left, len(data) - at)
            self._left -= skipped
            at += skipped
            head = self._head + data[at : at + _HEAD - len(self._head)]
            if self._left or len(head) < _HEAD:
                self._head = head
                break
            at += _HEAD - len(self._head)
            self._head = b""
            self._left = int.from_bytes(head[:3], "big")
            cost += self._judge(head[3], head[4], self._left)
        if cost and self._allowance.take_all(cost, now):
            raise FloodError(ENHANCE_YOUR_CALM, "too many frames that are no requests")

    def sent(self, count: int, now: float) -> None:
        """Take note of frames that the client gets: it may answer them."""
        self._allowance.take_all(-_FOR_AN_ANSWER * count, now)

    def _judge(self, kind: int, flags: int, length: int) -> int:
        if length > LARGEST:
            raise FloodError(FRAME_SIZE_ERROR, f"a frame has at most {LARGEST} bytes")
        if kind in {_HEADERS, _CONTINUATION}:
            self._block = length if kind == _HEADERS else self._block + length
            if self._block > self._most_headers:
                raise FloodError(ENHANCE_YOUR_CALM, "too many headers")
            return 1 if kind == _CONTINUATION else 0
        if kind == _DATA:
            return 0 if length or flags & _END_STREAM else 1
        return _OF_A_RESET if kind == _RESET else 1
