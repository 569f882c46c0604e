"""Our stream with the face of trio's, by which a server tells TLS from plain.

Must not know who serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from appliance.edge.stream import Stream


class Face(trio.abc.Stream):
    """For a writer that shields what it sends from cancellation. So there is an end to it here: a peer that takes
    nothing for as long as `stalled` says is cut off.
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
        if self._stream.is_broken:  # what may still be read is of somebody who waits for no answer
            raise trio.BrokenResourceError("the peer has gone")
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


class SecuredFace(Face):
    """Of a stream whose TLS handshake is done."""

    def __init__(self, stream: Stream, stalled: Callable[[], float]) -> None:
        super().__init__(stream, stalled)
        self.transport_stream = self

    async def do_handshake(self) -> None:
        await trio.lowlevel.checkpoint()

    def selected_alpn_protocol(self) -> str | None:
        return self._stream.alpn
