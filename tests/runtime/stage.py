"""What the tests of this row share: words that can be read back, and a socket that fills up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.history import Topic

Message = dict[str, Any]


def line(kind: str, **content: Any) -> bytes:
    return json.dumps({"kind": kind, **content}).encode() + b"\n"


def lines(data: bytes) -> list[Message]:
    return [json.loads(text) for text in data.splitlines()]


@attrs.frozen
class Lines:
    """A form whose frames are lines of JSON."""

    name: str = "lines"

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        def render(entry: Entry) -> bytes:
            body = json.loads(entry.body)
            return line("update", topic=topic.name, label=label, offset=entry.offset, body=body)

        return render

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        def render(first: int, last: int) -> bytes:
            return line("gap", topic=topic.name, label=label, first=first, last=last)

        return render


class Counting:
    """A form that counts what it renders."""

    def __init__(self) -> None:
        self.rendered = 0

    def update(self, topic: Topic, label: str) -> Callable[[Entry], bytes]:
        render = Lines().update(topic, label)

        def counted(entry: Entry) -> bytes:
            self.rendered += 1
            return render(entry)

        return counted

    def gap(self, topic: Topic, label: str) -> Callable[[int, int], bytes]:
        return Lines().gap(topic, label)


class Socket:
    """A sink that accepts `room` more bytes (None: any number), then is full."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        self.pushes: list[bytes] = []
        self.sent = 0
        self._accepted = bytearray()
        self._waiting = bytearray()
        self._emptied = trio.Event()
        self._finished = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def push(self, data: bytes) -> bool:
        if self._finished:
            return True
        self.pushes.append(data)
        self._waiting += data
        return self._accept()

    async def drained(self) -> None:
        while self._waiting:
            await self._emptied.wait()
        await trio.lowlevel.checkpoint()

    def allow(self, room: int | None) -> None:
        self.room = room
        self._accept()

    def finish(self) -> None:
        """The connection is closed: what waits is thrown away, what is pushed goes nowhere."""
        self._finished = True
        self._waiting.clear()
        self._emptied.set()

    def read(self) -> list[Message]:
        """Give the whole messages that have arrived since the last look."""
        end = self._accepted.rfind(b"\n") + 1
        arrived = lines(bytes(self._accepted[:end]))
        del self._accepted[:end]
        return arrived

    def _accept(self) -> bool:
        count = len(self._waiting) if self.room is None else min(self.room, len(self._waiting))
        self._accepted += self._waiting[:count]
        del self._waiting[:count]
        self.sent += count
        if self.room is not None:
            self.room -= count
        if self._waiting:
            if self._emptied.is_set():
                self._emptied = trio.Event()
            return False
        self._emptied.set()
        return True
