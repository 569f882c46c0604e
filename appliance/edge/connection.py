"""One connection, from accept to the one who serves it: TLS, request head, then WebSocket session or HTTP server."""

from __future__ import annotations

import contextlib
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

import attrs
import structlog
import trio

from appliance.access import certificates
from appliance.access.gate import Peer
from appliance.core.errors import ErrorCode, RequestError
from appliance.edge import forwarded, hello, introduction, proxy_protocol, upgrade, websocket
from appliance.edge import head as heads
from appliance.edge.admission import Refusal
from appliance.edge.line import Caller
from appliance.edge.refusal import goaway, response
from appliance.edge.session import Session
from appliance.edge.stream import Stream

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    from appliance.edge.admission import Place
    from appliance.edge.head import Head
    from appliance.edge.line import Way
    from appliance.edge.policy import Policy
    from appliance.edge.surroundings import Surroundings
    from appliance.edge.ways import Ways

_log = structlog.get_logger()

SUBPROTOCOL = "appliance.v1"
"""What is agreed on when a client offers subprotocols, as a browser does to show its key."""


class HttpServer(Protocol):
    """Serves all that is no WebSocket."""

    async def serve(self, stream: Stream, policy: Policy, peer: Peer) -> None: ...


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
    context: Callable[[bytes], ssl.SSLContext] | None


class Unserved(Exception):  # noqa: N818 - an answer
    """The connection gets this last answer, if any, and is closed, or `cut` off without more ado; `kind` is what it is
    counted as.
    """

    def __init__(
        self, kind: str, answer: bytes = b"", *, limit: str | None = None, cut: bool = False
    ) -> None:
        super().__init__(kind)
        self.cut = cut
        self.kind = kind
        self.answer = answer
        self.limit = limit


async def serve(arrival: Arrival, reception: Reception) -> None:
    """Serve a connection to its end. Peers that leave, stall or talk nonsense are no errors of the server."""
    admission, traffic = reception.around.admission, reception.around.traffic
    place = admission.connect(arrival.policy)
    if place is None:
        traffic.refused("too_many_connections", "connections")
        return
    try:
        await _serve(arrival, reception, place)
    finally:
        admission.disconnect(place)


async def _serve(arrival: Arrival, reception: Reception, place: Place) -> None:
    stream = Stream(arrival.sock, reception.around.turnstile)
    policy, limits = arrival.policy, arrival.policy.limits
    deadline = trio.current_time() + limits.handshake
    try:
        address = arrival.address
        if policy.proxy_protocol != "off":
            with _before(reception, deadline):
                address = await _introduced(arrival)
        if not policy.trusts(address):
            _count(reception, place, address)
        if arrival.context is not None:
            with _before(reception, deadline):
                stream = await _secured(stream, arrival.context)
                await _agree(stream)
        peer = _peer(address, stream)
        stream.limit_unsent(limits.unsent)
        head = None  # HTTP/2 has no such thing
        if stream.alpn != "h2":
            with _before(reception, deadline, response(HTTPStatus.REQUEST_TIMEOUT, "no request in time")):
                head = await _head(stream, limits.head_bytes)
        if head is not None and head.wants_websocket:
            peer = _proxied(peer, head, reception, place)
            await _serve_socket(place, reception, stream, Caller(peer=peer, head=head), deadline=deadline)
            await stream.finish(within=limits.linger)
        elif place.refusal is not None:
            raise _turned_away(place.refusal, over_http2=head is None)
        else:
            await reception.http.serve(stream, policy, peer)
    except Unserved as unserved:
        reception.around.traffic.refused(unserved.kind, unserved.limit)
        _log.debug("connection refused", client=arrival.address, why=unserved.kind)
        await _let_go(stream, unserved, within=limits.linger)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        reception.around.traffic.errors["connection_lost"] += 1
    finally:
        stream.abort()


async def _let_go(stream: Stream, unserved: Unserved, *, within: float) -> None:
    if unserved.answer:
        stream.push(unserved.answer)
    if not unserved.cut:
        await stream.finish(within=within)


async def _introduced(arrival: Arrival) -> str:
    """Hear from a balancer who its client is; it may speak for itself, too."""
    if not arrival.policy.trusts(arrival.address):
        raise Unserved("foreign_proxy")
    try:
        header = await introduction.hear(arrival.sock, arrival.policy.proxy_protocol)
    except proxy_protocol.MalformedError:
        raise Unserved("bad_proxy_header") from None
    except OSError:
        raise trio.BrokenResourceError from None
    if header is None:
        raise Unserved("left_before_proxy_header")
    return header.address or arrival.address


def _count(reception: Reception, place: Place, address: str) -> None:
    """Count a connection as one of its address, or close it."""
    admission, origin = reception.around.admission, place.policy.origin(address)
    if not admission.knock(place.policy, origin, trio.current_time()):
        raise Unserved("too_many_handshakes", limit="handshakes_per_minute", cut=True)
    if not admission.settle(place, origin):
        raise Unserved("too_many_connections", limit="connections_per_address", cut=True)


def _proxied(peer: Peer, head: Head, reception: Reception, place: Place) -> Peer:
    """Give who asks for a WebSocket: the client of a trusted proxy, where it is one that asks."""
    policy, around = place.policy, reception.around
    if not policy.trusts(peer.address):
        return peer
    try:
        found = forwarded.find(policy.forwarded, head.headers, peer.address, policy.trusts)
    except forwarded.MalformedError:
        around.traffic.errors["bad_forwarded"] += 1
        return peer
    if not around.admission.settle(place, policy.origin(found.address)):
        raise Unserved("too_many_connections", limit="connections_per_address", cut=True)
    return attrs.evolve(peer, address=found.address)


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
        raise Unserved("slow_head", answer, limit="handshake") from None


async def _secured(stream: Stream, context: Callable[[bytes], ssl.SSLContext]) -> Stream:
    first = await stream.peek(hello.LONGEST)
    if first[:1] != bytes((hello.HANDSHAKE,)):
        raise _not_tls(first)
    return stream.secured(context(first))


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


def _peer(address: str, stream: Stream) -> Peer:
    shown = stream.peer_certificate
    return Peer(address, None if shown is None else certificates.read(shown))


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
            answer = response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
            raise Unserved("huge_head", answer, limit="head_bytes")
    stream.unread(data)
    if data.startswith(heads.HTTP2_PREFACE):
        return None
    head = heads.parse(data[: data.index(heads.END) + len(heads.END)])
    if head is None:
        raise Unserved("malformed_head", response(HTTPStatus.BAD_REQUEST, "the request head is malformed"))
    return head


async def _serve_socket(
    place: Place, reception: Reception, stream: Stream, caller: Caller, *, deadline: float
) -> None:
    policy, around, head = place.policy, reception.around, caller.head
    way = _way(reception, head)
    _check_upgrade(policy, head)
    if way.unauthorized is not None:
        _check_credential(policy, reception, caller, way.unauthorized)
    refused = place.refusal or _refused(policy, reception, caller.address)
    if refused is not None and way.unauthorized is not None:
        raise _turned_away(refused)
    try:
        async with _lone_errors(), trio.open_nursery() as nursery:  # ends with the session
            with trio.fail_at(deadline):
                socket = await websocket.accept(
                    nursery,
                    stream,
                    most_bytes=policy.bounds.message_bytes,
                    per_minute=policy.bounds.messages_per_minute,
                    subprotocol=SUBPROTOCOL if head.offers(SUBPROTOCOL.encode()) else None,
                )
            session = Session(socket, policy, caller, around, way.dialogue)
            await (session.run() if refused is None else session.refuse(refused))
            nursery.cancel_scope.cancel()
    except trio.TooSlowError:
        raise Unserved("slow_upgrade", limit="handshake") from None
    except websocket.UpgradeFailed:
        raise Unserved("bad_upgrade") from None  # trio-websocket has said why
    finally:
        if refused is None:
            reception.around.admission.close(policy)


def _refused(policy: Policy, reception: Reception, address: str) -> Refusal | None:
    """Count the client in, or say why it is not let in."""
    refused = reception.around.admission.greet(policy, address, trio.current_time())
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


def _check_credential(policy: Policy, reception: Reception, caller: Caller, unauthorized: str) -> None:
    head = caller.head
    try:
        policy.admit(head.headers, head.query, reception.around.gate(), caller.peer)
    except RequestError as error:
        if error.retry_after is not None:
            wrong = Refusal(error.code, error.message, error.retry_after, error.limit)
            raise _turned_away(wrong) from None
        headers = {"www-authenticate": 'Bearer realm="appliance"'}
        answer = response(HTTPStatus.UNAUTHORIZED, unauthorized, headers)
        raise Unserved(error.code, answer) from None


def _turned_away(refused: Refusal, *, over_http2: bool = False) -> Unserved:
    """Say before anything else is said that there is no room, or not yet."""
    if over_http2:
        text = f"{refused.message}; retry_after={refused.retry_after:.1f}"
        return Unserved(refused.code, goaway(text), limit=refused.limit)
    limited = refused.code is ErrorCode.RATE_LIMITED
    status = HTTPStatus.TOO_MANY_REQUESTS if limited else HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"retry-after": f"{max(1, math.ceil(refused.retry_after))}"}
    return Unserved(refused.code, response(status, refused.message, headers), limit=refused.limit)


def _check_upgrade(policy: Policy, head: Head) -> None:
    try:
        upgrade.check(head)
    except upgrade.BadUpgradeError as error:
        raise Unserved("bad_upgrade", response(error.status, error.problem, error.headers)) from None
    if not policy.admits_origin(head.get(b"origin"), head.get(b"host")):
        raise Unserved(
            "foreign_origin",
            response(HTTPStatus.FORBIDDEN, "this origin may not connect (listen.origins)"),
        )
