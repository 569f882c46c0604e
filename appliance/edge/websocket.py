"""One WebSocket over our stream: data frames are pushed ready-made, trio-websocket does handshake and control frames.

The one module that knows trio-websocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio_websocket

from appliance.dialects import framing

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.edge.stream import Stream

_NO_FAREWELL = 1006
"""What stands for the code of a close frame that never came."""

_MOST_REASON = 123
"""Bytes of a close frame's reason."""

_MESSAGE_TOO_BIG = (1009).to_bytes(2, "big")

_TOO_BIG = "Exceeded maximum message size"
"""How the reason begins that trio-websocket gives for a message that is too big."""


class Hangup(Exception):  # noqa: N818 - the end of a conversation is no error
    """The peer is gone, or the conversation is over; `broke_rules` when the peer's frames were none."""

    def __init__(self, code: int, reason: str, *, broke_rules: bool = False) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.broke_rules = broke_rules


class UpgradeFailed(Exception):  # noqa: N818 - an answer
    """The request is no upgrade to a WebSocket, or the peer has left; it has been told what there is to tell."""


class _Wire(trio.abc.Stream):
    """What trio-websocket reads and writes. Behind a close frame nothing may be pushed.

    The stream itself is closed by its owner, who sees to it that the peer gets the last frame.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.opening = trio.CancelScope()
        self.ended = trio.Event()
        self.closed = False
        self.farewell = False
        self.too_big: Callable[[], None] | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if data and data[0] == framing.CLOSE:
            if self.too_big is not None and bytes(data[2:4]) == _MESSAGE_TOO_BIG:
                self.too_big()
            self._stream.mute()
            self.farewell = True
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self.closed:
            raise trio.ClosedResourceError
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self._end()
            raise
        if not data:
            self._end()
        return data

    async def aclose(self) -> None:
        self.closed = True
        self._end()
        await trio.lowlevel.checkpoint()

    def _end(self) -> None:
        self.opening.cancel()
        self.ended.set()


class Socket:
    """An open WebSocket. Finished frames are pushed to its `stream`, which takes and forgets them after the end."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, wire: _Wire, stream: Stream) -> None:
        self._connection = connection
        self._wire = wire
        self.stream = stream

    def before_too_big(self, call: Callable[[], None]) -> None:
        """Call this before the socket is closed because the peer's message is too big: something may still be said."""
        self._wire.too_big = call

    async def receive(self) -> str | bytes:
        """Give the next message; `Hangup` when there will be none."""
        try:
            return await self._connection.get_message()
        except trio_websocket.ConnectionClosed as closed:
            raise self._hangup(closed.reason) from None

    async def pause(self, seconds: float) -> None:
        """Receive nothing for a while, or until the peer has gone."""
        with trio.move_on_after(seconds):
            await self._wire.ended.wait()

    def _hangup(self, reason: trio_websocket.CloseReason | None) -> Hangup:
        if reason is None or reason.code == _NO_FAREWELL:
            return Hangup(_NO_FAREWELL, "")
        code, text = int(reason.code), reason.reason or ""
        if self._wire.farewell:
            return Hangup(code, text, broke_rules=text.startswith(_TOO_BIG))
        # At what is no frame trio-websocket hangs up without a word.
        self.stream.push(_close_frame(code, text))
        self.stream.mute()
        return Hangup(code, text, broke_rules=True)

    async def close(self, code: int, reason: str, *, within: float) -> None:
        """Say goodbye and wait for the peer to do so; one that is too slow is cut off.

        The stream is still to be closed, once nobody reads it any more.
        """
        with trio.move_on_after(within) as patience:
            await self._connection.aclose(code, reason[:_MOST_REASON])
        if patience.cancelled_caught:
            self.stream.abort()


def _close_frame(code: int, reason: str) -> bytes:
    payload = code.to_bytes(2, "big") + reason.encode("ascii", "replace")[:_MOST_REASON]
    return bytes((framing.CLOSE, len(payload))) + payload


async def accept(
    nursery: trio.Nursery, stream: Stream, *, most_bytes: int, subprotocol: str | None
) -> Socket:
    """Upgrade a connection whose request head has been given back to `stream`, or raise `UpgradeFailed`.

    The connection is read, and pings answered, by a task in `nursery`.
    """
    wire = _Wire(stream)
    # A request that trio-websocket refuses is never handed over: it answers, closes the stream and leaves us waiting.
    with wire.opening:
        request = await trio_websocket.wrap_server_stream(nursery, wire, max_message_size=most_bytes)
        connection = await request.accept(subprotocol=subprotocol)
        return Socket(connection, wire, stream)
    raise UpgradeFailed
