"""One WebSocket client on a non-blocking socket: connect, TLS, upgrade, then messages.

Must not know the loop that waits for it, nor what the messages say.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import os
import selectors
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import attrs

from tests.bench.load_frames import FrameError, FrameReader, Opcode, client_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 65_536
_MOST_HEAD = 16_384
_PORTS = {"ws": 80, "wss": 443}
_UPGRADED = b"101"
_NO_STATUS = 1005


class GoneError(Exception):
    """The connection is over; the message is the kind that it is counted under."""


class Stage(enum.Enum):
    CONNECTING = enum.auto()
    HANDSHAKE = enum.auto()
    UPGRADE = enum.auto()
    OPEN = enum.auto()


@attrs.frozen(kw_only=True)
class Target:
    """Where clients connect, and what they say first."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    opening: tuple[str, ...] = ()
    receive_buffer: int | None = None
    tls: ssl.SSLContext | None = attrs.field(init=False)
    parts: SplitResult = attrs.field(init=False)

    @parts.default
    def _split(self) -> SplitResult:
        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"{self.url}: expected ws://HOST:PORT/PATH or wss://HOST:PORT/PATH")
        return parts

    @tls.default
    def _trusting(self) -> ssl.SSLContext | None:
        if urlsplit(self.url).scheme != "wss":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # the appliance under load shows a self-signed certificate
        context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def address(self) -> tuple[str, int]:
        return self.parts.hostname or "", self.parts.port or _PORTS[self.parts.scheme]

    def request(self, key: bytes) -> bytes:
        path = (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else "")
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.parts.netloc}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """`wants` says what to wait for; then call `pump`."""

    __slots__ = ("_frames", "_head", "_key", "_out", "_socket", "_target", "stage", "wants")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._frames = FrameReader()
        self._head = b""
        self._key = base64.b64encode(os.urandom(16))
        self._out = b""
        self.stage = Stage.CONNECTING
        self.wants = WRITE
        self._socket = socket.socket()
        self._socket.settimeout(0.0)
        if target.receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, target.receive_buffer)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(target.address)

    def fileno(self) -> int:
        return self._socket.fileno()

    def pump(self) -> Sequence[tuple[int, bytes]]:
        """Do what can be done now and give the messages that came. Raise GoneError at the end."""
        try:
            if self.stage is Stage.OPEN:
                if self._out:
                    self._flush()
                return self._messages(self._read())
            return self._open()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as blocked:
            self.wants = WRITE if self._out or isinstance(blocked, ssl.SSLWantWriteError) else READ
            return ()
        except FrameError as error:
            raise GoneError(f"protocol: {error}") from error
        except ssl.SSLError as error:
            raise GoneError(f"tls: {error.reason}") from error
        except OSError as error:
            raise GoneError(f"{self.stage.name.lower()}: {type(error).__name__}") from error

    def send(self, opcode: int, payload: bytes) -> None:
        """Queue a frame; it leaves now, or with the next `pump`."""
        self._out += client_frame(opcode, payload)
        self.wants = READ | WRITE

    def close(self) -> None:
        self._socket.close()

    def _open(self) -> Sequence[tuple[int, bytes]]:
        if self.stage is Stage.CONNECTING:
            if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise GoneError(f"connecting: {os.strerror(code)}")
            self.stage = Stage.HANDSHAKE
            if self._target.tls is not None:
                self._socket = self._target.tls.wrap_socket(
                    self._socket, do_handshake_on_connect=False, server_hostname=self._target.address[0]
                )
        if self.stage is Stage.HANDSHAKE:
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.do_handshake()
            self.stage = Stage.UPGRADE
            self._out = self._target.request(self._key)
        if self._out:
            self._flush()
        return self._upgrade()

    def _upgrade(self) -> Sequence[tuple[int, bytes]]:
        self._head += self._read()
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            if len(head) > _MOST_HEAD:
                raise GoneError("upgrade: endless head")
            return ()
        status = head.split(None, 2)[1:2]
        if status != [_UPGRADED]:
            raise GoneError(f"upgrade: status {b''.join(status).decode(errors='replace')}")
        accept = base64.b64encode(hashlib.sha1(self._key + _MAGIC).digest())  # noqa: S324 - RFC 6455 says so
        if accept not in head:
            raise GoneError("upgrade: wrong Sec-WebSocket-Accept")
        self.stage, self._head = Stage.OPEN, b""
        for text in self._target.opening:
            self.send(Opcode.TEXT, text.encode())
        return self._messages(rest)

    def _messages(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        messages = self._frames.feed(data)
        for opcode, payload in messages:
            if opcode == Opcode.PING:
                self.send(Opcode.PONG, payload)
            elif opcode == Opcode.CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else _NO_STATUS
                raise GoneError(f"closed {code} {payload[2:].decode(errors='replace')}".rstrip())
        return messages

    def _read(self) -> bytes:
        data: bytes = self._socket.recv(_CHUNK)
        if not data:
            raise GoneError(f"{self.stage.name.lower()}: ended without close")
        if isinstance(self._socket, ssl.SSLSocket):
            while self._socket.pending():  # what OpenSSL holds does not wake a selector
                data += self._socket.recv(_CHUNK)
        return data

    def _flush(self) -> None:
        while self._out:
            self._out = self._out[self._socket.send(self._out) :]
        self.wants = READ
