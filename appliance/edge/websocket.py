"""One WebSocket over our stream: data frames are pushed ready-made, trio-websocket does handshake and control frames.

The one module that knows trio-websocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio_websocket

from appliance.dialects import framing

if TYPE_CHECKING:
    from appliance.edge.stream import Stream


class Hangup(Exception):  # noqa: N818 - the end of a conversation is no error
    """The peer is gone, or the conversation is over."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class _Wire(trio.abc.Stream):
    """What trio-websocket writes to. Behind a close frame nothing may be pushed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.opening = trio.CancelScope()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if data and data[0] == framing.CLOSE:
            self._stream.mute()
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        if not data:
            self.opening.cancel()
        return data

    async def aclose(self) -> None:
        self.opening.cancel()
        await self._stream.aclose()


class Socket:
    """An open WebSocket. Finished frames are pushed to its `stream`, which takes and forgets them after the end."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, stream: Stream) -> None:
        self._connection = connection
        self.stream = stream

    async def receive(self) -> str | bytes:
        """Give the next message; `Hangup` when there will be none."""
        try:
            return await self._connection.get_message()
        except trio_websocket.ConnectionClosed as closed:
            reason = closed.reason
            raise Hangup(*((reason.code, reason.reason or "") if reason else (1006, ""))) from None

    async def close(self, code: int, reason: str, *, within: float) -> None:
        """Say goodbye and wait for the peer to do so, then close the connection whatever it does."""
        with trio.move_on_after(within):
            await self._connection.aclose(code, reason[:123])
        self.stream.abort()


async def accept(
    nursery: trio.Nursery, stream: Stream, *, most_bytes: int, subprotocol: str | None
) -> Socket:
    """Upgrade a connection whose request head has been given back to `stream`.

    The connection is read, and pings answered, by a task in `nursery`.
    """
    wire = _Wire(stream)
    # A request that trio-websocket refuses is never handed over: it answers, closes the stream and leaves us waiting.
    with wire.opening:
        request = await trio_websocket.wrap_server_stream(nursery, wire, max_message_size=most_bytes)
        connection = await request.accept(subprotocol=subprotocol)
        return Socket(connection, stream)
    raise trio.BrokenResourceError("the upgrade failed")
