"""Honest clients: they read all that they are sent, each in a thread, and keep account of every offset.

Must not know what else happens to the appliance meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import attrs
from websockets.exceptions import ConnectionClosed

from tests.bench.load_offsets import Findings, Positions, Reading
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from websockets.sync.client import ClientConnection

    from tests.e2e.running import Running

ROOM = 4 * 1024**2
"""Bytes that the kernel holds for an honest client, if it may: a busy machine makes nobody a slow one."""
EVERYTHING = ("price:*", "market:*", "predictions:*", "trades:*", "portfolio:*", "signals:all")


def roomy(running: Running, **options: Any) -> ClientConnection:
    """Connect as one who reads all that comes, however long it is not its turn."""
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    connected.connect(("127.0.0.1", running.port))
    return running.connect(sock=connected, max_queue=None, **options)


class HonestClient:
    """Subscribed when made. `errors` are the codes that it was told, `closed` how it ended."""

    def __init__(self, connecting: ClientConnection, names: Sequence[str] = EVERYTHING) -> None:
        self._stack = contextlib.ExitStack()
        self._socket = self._stack.enter_context(connecting)
        self._reading = Reading()
        self._positions = Positions()
        self._changed = threading.Condition()
        self._open = True
        self.findings = Findings()
        self.events = 0
        self.errors: list[str] = []
        self._socket.send(json.dumps({"type": "subscribe", "channels": list(names)}))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def due(self) -> dict[str, int]:
        """The offset that must come next, by topic."""
        with self._changed:
            return dict(self._positions.due)

    @property
    def closed(self) -> str | None:
        """Code and reason of the close frame that it got."""
        if self._open:
            return None
        end = self._socket.protocol.close_rcvd
        return "none" if end is None else f"{end.code} {end.reason}"

    def wait_for_events(self, count: int) -> None:
        """Wait until so many more have come."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            wanted = self.events + count
            while self.events < wanted:
                assert self._open, f"closed: {self.closed}"
                assert self._changed.wait(deadline - time.monotonic()), f"no event for {PATIENCE:g} s"

    def wait_for_end(self) -> str | None:
        self._thread.join(PATIENCE)
        return self.closed

    def close(self) -> None:
        self._stack.close()
        self._thread.join(PATIENCE)

    def _read(self) -> None:
        try:
            for text in self._socket:
                self._take(text.encode() if isinstance(text, str) else text)
        except ConnectionClosed:
            pass  # `closed` tells how
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _take(self, payload: bytes) -> None:
        said = self._reading.read(payload)
        with self._changed:
            for topic, position in said.start:
                self._positions.start(topic, position)
            if said.type.startswith("error"):
                self.errors.append(said.type)
            elif said.type == "gap" and said.topic is not None:
                self._positions.gap(said.topic, said.offset, said.until, self.findings)
            elif said.topic is not None:
                self._positions.event(said.topic, said.offset, self.findings)
                self.events += 1
            self._changed.notify_all()


@attrs.frozen
class Witnesses:
    """Some honest clients together; as a context they are closed at its end."""

    clients: tuple[HonestClient, ...]

    @classmethod
    def of(cls, running: Running, count: int = 3, **options: Any) -> Witnesses:
        witnesses = cls(tuple(HonestClient(roomy(running, **options)) for _ in range(count)))
        witnesses.go_on()
        return witnesses

    def go_on(self, events: int = 2) -> None:
        """Wait until each has got further events, and see that none has missed or been told anything."""
        for client in self.clients:
            client.wait_for_events(events)
        self.missed_nothing()

    def missed_nothing(self) -> None:
        for client in self.clients:
            assert client.findings == Findings()
            assert client.errors == []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for client in self.clients:
            client.close()
