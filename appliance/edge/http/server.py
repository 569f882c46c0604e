"""Hypercorn's Trio server over our stream: HTTP/1.1 and HTTP/2 for all that is no WebSocket.

The one module that knows Hypercorn.
"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
import hypercorn.protocol
import hypercorn.protocol.h2
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Response
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol, StreamBuffer
from hypercorn.protocol.h11 import H2ProtocolAssumedError, H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hyperframe.frame import GoAwayFrame

from appliance.edge.head import HTTP2_PREFACE
from appliance.edge.http.exchange import Exchange
from appliance.edge.http.face import Face, SecuredFace
from appliance.edge.http.frames import FloodError, Frames
from appliance.edge.http.requests import Requests
from appliance.runtime.turns import Turnstile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp

    from appliance.access.gate import Peer
    from appliance.edge.policy import Policy
    from appliance.edge.stream import Stream
    from appliance.settings.limits import LimitSettings


_ENOUGH = BUFFER_HIGH_WATER / 4
"""Bytes of an answer that wait for a client's window."""
_FIRST = 1.0
"""Seconds in which the first request of a connection must come, once no more are let in."""
_HEARD_WITHIN = 1.0
"""Seconds in which a client of HTTP/2, or an application, takes note of the end of a connection."""
_PARTING = b"goodbye!"
_LONGER = 4
"""How much longer than on a socket we wait for a window: whoever streams is to end what has stalled, and to say so."""


async def _has_turn(connection: Mapping[str, Any]) -> bool:
    """Wait for the turn of a request; False when nobody waits for its answer any more."""
    stream: Stream = connection["stream"]
    if not stream.is_broken:
        await connection["turnstile"].enter()
    return not stream.is_broken


class _PlainH11(H11Protocol):
    """HTTP/1 without what nobody needs of it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        most = self.config.h11_max_incomplete_size
        self._requests = self.connection = Requests(h11.SERVER, max_incomplete_event_size=most)

    async def handle(self, event: Event) -> None:
        if isinstance(event, Closed):
            # Who reads waits for the end of an answer, it may be, which nobody takes any more.
            self._requests.over = True
            await self.can_read.set()
        await super().handle(event)

    async def _create_stream(self, request: h11.Request) -> None:
        if await _has_turn(self.connection_state):
            await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Go on with HTTP/2 after its own beginning. To be asked for an upgrade is no reason."""
        if event.method == b"PRI" and event.target == b"*" and event.http_version == b"2.0":
            raise H2ProtocolAssumedError(HTTP2_PREFACE + self.connection.trailing_data[0])


class _PlainH2(H2Protocol):
    """HTTP/2 without WebSockets in it: advertised, browsers would open a page's sockets that slow way.

    What a client sends is bounded before it is kept, and what Hypercorn would fail at is answered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        super().__init__(*args, **kwargs)
        self.context = WorkerContext(None)
        self._parting = False
        self._heard = trio.Event()
        codes = h2.settings.SettingCodes
        offered = {codes(code): value for code, value in self.connection.local_settings.items()}
        offered.pop(codes.ENABLE_CONNECT_PROTOCOL, None)
        offered[codes.MAX_CONCURRENT_STREAMS] = self._limits.streams
        self.connection.local_settings = h2.settings.Settings(client=False, initial_values=offered)
        most = self.config.h2_max_header_list_size
        self.connection.decoder.max_header_list_size = most
        self._frames = Frames(most_headers=most, now=trio.current_time())
        self._patience: dict[int, trio.CancelScope] = {}

    async def initiate(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        await super().initiate(*args, **kwargs)
        # On a plain port Hypercorn took the beginning for a request, after which nothing idles.
        await self.send(Updated(idle=self.idle))

    @property
    def waiting(self) -> int:
        """Bytes of answers that the client's windows have no room for."""
        return sum(len(buffer.buffer) for buffer in self.stream_buffers.values())

    @property
    def was_asked(self) -> bool:
        """Whether there was a request."""
        return self.connection.highest_inbound_stream_id > 0

    async def part(self) -> None:
        """Tell the client which request was the last, so that it repeats later ones elsewhere; wait until it knows."""
        self._parting = True
        last = self.connection.highest_inbound_stream_id
        self.connection.ping(_PARTING)
        # h2's own would end the connection for us, too: the answer to the ping could not be read any more.
        goodbye = GoAwayFrame(last_stream_id=last).serialize()
        await self.send(RawData(self.connection.data_to_send() + goodbye))
        with trio.move_on_after(_HEARD_WITHIN):
            await self._heard.wait()

    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._receive(event.data)
            return
        if isinstance(event, Closed):
            self.closed = True
            self._heard.set()
            for buffer in self.stream_buffers.values():
                await buffer.close()  # else who waits for a window that stays shut would wait for ever
            with trio.CancelScope(shield=True):  # for as long as each of them has to hear it
                async with trio.open_nursery() as nursery:  # ends with it
                    for stream_id in self.streams:
                        nursery.start_soon(self._close_stream, stream_id)
        await super().handle(event)

    async def _receive(self, data: bytes) -> None:
        refused: Callable[..., None] = self.connection_state["refused"]
        try:
            self._frames.receive(data, trio.current_time())
            events = self.connection.receive_data(data)
        except FloodError as flood:
            refused("flood")
            with contextlib.suppress(h2.exceptions.ProtocolError):  # it has been told something else before
                self.connection.close_connection(h2.errors.ErrorCodes(flood.code), str(flood).encode())
        except h2.exceptions.TooManyStreamsError:  # which tells the client
            refused("too_many_streams", "streams")
        except h2.exceptions.ProtocolError:  # as does this
            refused("bad_http2")
        else:
            await self._handle_events(events)
            return
        await self._flush()
        await self.send(Closed())

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        if self._parting:
            answered = (h2.events.PingAckReceived, h2.events.ConnectionTerminated)
            if any(isinstance(event, answered) for event in events):
                self._heard.set()
            events = []
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                # The answer was there before the request was, which goes on nevertheless.
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._reset(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)
            else:
                await super()._handle_events([event])
        await self._flush()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        headers = dict(request.headers)
        method, path = headers.get(b":method", b""), headers.get(b":path", b"")
        readable = (method + path).isascii() and path.startswith((b"/", b"*"))
        if readable and method.isalpha() and method != b"CONNECT":
            if await _has_turn(self.connection_state):
                await super()._create_stream(request)
        else:
            self._reset(request.stream_id, h2.errors.ErrorCodes.PROTOCOL_ERROR)

    async def _close_stream(self, stream_id: int) -> None:
        """Tell the application that its client has left: all of a connection are told by one of them, maybe, which ends
        as soon as it has heard it itself.
        """
        with trio.move_on_after(_HEARD_WITHIN, shield=True):
            await super()._close_stream(stream_id)

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Pass over it, as RFC 9113 allows: the streams take turns."""

    async def stream_send(self, event: Any) -> None:  # noqa: ANN401 - passed on
        if isinstance(event, Response):
            self._frames.sent(1, trio.current_time())
        stream_id: int = event.stream_id
        with trio.CancelScope(deadline=trio.current_time() + self._stalled) as scope:
            self._patience[stream_id] = scope
            await super().stream_send(event)
        if self._patience.get(stream_id) is scope:
            del self._patience[stream_id]
        if scope.cancelled_caught:
            self._reset(stream_id, h2.errors.ErrorCodes.CANCEL)
            await self._close_stream(stream_id)
            await self._window_updated(stream_id)  # so that what waits is let go
            await self._flush()

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers[stream_id].buffer
        before = len(buffer)
        await super()._send_data(stream_id)
        if len(buffer) < before:
            self._frames.sent(1, trio.current_time())
            if stream_id in self._patience:
                self._patience[stream_id].deadline = trio.current_time() + self._stalled

    @property
    def _stalled(self) -> float:
        return _LONGER * self._limits.stalled

    @property
    def _limits(self) -> LimitSettings:
        policy: Policy = self.connection_state["policy"]
        return policy.limits

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):  # the client was faster
            self.connection.reset_stream(stream_id, code)


class _Buffer(StreamBuffer):
    """What a stream of HTTP/2 has not sent yet. Hypercorn lets more in whenever little went out: without end, for a
    client that opens no window. And it lets more in at once than anybody needs.
    """

    async def push(self, data: bytes) -> None:
        await super().push(data)
        if len(self.buffer) >= _ENOUGH:
            await self._paused.wait()
            await self._paused.clear()

    async def pop(self, max_length: int) -> bytes:
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < _ENOUGH:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


hypercorn.protocol.H11Protocol = _PlainH11  # type: ignore[attr-defined]
hypercorn.protocol.H2Protocol = _PlainH2  # type: ignore[attr-defined]
hypercorn.protocol.h2.StreamBuffer = _Buffer  # type: ignore[misc]


class _Connection(TCPServer):
    """Of a peer that has left, Hypercorn would keep the connection until it has idled long enough; at a stop, it would
    close one whose first request is not read yet, and one that is just about to be answered.
    """

    _left = False
    _asked = False
    _busy = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._left = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated):
            self._busy = not event.idle
            self._asked |= self._busy
        if not (self._left and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _idle_timeout(self) -> None:  # a request ends it
        with trio.move_on_after(self.config.keep_alive_timeout):
            await self.context.terminated.wait()
            await trio.lowlevel.checkpoint()  # meanwhile, what has come before is read
            if not self._was_asked:
                await trio.sleep(_FIRST)
        if self._is_busy:
            return  # since this moment; it comes again after the answer
        with trio.CancelScope(shield=True):
            if isinstance(self.protocol.protocol, _PlainH2):
                await self.protocol.protocol.part()
            await self._initiate_server_close()

    @property
    def _was_asked(self) -> bool:
        http2 = self.protocol.protocol
        return http2.was_asked if isinstance(http2, _PlainH2) else self._asked

    @property
    def _is_busy(self) -> bool:
        http2 = self.protocol.protocol
        return not http2.idle if isinstance(http2, _PlainH2) else self._busy


def _buffered(connection: _Connection) -> int:
    """Give the bytes of its answers that have not come to the stream."""
    http2 = getattr(connection, "protocol", None)
    return http2.protocol.waiting if http2 and isinstance(http2.protocol, _PlainH2) else 0


def _break_circles(connection: _Connection) -> None:
    """Have all of a connection that has ended go at once. What refers to itself would stay until somebody looks."""
    protocol = vars(connection).pop("protocol", None)
    if protocol is not None and isinstance(protocol.protocol, _PlainH2):
        vars(protocol.protocol.connection).clear()


async def _abort_at_end(stream: Stream) -> None:
    """Cut off a peer when its connection is cancelled, which does not reach what Hypercorn is sending."""
    try:
        await trio.sleep_forever()
    finally:
        stream.abort()


class Server:
    """Serves `app` on any number of connections, until `stop` lets idle ones go."""

    def __init__(
        self, app: ASGIApp, *, keep_alive: float, head_bytes: int, refused: Callable[..., None]
    ) -> None:
        """`refused` is told of each connection that cannot go on, with the limit that it had come to, if it was one."""
        # A client may have sent many requests at once, and each takes long enough for others to notice.
        self._turnstile = Turnstile(room=0.0)
        self._refused = refused
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]
        self.exchanges: set[Exchange] = set()
        self._context = WorkerContext(None)
        config = Config()
        config.errorlog = logging.getLogger("hypercorn.error")
        config.accesslog = None
        config.include_server_header = False
        config.keep_alive_timeout = keep_alive
        config.h11_max_incomplete_size = head_bytes
        config.h2_max_header_list_size = head_bytes
        self._config = config

    async def serve(self, stream: Stream, policy: Policy, peer: Peer) -> None:
        def stalled() -> float:
            return policy.limits.stalled

        face = SecuredFace(stream, stalled) if stream.is_tls else Face(stream, stalled)
        state: dict[str, Any] = {
            "policy": policy,
            "peer": peer,
            "stream": stream,
            "turnstile": self._turnstile,
            "refused": self._refused,
        }
        async with trio.open_nursery() as nursery:  # ends with the connection
            nursery.start_soon(_abort_at_end, stream)
            connection = _Connection(self._app, self._config, self._context, state, face)  # type: ignore[arg-type]
            exchange = Exchange(stream, partial(_buffered, connection))
            self.exchanges.add(exchange)
            try:
                await connection
            finally:
                self.exchanges.discard(exchange)
                _break_circles(connection)
            nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Let go of connections that have no request under way."""
        await self._context.terminated.set()
