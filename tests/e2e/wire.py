"""A connection at the level of bytes, for what no client library would send.

Must not know what a test makes of the answers.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import struct
import time
from typing import TYPE_CHECKING, Any, Self

import attrs

from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from types import TracebackType

    from tests.e2e.running import Running

_CHUNK = 65_536
_END = b"\r\n\r\n"
_NO_STATUS = 1005


@attrs.define(eq=False)
class Wire:
    """A connected socket, plain or TLS. As a context it is closed at its end."""

    sock: socket.socket
    _frames: FrameReader = attrs.field(factory=FrameReader)
    _messages: list[tuple[int, bytes]] = attrs.field(factory=list)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def say(self, message: object) -> None:
        """Send a message as a WebSocket client does."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.frame(Opcode.TEXT, text.encode())

    def frame(self, opcode: int, payload: bytes) -> None:
        self.send(client_frame(opcode, payload))

    def rest(self) -> bytes:
        """Read to the end, be it orderly or a reset."""
        data = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while chunk := self.sock.recv(_CHUNK):
                data += chunk
        return data

    def upgrade(self, key: str, path: str = "/ws", *headers: str) -> None:
        """Become a WebSocket."""
        head = self.request(key, path, *headers)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def request(self, key: str, path: str = "/ws", *headers: str) -> bytes:
        """Ask for an upgrade and give the head of the answer."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]
        lines += [f"Authorization: Bearer {key}"] if key else []
        self.send("\r\n".join([*lines, *headers, "", ""]).encode())
        data = b""
        while _END not in data:
            chunk = self.sock.recv(_CHUNK)
            if not chunk:
                return data
            data += chunk
        head, _, rest = data.partition(_END)
        if head.startswith(b"HTTP/1.1 101 "):
            self._messages += self._frames.feed(rest)
            return head
        return data

    def message(self, kind: str | None = None) -> dict[str, Any]:
        """Give the next text, or the next of this type."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            opcode, payload = self._next()
            if opcode == Opcode.TEXT:
                message: dict[str, Any] = json.loads(payload)
                if kind in (None, message["type"]):
                    return message
            assert opcode != Opcode.CLOSE, payload
        raise AssertionError(f"no {kind} within {PATIENCE:g} s")

    def error(self) -> str:
        """Give the code of the next error message."""
        return str(self.message("error")["error"]["code"])

    def close_code(self) -> int:
        """Read to the close frame and give its code; 0 where the connection ends without one."""
        while True:
            try:
                opcode, payload = self._next()
            except (ConnectionError, ssl.SSLError):
                return 0
            if opcode == Opcode.CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else _NO_STATUS

    def reset(self) -> None:
        """Go without a goodbye: the peer gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _next(self) -> tuple[int, bytes]:
        while not self._messages:
            data = self.sock.recv(_CHUNK)
            if not data:
                raise ConnectionResetError
            self._messages += self._frames.feed(data)
        return self._messages.pop(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.sock.close()


def dial(running: Running, *, listener: int = 0) -> Wire:
    """Connect, and no more."""
    return Wire(socket.create_connection(("127.0.0.1", running.port_of(listener)), PATIENCE))


def dial_tls(running: Running, *, listener: int = 0) -> Wire:
    """Connect and agree on keys."""
    raw = socket.create_connection(("127.0.0.1", running.port_of(listener)), PATIENCE)
    try:
        return Wire(running.ssl_context().wrap_socket(raw, server_hostname="127.0.0.1"))
    except BaseException:
        raw.close()
        raise
