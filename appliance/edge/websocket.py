"""One WebSocket over our stream: data frames are pushed ready-made, trio-websocket does handshake and control frames.

The one module that knows trio-websocket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio_websocket

from appliance.core.buckets import Bucket
from appliance.dialects import framing
from appliance.dialects.frame_heads import FrameHeads, TooBigError
from appliance.edge.head import END

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.edge.stream import Stream

_NO_FAREWELL = 1006
"""What stands for the code of a close frame that never came."""

_MOST_REASON = 123
"""Bytes of a close frame's reason."""

_MESSAGE_TOO_BIG = 1009

_FEWEST = 60
"""Control frames a minute that any client may send: the heartbeat is answered by some."""


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

    A client may send as many control frames and pieces of messages as it may send messages. Beyond that it is read no
    faster: they never become a message, which is what its rate is counted by.
    """

    def __init__(self, stream: Stream, most_bytes: int, per_minute: int) -> None:
        self._stream = stream
        self._heads = FrameHeads(most_bytes)
        self._trifles = Bucket.per_minute(max(per_minute, _FEWEST), trio.current_time())
        self._pause = 0.0
        self._before_frames: bytes | None = b""
        self.accepted = trio.Event()
        self.opening = trio.CancelScope()
        self.ended = trio.Event()
        self.closed = False
        self.farewell = False
        self.too_big = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if data and data[0] == framing.CLOSE:
            self._stream.mute()
            self.farewell = True
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._before_frames is None:
            await self.accepted.wait()
        if self._pause:
            await trio.sleep(self._pause)
        if self.closed:
            raise trio.ClosedResourceError
        try:
            data = self._head_alone(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError:
            self._end()
            raise
        except TooBigError:
            self.too_big = True
            data = b""
        if not data:
            self._end()
        return data

    async def aclose(self) -> None:
        self.closed = True
        self._end()
        await trio.lowlevel.checkpoint()

    def _head_alone(self, data: bytes) -> bytes:
        """Measure what has come. What is behind the head of the upgrade is given back: before we have accepted,
        wsproto would lose it.
        """
        if self._before_frames is None:
            trifles = self._heads.feed(data)
            self._pause = self._trifles.take_all(trifles, trio.current_time()) if trifles else 0.0
            return data
        seen = self._before_frames + data
        _, end, frames = seen.partition(END)
        self._before_frames = None if end else seen[1 - len(END) :]
        self._stream.unread(frames)
        return data.removesuffix(frames) if frames else data

    def _end(self) -> None:
        self.opening.cancel()
        self.ended.set()


class Socket:
    """An open WebSocket. Finished frames are pushed to its `stream`, which takes and forgets them after the end."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, wire: _Wire, stream: Stream) -> None:
        self._connection = connection
        self._wire = wire
        self._before_too_big: Callable[[], None] | None = None
        self.stream = stream

    def before_too_big(self, call: Callable[[], None]) -> None:
        """Call this before the socket is closed because the peer's message is too big: something may still be said."""
        self._before_too_big = call

    async def receive(self) -> str | bytes:
        """Give the next message; `Hangup` when there will be none, or nobody any more to answer it to."""
        if self.stream.is_broken:
            raise Hangup(_NO_FAREWELL, "")
        try:
            return await self._connection.get_message()
        except trio_websocket.ConnectionClosed as closed:
            raise self._hangup(closed.reason) from None

    async def pause(self, seconds: float) -> None:
        """Receive nothing for a while, or until the peer has gone."""
        with trio.move_on_after(seconds):
            await self._wire.ended.wait()

    def _hangup(self, reason: trio_websocket.CloseReason | None) -> Hangup:
        if self._wire.too_big:
            if self._before_too_big is not None:
                self._before_too_big()
            return self._turn_away(_MESSAGE_TOO_BIG, "the message is too big")
        if reason is None or reason.code == _NO_FAREWELL:
            return Hangup(_NO_FAREWELL, "")
        code, text = int(reason.code), reason.reason or ""
        # At what is no frame trio-websocket hangs up without a word.
        return Hangup(code, text) if self._wire.farewell else self._turn_away(code, text)

    def _turn_away(self, code: int, reason: str) -> Hangup:
        self.stream.push(_close_frame(code, reason))
        self.stream.mute()
        return Hangup(code, reason, broke_rules=True)

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
    nursery: trio.Nursery, stream: Stream, *, most_bytes: int, per_minute: int, subprotocol: str | None
) -> Socket:
    """Upgrade a connection whose request head has been given back to `stream`, or raise `UpgradeFailed`.

    The connection is read, and pings answered, by a task in `nursery`. A message has at most so many bytes, and may
    come `per_minute`.
    """
    wire = _Wire(stream, most_bytes, per_minute)
    # A request that trio-websocket refuses is never handed over: it answers, closes the stream and leaves us waiting.
    with wire.opening:
        request = await trio_websocket.wrap_server_stream(nursery, wire, max_message_size=most_bytes)
        try:
            connection = await request.accept(subprotocol=subprotocol)
        except trio_websocket.ConnectionClosed:
            raise UpgradeFailed from None
        wire.accepted.set()
        return Socket(connection, wire, stream)
    raise UpgradeFailed
