"""Hypercorn's Trio server over our stream: HTTP/1.1 and HTTP/2 for all that is no WebSocket.

The one module that knows Hypercorn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import h2.settings
import hypercorn.protocol
import hypercorn.protocol.h2
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.protocol.h2 import BUFFER_LOW_WATER, H2Protocol, StreamBuffer
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

    from appliance.edge.policy import Policy
    from appliance.edge.stream import Stream


class _PlainH2(H2Protocol):
    """HTTP/2 without WebSockets in it: advertised, browsers would open a page's sockets that slow way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        codes = h2.settings.SettingCodes
        offered = {codes(code): value for code, value in self.connection.local_settings.items()}
        offered.pop(codes.ENABLE_CONNECT_PROTOCOL, None)
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=offered)

    async def initiate(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        await super().initiate(*args, **kwargs)
        # On a plain port Hypercorn took the beginning for a request, after which nothing idles.
        await self.send(Updated(idle=self.idle))


class _Buffer(StreamBuffer):
    """What a stream of HTTP/2 has not sent yet. Hypercorn lets more in whenever little went out: without end, for a
    client that opens no window.
    """

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


hypercorn.protocol.H2Protocol = _PlainH2  # type: ignore[attr-defined]
hypercorn.protocol.h2.StreamBuffer = _Buffer  # type: ignore[misc]


class _Face(trio.abc.Stream):
    """Our stream with the face of trio's, by which Hypercorn tells TLS from plain.

    Hypercorn shields what it sends from cancellation. So there is an end to it here: a peer that takes nothing for
    as long as `stalled` says is cut off.
    """

    def __init__(self, stream: Stream, stalled: Callable[[], float]) -> None:
        self._stream = stream
        self._stalled = stalled
        self.socket: socket.socket = stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        stream = self._stream
        before = stream.sent
        with trio.move_on_after(self._stalled()):
            await stream.send_all(data)
            return
        while stream.sent != before:
            before = stream.sent
            with trio.move_on_after(self._stalled()):
                await stream.drained()
                return
        stream.abort()
        raise trio.BrokenResourceError("the peer takes nothing")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SecuredFace(_Face):
    """Of a stream whose TLS handshake is done."""

    def __init__(self, stream: Stream, stalled: Callable[[], float]) -> None:
        super().__init__(stream, stalled)
        self.transport_stream = self

    async def do_handshake(self) -> None:
        await trio.lowlevel.checkpoint()

    def selected_alpn_protocol(self) -> str | None:
        return self._stream.alpn


class _Connection(TCPServer):
    """Of a peer that has left, Hypercorn would keep the connection until it has idled long enough."""

    _left = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._left = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if not (self._left and isinstance(event, Updated)):
            await super().protocol_send(event)


async def _abort_at_end(stream: Stream) -> None:
    """Cut off a peer when its connection is cancelled, which does not reach what Hypercorn is sending."""
    try:
        await trio.sleep_forever()
    finally:
        stream.abort()


class Server:
    """Serves `app` on any number of connections, until `stop` lets idle ones go."""

    def __init__(self, app: ASGIApp, *, keep_alive: float, head_bytes: int) -> None:
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]
        self._context = WorkerContext(None)
        config = Config()
        config.errorlog = logging.getLogger("hypercorn.error")
        config.accesslog = None
        config.include_server_header = False
        config.keep_alive_timeout = keep_alive
        config.h11_max_incomplete_size = head_bytes
        config.h2_max_header_list_size = head_bytes
        self._config = config

    async def serve(self, stream: Stream, policy: Policy) -> None:
        def stalled() -> float:
            return policy.limits.stalled

        face = _SecuredFace(stream, stalled) if stream.is_tls else _Face(stream, stalled)
        state: dict[str, Any] = {"policy": policy}
        async with trio.open_nursery() as nursery:  # ends with the connection
            nursery.start_soon(_abort_at_end, stream)
            await _Connection(self._app, self._config, self._context, state, face)  # type: ignore[arg-type]
            nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Let go of connections that have no request under way."""
        await self._context.terminated.set()
