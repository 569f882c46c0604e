"""A client that comes back after whatever ends its socket, from where it stood, and keeps all that it was given.

Must not know why its socket ended.
"""

from __future__ import annotations

import gc
import json
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from websockets.sync.client import ClientConnection

_AGAIN = 0.05
"""Seconds between two attempts to come back."""

UNMET = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <ssl\.SSLSocket .*laddr=\(.*\)>:pytest.PytestUnraisableExceptionWarning"
)
"""For who comes back to what is killed: of a peer that has gone before TLS begins, `ssl` leaves a socket open. It is
found by the garbage collector, which `close` has look at once: later, another test would be blamed.
"""


class ResumingClient:
    """Reads one topic. `data` is what each event held, `faults` what must not have happened: offsets that were left
    out or came twice, and a resume that did not recover. `connect` opens a socket, or raises OSError. One that has been
    there before goes on from its `position`.
    """

    def __init__(
        self,
        topic: str,
        connect: Callable[[], ClientConnection],
        *,
        position: Mapping[str, Any] | None = None,
    ) -> None:
        self.topic = topic
        self.data: list[dict[str, Any]] = []
        self.arrived: list[float] = []
        self.faults: list[str] = []
        self.comebacks = 0
        self._connect = connect
        self._position = None if position is None else dict(position)
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, fits: Callable[[Sequence[dict[str, Any]]], bool], within: float = PATIENCE) -> None:
        """Wait until what has come so far fits."""
        deadline = time.monotonic() + within
        with self._changed:
            while not fits(self.data):
                left = deadline - time.monotonic()
                assert left > 0, f"{len(self.data)} events after {within:g} s, faults: {self.faults[:5]}"
                self._changed.wait(left)

    @property
    def position(self) -> dict[str, Any]:
        assert self._position is not None, "not subscribed"
        return self._position

    def wait_until_subscribed(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._position is not None, PATIENCE), "not subscribed"

    def close(self) -> None:
        self._ended = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        gc.collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        while not self._ended:
            try:
                with self._connect() as socket:
                    self._read(socket)
            except (OSError, ConnectionClosed, InvalidHandshake, EOFError, TimeoutError):
                time.sleep(_AGAIN)

    def _read(self, socket: ClientConnection) -> None:
        recover = {} if self._position is None else {"recover": {self.topic: self._position}}
        socket.send(json.dumps({"type": "subscribe", "channels": [self.topic], **recover}))
        while not self._ended:
            try:
                message = json.loads(socket.recv(timeout=0.2))
            except TimeoutError:
                continue
            with self._changed:
                self._take(message)
                self._changed.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "subscribed":
                (told,) = message["channels"]
                # A state topic begins with its newest value, a log behind it.
                begun = max(0, told["offset"] - (told["mode"] == "state"))
                if self._position is None:
                    self._position = {"epoch": told["epoch"], "offset": begun}
                else:
                    self.comebacks += 1
                    if not told["recovered"] or told["epoch"] != self._position["epoch"]:
                        self.faults.append(f"not recovered from {self._position}: {message} {self.comebacks}")
                        self._position = {"epoch": told["epoch"], "offset": begun}
            case "gap" | "error" | "subscription_error":
                self.faults.append(f"told of {message}")
            case _ if message.get("channel") == self.topic and "offset" in message:
                assert self._position is not None
                if message["offset"] != self._position["offset"] + 1:
                    self.faults.append(f"offset {message['offset']} behind {self._position['offset']}")
                self._position["offset"] = message["offset"]
                self.data.append(message["data"])
                self.arrived.append(time.time())
            case _:
                pass
