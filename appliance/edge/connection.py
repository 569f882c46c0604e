"""One connection, from accept to the one who serves it: TLS, request head, then WebSocket session or HTTP server."""

from __future__ import annotations

import contextlib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import attrs
import structlog
import trio

from appliance.core.errors import ErrorCode, RequestError
from appliance.edge import head as heads
from appliance.edge import websocket
from appliance.edge.line import Caller
from appliance.edge.refusal import response
from appliance.edge.session import Session
from appliance.edge.stream import Stream

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.edge.admission import Refusal
    from appliance.edge.head import Head
    from appliance.edge.line import Way
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings
    from appliance.edge.ways import Ways

_log = structlog.get_logger()

SUBPROTOCOL = "appliance.v1"
"""What is agreed on when a client offers subprotocols, as a browser does to show its key."""

_TLS_HANDSHAKE = 0x16


class HttpServer(Protocol):
    """Serves all that is no WebSocket."""

    async def serve(self, stream: Stream, policy: Policy) -> None: ...


@attrs.frozen(kw_only=True)
class Reception:
    """Where connections are received: what routing needs to know, shared by all listeners."""

    around: Surroundings
    http: HttpServer
    ways: Ways
    arriving: set[trio.CancelScope] = attrs.field(factory=set)
    """Of connections that have not asked for anything yet; at a stop they are cancelled."""


@attrs.frozen(kw_only=True)
class Arrival:
    """A connection as it was accepted, and what holds for it."""

    sock: socket.socket
    address: str
    policy: Policy
    context: Callable[[], ssl.SSLContext] | None


class Unserved(Exception):  # noqa: N818 - an answer
    """The connection gets this last answer, if any, and is closed; `kind` is what it is counted as."""

    def __init__(self, kind: str, answer: bytes = b"") -> None:
        super().__init__(kind)
        self.kind = kind
        self.answer = answer


async def serve(arrival: Arrival, reception: Reception) -> None:
    """Serve a connection to its end. Peers that leave, stall or talk nonsense are no errors of the server."""
    stream = Stream(arrival.sock)
    limits = arrival.policy.limits
    deadline = trio.current_time() + limits.handshake
    try:
        if arrival.context is not None:
            with _before(reception, deadline):
                stream = await _secured(stream, arrival.context)
                await _agree(stream)
        stream.limit_unsent(limits.unsent)
        head = None  # HTTP/2 has no such thing
        if stream.alpn != "h2":
            with _before(reception, deadline, response(HTTPStatus.REQUEST_TIMEOUT, "no request in time")):
                head = await _head(stream, limits.head_bytes)
        if head is not None and head.wants_websocket:
            await _serve_socket(arrival, reception, stream, head, deadline=deadline)
            await stream.finish(within=limits.linger)
        else:
            await reception.http.serve(stream, arrival.policy)
    except Unserved as unserved:
        reception.around.traffic.errors[unserved.kind] += 1
        _log.debug("connection refused", client=arrival.address, why=unserved.kind)
        if unserved.answer:
            stream.push(unserved.answer)
        await stream.finish(within=limits.linger)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        reception.around.traffic.errors["connection_lost"] += 1
    finally:
        stream.abort()


@contextlib.contextmanager
def _before(reception: Reception, deadline: float, answer: bytes = b"") -> Iterator[None]:
    try:
        with trio.fail_at(deadline) as scope:
            reception.arriving.add(scope)
            try:
                yield
            finally:
                reception.arriving.discard(scope)
    except trio.TooSlowError:
        raise Unserved("slow_head", answer) from None


async def _secured(stream: Stream, context: Callable[[], ssl.SSLContext]) -> Stream:
    first = await stream.peek()
    if first[:1] != bytes((_TLS_HANDSHAKE,)):
        raise _not_tls(first)
    return stream.secured(context())


async def _agree(stream: Stream) -> None:
    try:
        await stream.handshake()
    except trio.BrokenResourceError:
        raise Unserved("bad_handshake") from None


def _not_tls(first: bytes) -> Unserved:
    if not first:
        return Unserved("left_before_hello")
    if heads.begins_like_http(first):
        text = "this port speaks TLS: use https:// or wss://"
        return Unserved("http_on_tls", response(HTTPStatus.BAD_REQUEST, text))
    return Unserved("garbage_before_hello")


async def _head(stream: Stream, most: int) -> Head | None:
    data = b""
    while heads.END not in data:
        more = await stream.receive_some()
        if not more:
            raise Unserved("left_before_head" if not data else "cut_head")
        data += more
        if data.startswith(heads.TLS_RECORD):
            raise Unserved("tls_on_plain")
        if not heads.begins_like_http(data):
            raise Unserved("no_http", response(HTTPStatus.BAD_REQUEST, "this is no HTTP request"))
        if len(data) > most and data.find(heads.END, 0, most) < 0:
            text = f"the request head is over {most} bytes (limits.head_bytes)"
            raise Unserved("huge_head", response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text))
    stream.unread(data)
    if data.startswith(heads.HTTP2_PREFACE):
        return None
    head = heads.parse(data[: data.index(heads.END) + len(heads.END)])
    if head is None:
        raise Unserved("malformed_head", response(HTTPStatus.BAD_REQUEST, "the request head is malformed"))
    return head


async def _serve_socket(
    arrival: Arrival, reception: Reception, stream: Stream, head: Head, *, deadline: float
) -> None:
    policy, around = arrival.policy, reception.around
    way = _way(reception, head)
    _check_upgrade(policy, head)
    if way.unauthorized is not None:
        _check_credential(arrival, reception, head, way.unauthorized)
    refused = _refused(arrival, reception)
    if refused is not None and way.unauthorized is not None:
        raise Unserved(refused.code, _refusal(refused))
    try:
        async with _lone_errors(), trio.open_nursery() as nursery:  # ends with the session
            with trio.fail_at(deadline):
                socket = await websocket.accept(
                    nursery,
                    stream,
                    most_bytes=policy.bounds.message_bytes,
                    subprotocol=SUBPROTOCOL if head.offers(SUBPROTOCOL.encode()) else None,
                )
            caller = Caller(address=arrival.address, head=head)
            session = Session(socket, policy, caller, around, way.dialogue)
            await (session.run() if refused is None else session.refuse(refused))
            nursery.cancel_scope.cancel()
    except trio.TooSlowError:
        raise Unserved("slow_upgrade") from None
    except websocket.UpgradeFailed:
        raise Unserved("bad_upgrade") from None  # trio-websocket has said why
    finally:
        if refused is None:
            reception.around.admission.close(policy)


def _refused(arrival: Arrival, reception: Reception) -> Refusal | None:
    """Count the client in, or say why it is not let in."""
    policy = arrival.policy
    refused = reception.around.admission.greet(policy, arrival.address, trio.current_time())
    return refused or reception.around.admission.open(policy)


@contextlib.asynccontextmanager
async def _lone_errors() -> AsyncIterator[None]:
    """Let the only error of a nursery out of its group, for those who wait for it by name."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _way(reception: Reception, head: Head) -> Way:
    way = reception.ways.find(head.path)
    if way is None:
        text = f"no WebSocket here; there is one at {reception.ways}"
        raise Unserved("unknown_path", response(HTTPStatus.NOT_FOUND, text))
    return way


def _check_credential(arrival: Arrival, reception: Reception, head: Head, unauthorized: str) -> None:
    try:
        arrival.policy.admit(head.headers, head.query, reception.around.authenticator())
    except RequestError as error:
        headers = {"www-authenticate": 'Bearer realm="appliance"'}
        answer = response(HTTPStatus.UNAUTHORIZED, unauthorized, headers)
        raise Unserved(error.code, answer) from None


def _refusal(refused: Refusal) -> bytes:
    limited = refused.code is ErrorCode.RATE_LIMITED
    status = HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.SERVICE_UNAVAILABLE
    return response(status, refused.message, {"retry-after": f"{math.ceil(refused.retry_after)}"})


def _check_upgrade(policy: Policy, head: Head) -> None:
    if not head.is_plain:
        text = "the head of a WebSocket upgrade is plain ASCII"
        raise Unserved("bad_upgrade", response(HTTPStatus.BAD_REQUEST, text))
    if head.get(b"sec-websocket-version") != b"13" or not head.get(b"sec-websocket-key"):
        raise Unserved(
            "bad_upgrade",
            response(
                HTTPStatus.UPGRADE_REQUIRED,
                "a WebSocket upgrade has Sec-WebSocket-Version 13 and a Sec-WebSocket-Key (RFC 6455)",
                {"upgrade": "websocket", "sec-websocket-version": "13"},
            ),
        )
    if not policy.admits_origin(head.get(b"origin"), head.get(b"host")):
        raise Unserved(
            "foreign_origin",
            response(HTTPStatus.FORBIDDEN, "this origin may not connect (listen.origins)"),
        )
