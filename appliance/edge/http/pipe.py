"""A sink for an answer that is sent by somebody else: what is pushed waits here, within a bound, to be fetched."""

from __future__ import annotations

import trio


class Pipe:
    """One side pushes without waiting, the other fetches. Full, with `most` bytes, it says so, as a socket does.

    It must have room for what comes within a few turns of the loop, which pass before the other side has its own.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._waiting: list[bytes] = []
        self._size = 0
        self._ready = trio.Event()
        self._empty = trio.Event()
        self._empty.set()
        self.sent = 0

    def push(self, data: bytes) -> bool:
        if not self._waiting:
            self._empty = trio.Event()
        self._waiting.append(data)
        self._size += len(data)
        self._ready.set()
        return self._size < self._most

    @property
    def size(self) -> int:
        """Bytes that wait to be fetched."""
        return self._size

    @property
    def waiting(self) -> bool:
        """Whether there is something to fetch."""
        return bool(self._waiting)

    async def drained(self) -> None:
        await self._empty.wait()

    async def fetch(self) -> bytes:
        """Give all that waits, once there is something."""
        await self._ready.wait()
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        self.sent += len(data)
        self._ready = trio.Event()
        self._empty.set()
        return data
