"""What every peer of the bench obeys and sends, so that all send the same.

Must not know how a peer sends. An order is a datagram on a Unix socket:
`{"key": K, "events": N, "burst": B, "every": S}` asks for N events of a topic, B of them back to back,
every S seconds. A peer has one kind of clients, and sends all of them every event.
"""

from __future__ import annotations

import argparse
import itertools
import json
import socket
import time
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 4096


@attrs.frozen
class Order:
    key: str
    events: int
    burst: int
    every: float

    def bursts(self) -> Iterator[tuple[float, int]]:
        """When each burst is due, by the monotonic clock, and how many events it has."""
        start = time.monotonic()
        for number, first in enumerate(range(0, self.events, self.burst)):
            yield start + number * self.every, min(self.burst, self.events - first)


class Orders:
    """The socket that orders come through."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def read(self) -> Order:
        return Order(**json.loads(self.socket.recv(_LARGEST)))


class Texts:
    """The events: JSON of exactly `size` bytes with a contiguous offset and the time of sending."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._offsets = itertools.count(1)

    def make(self, key: str) -> str:
        head = (
            f'{{"type":"bench_update","channel":"bench:{key}","offset":{next(self._offsets)},'
            f'"data":{{"sent_ns":{time.monotonic_ns()},"pad":"'
        )
        return f'{head.ljust(self._size - 3, "x")}"}}}}'


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--orders", required=True)
    parser.add_argument("--size", type=int, required=True)
    return parser
