"""What attacks are directed at, and the connections that they make to it.

Must not know any attack.
"""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

END = b"\r\n\r\n"
_CHUNK = 65_536


def _careless() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@attrs.frozen
class Target:
    """A listener of the appliance, which speaks TLS, and a key that may read everything and publish nothing."""

    port: int
    key: str
    source: str
    """The address that connections come from: that of nobody who is honest."""

    @property
    def authorization(self) -> bytes:
        return b"Authorization: Bearer " + self.key.encode() + b"\r\n"

    def request(self, line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
        lines = b"".join(header + b"\r\n" for header in headers)
        return line + b" HTTP/1.1\r\nHost: localhost\r\n" + self.authorization + lines + b"\r\n" + body

    @contextlib.asynccontextmanager
    async def dial(self) -> AsyncIterator[trio.SocketStream]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port, local_address=self.source) as stream:
            yield stream

    @contextlib.asynccontextmanager
    async def secured(self, *alpn: str) -> AsyncIterator[trio.abc.Stream]:
        context = _careless()
        context.set_alpn_protocols(alpn or ("http/1.1",))
        async with self.dial() as raw:
            stream = trio.SSLStream(raw, context, https_compatible=True)
            await stream.do_handshake()
            yield stream

    @contextlib.asynccontextmanager
    async def upgraded(self, path: str = "/ws", *, key: str | None = None) -> AsyncIterator[trio.abc.Stream]:
        """Open a WebSocket."""
        nonce = base64.b64encode(os.urandom(16))
        async with self.secured() as stream:
            shown = attrs.evolve(self, key=self.key if key is None else key)
            await stream.send_all(
                shown.request(
                    b"GET " + path.encode(),
                    b"Upgrade: websocket",
                    b"Connection: Upgrade",
                    b"Sec-WebSocket-Version: 13",
                    b"Sec-WebSocket-Key: " + nonce,
                )
            )
            head = b""
            while END not in head:
                more = await stream.receive_some(_CHUNK)
                if not more:
                    return
                head += bytes(more)
            yield stream


async def pour(stream: trio.abc.Stream, data: bytes) -> None:
    """Send this for ever, reading whatever comes back."""
    async with trio.open_nursery() as nursery:  # ends with the connection
        nursery.start_soon(drain, stream)
        while True:
            await stream.send_all(data)


async def drain(stream: trio.abc.Stream) -> None:
    """Read to the end, at which whoever writes fails too."""
    while await stream.receive_some(_CHUNK):
        pass
    raise trio.BrokenResourceError


async def trickle(stream: trio.abc.Stream, data: bytes, *, every: float = 0.02) -> None:
    """Send this byte by byte."""
    for byte in data:
        await stream.send_all(bytes((byte,)))
        await trio.sleep(every)


async def hold(stream: trio.abc.Stream) -> None:
    """Stay until the other side has had enough."""
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some(_CHUNK):
            pass
