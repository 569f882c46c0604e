"""The spool: lines wait here to be written together, soon, and earlier when there are many.

Must not know how they are written. Who puts more than it holds is made to wait.
"""

from __future__ import annotations

import itertools

import attrs
import trio

MANY = 4 * 1024**2
"""Bytes of lines that are written at once, before it is time."""
MOST = 16 * MANY
"""Bytes of lines that may wait for the disk."""


@attrs.define(eq=False)
class Spool:
    """`every` is the seconds between two writes. Each line may be of a day, which has a tape of its own."""

    every: float
    _waiting: list[tuple[str, bytes]] = attrs.field(factory=list, init=False)
    _size: int = attrs.field(default=0, init=False)
    _many: trio.Event = attrs.field(factory=trio.Event, init=False)
    _room: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    async def put(self, line: bytes, day: str = "") -> None:
        """Take a line, and come back once there is room for another."""
        self._waiting.append((day, line))
        self._size += len(line)
        if self._size >= MANY:
            self._many.set()
        while self._size >= MOST:
            self._room = trio.Event()
            await self._room.wait()

    async def due(self) -> None:
        """Wait until it is time to write."""
        with trio.move_on_after(self.every):
            await self._many.wait()
        self._many = trio.Event()

    def first(self) -> tuple[str, list[bytes]]:
        """Give the lines that come first, all of one day, and that day. They stay here until they are `written`."""
        day = self._waiting[0][0]
        return day, [line for _, line in itertools.takewhile(lambda each: each[0] == day, self._waiting)]

    def written(self, lines: list[bytes]) -> None:
        """Let go of what `first` gave."""
        del self._waiting[: len(lines)]
        self._size -= sum(map(len, lines))
        self._room.set()
