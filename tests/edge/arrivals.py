"""Every way in, as clients take it: each shows a card and looks for the price of BTC, or for what the way is for."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
from typing import TYPE_CHECKING, Any

import attrs
import httpx
import trio
import trio_websocket

from tests.edge.stage import PATIENCE, UNTRUSTING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.edge.stage import Stage

DATA = "data"
"""It was let in, and got what it came for."""
NOTHING = "nothing"
"""It was let in, and what it came for is not there for it."""
TURNED_AWAY = "turned away"
"""It was refused by TLS already."""
TURNED = (
    httpx.TransportError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio_websocket.HandshakeError,
    trio_websocket.ConnectionClosed,
)
"""How clients say that the server has left before there was anything to say."""
HIDDEN = "hidden-marker"
HIDDEN_NUMBER = 987_654_321
"""In fields that are hidden from some."""
SHOWN = {"account": "mine", "note": HIDDEN, "volume": HIDDEN_NUMBER}
WITHHELD = "withheld-marker"
WITHHELD_NUMBER = 666_666
"""In events that are withheld from some."""
_QUIET = 0.1
"""Seconds in which what is not there does not come."""
_TRADES = 5
"""So many trades come in more than the time of a beat."""


@attrs.frozen
class Card:
    """What a client shows: a text, a certificate with its key, or nothing; and what is never to come of it."""

    text: str | None = None
    certificate: Path | None = None
    unseen: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    monitors: bool = attrs.field(default=False, kw_only=True)

    def check(self, content: bytes | str) -> None:
        text = content if isinstance(content, str) else content.decode("latin-1")
        found = [each for each in self.unseen if each in text]
        assert not found, text


@functools.cache
def _context(authority: Path, certificate: Path | None, *alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate)
        # With 1.3 the client would be done before the server has looked, and be told by a reset.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@attrs.frozen
class Visit:
    """A client about to come in."""

    stage: Stage
    authority: Path
    card: Card
    expected: str

    @property
    def bearer(self) -> dict[str, str]:
        return {} if self.card.text is None else {"authorization": f"Bearer {self.card.text}"}

    def asking(self, path: str) -> str:
        """Add the card to the query of a path."""
        if self.card.text is None:
            return path
        return f"{path}{'&' if '?' in path else '?'}token={self.card.text}"

    @contextlib.asynccontextmanager
    async def stream(self) -> AsyncIterator[trio.SocketStream | trio.SSLStream[trio.SocketStream]]:
        async with await trio.open_tcp_stream("127.0.0.1", self.stage.port) as tcp:
            if self.stage.client_context is None:
                yield tcp
                return
            stream = trio.SSLStream(
                tcp,
                _context(self.authority, self.card.certificate),
                server_hostname="localhost",
                https_compatible=True,
            )
            await stream.do_handshake()
            yield stream

    @contextlib.asynccontextmanager
    async def socket(
        self, target: str, *, headers: dict[str, str] | None = None, subprotocols: tuple[str, ...] = ()
    ) -> AsyncIterator[Socket]:
        async with self.stream() as stream, trio.open_nursery() as nursery:  # ends with the client
            opened = await trio_websocket.wrap_client_stream(
                nursery,
                stream,
                "localhost",
                target,
                subprotocols=list(subprotocols),
                extra_headers=[(name.encode(), value.encode()) for name, value in (headers or {}).items()],
                message_queue_size=1_000,
            )
            yield Socket(opened, self.card)
            await opened.aclose()
            nursery.cancel_scope.cancel()

    async def ask(
        self, path: str, *, headers: dict[str, str] | None = None, method: str = "GET", **content: Any
    ) -> tuple[int, Any]:
        if self.stage.client_context is None:
            scheme, context = "http", UNTRUSTING
        else:
            scheme, context = "https", _context(self.authority, self.card.certificate, "http/1.1")
        url = f"{scheme}://localhost:{self.stage.port}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, verify=context) as http:
            answer = await http.request(
                method, path, headers=self.bearer if headers is None else headers, **content
            )
            self.card.check(answer.content)
            return answer.status_code, answer.content


@attrs.frozen
class Socket:
    """An open WebSocket, and how it ended if it did."""

    opened: trio_websocket.WebSocketConnection
    card: Card

    async def say(self, **message: Any) -> None:
        # A session that has ended tells why to who hears.
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await self.opened.send_message(json.dumps(message))

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """Give the next message of one of these types, or of any; how the session ended is the type `closed`."""
        while True:
            try:
                with trio.fail_after(PATIENCE):
                    text = await self.opened.get_message()
                self.card.check(text)
                message: dict[str, Any] = json.loads(text)
            except trio_websocket.ConnectionClosed:
                reason = self.opened.closed
                return {"type": "closed", "reason": None if reason is None else reason.reason}
            if not kinds or message.get("type") in kinds:
                return message


async def _own_protocol(socket: Socket) -> str:
    """Subscribe to the price, and ask for its history: both or neither are there."""
    await socket.say(type="subscribe", channels=["price:BTC"])
    told = await socket.hear("subscribed", "error", "closed")
    if told["type"] == "subscribed":
        update = await socket.hear("price_update")
        assert update["data"]["price"] == 5
        # Who is shown all, is: so what others do not see was there to be seen.
        assert socket.card.unseen or update["data"].items() >= SHOWN.items()
    await socket.say(type="history", channel="price:BTC")
    kept = await socket.hear("history", "error", "closed")
    if told["type"] == "subscribed":
        assert kept["type"] == "history"
        withheld = WITHHELD in socket.card.unseen
        assert [event["offset"] for event in kept["events"]] == ([1] if withheld else [1, 2])
        return DATA
    if told["type"] == "closed":
        return str(told["reason"])
    if told["error"]["code"] == "INVALID_CHANNEL":
        assert kept["error"]["code"] == "INVALID_CHANNEL"
        return NOTHING
    return str(told["error"]["code"])


async def header(visit: Visit) -> str:
    async with visit.socket("/ws", headers=visit.bearer) as socket:
        return await _own_protocol(socket)


async def bare_header(visit: Visit) -> str:
    shown = {} if visit.card.text is None else {"authorization": visit.card.text}
    async with visit.socket("/ws", headers=shown) as socket:
        return await _own_protocol(socket)


async def x_api_key(visit: Visit) -> str:
    shown = {} if visit.card.text is None else {"x-api-key": visit.card.text}
    async with visit.socket("/ws", headers=shown) as socket:
        return await _own_protocol(socket)


async def query(visit: Visit) -> str:
    async with visit.socket(visit.asking("/ws")) as socket:
        return await _own_protocol(socket)


async def subprotocol(visit: Visit) -> str:
    offered = () if visit.card.text is None else ("appliance.v1", f"bearer.{visit.card.text}")
    async with visit.socket("/ws", subprotocols=offered) as socket:
        return await _own_protocol(socket)


async def _by_message(visit: Visit, path: str) -> str:
    async with visit.socket(path) as socket:
        if visit.card.text is not None:
            await socket.say(type="auth", token=visit.card.text)
            told = await socket.hear("authenticated", "error", "closed")
            if told["type"] == "error":
                ended = await socket.hear("closed")
                assert ended["reason"] == told["error"]["code"]
                return str(ended["reason"])
        return await _own_protocol(socket)


async def message(visit: Visit) -> str:
    return await _by_message(visit, "/ws")


async def shared_message(visit: Visit) -> str:
    return await _by_message(visit, "/shared")


async def trading(visit: Visit) -> str:
    """Trades come all the time, to who may read them, and prices with each beat."""
    async with visit.socket(visit.asking("/trading")) as socket:
        for _ in range(_TRADES):
            told = await socket.hear("price_update", "trade_executed", "error", "closed")
            if told["type"] == "price_update":
                return DATA
            if told["type"] == "error":
                told = await socket.hear("closed")
            if told["type"] == "closed":
                return str(told["reason"])
        return NOTHING


async def ara(visit: Visit) -> str:
    async with visit.socket(visit.asking("/ws/predictions/BTC")) as socket:
        told = await socket.hear("connected", "error", "closed")
        if told["type"] == "connected":
            told = await socket.hear("prediction_update", "error", "closed")
            return DATA if told["type"] == "prediction_update" else NOTHING
        return str((await socket.hear("closed"))["reason"])


async def data_ws(visit: Visit) -> str:
    """This dialect has no words but rows: who is refused is so before the socket opens."""
    found = NOTHING
    try:
        async with visit.socket("/api/v1/predictions/stream", headers=visit.bearer) as socket:
            with trio.move_on_after(PATIENCE if visit.expected == DATA else _QUIET):
                told = await socket.hear()
                if told.get("type") != "closed":
                    assert "current_price" in told
                    found = DATA
                else:
                    assert str(told["reason"]).startswith("No channel matches")
    except* trio_websocket.ConnectionRejected as group:
        (rejected,) = group.exceptions
        assert isinstance(rejected, trio_websocket.ConnectionRejected)
        found = str(rejected.status_code)
    return found


def _page(path: str) -> Callable[[Visit], Awaitable[str]]:
    """Give a way in by a request whose answer is the price, or that there is no such topic."""

    async def look(visit: Visit) -> str:
        status, content = await visit.ask(path)
        if status == httpx.codes.OK:
            assert b"5" in content
        return {200: DATA, 404: NOTHING}.get(status) or str(status)

    return look


async def rows(visit: Visit) -> str:
    status, content = await visit.ask("/api/v1/channels/price/rows?key=BTC")
    if status != httpx.codes.OK:
        return NOTHING if status == httpx.codes.NOT_FOUND else str(status)
    return DATA if json.loads(content)["data"] else NOTHING


async def latest_prediction(visit: Visit) -> str:
    status, content = await visit.ask("/api/v1/predictions/latest")
    if status != httpx.codes.OK:
        return str(status)
    return DATA if json.loads(content)["success"] else NOTHING


async def sse(visit: Visit) -> str:
    async with visit.stream() as stream:
        path = visit.asking("/sse?channels=price:BTC")
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        data = b""
        with trio.fail_after(PATIENCE):
            while b'"price_update"' not in data and (more := bytes(await stream.receive_some())):
                data += more
    visit.card.check(data)
    status = data.split(b" ", 2)[1].decode()
    if status == "200":
        assert b'"price":5' in data
    return {"200": DATA, "404": NOTHING}.get(status, status)


def _of_everybody(path: str) -> Callable[[Visit], Awaitable[str]]:
    """Give a way in by a request that whoever is let in is answered."""

    async def look(visit: Visit) -> str:
        status, _ = await visit.ask(path, headers=_x_api_key(visit))
        return DATA if status == httpx.codes.OK else str(status)

    return look


def _x_api_key(visit: Visit) -> dict[str, str]:
    return {} if visit.card.text is None else {"x-api-key": visit.card.text}


async def readiness(visit: Visit) -> str:
    """Anybody is answered, and who is let in is told more."""
    status, content = await visit.ask("/ready")
    assert status == httpx.codes.OK
    return DATA if "reasons" in json.loads(content) else NOTHING


async def publishing(visit: Visit) -> str:
    event = {"channel": "price", "key": "BTC", "data": {"price": 5}}
    status, _ = await visit.ask("/api/v1/publish", method="POST", json=event)
    return {200: DATA, 403: NOTHING}.get(status) or str(status)


READING = {
    "header": header,
    "bare header": bare_header,
    "X-API-Key": x_api_key,
    "query": query,
    "subprotocol": subprotocol,
    "first message": message,
    "first message of the shared path": shared_message,
    "trading": trading,
    "ara": ara,
}
"""Ways that end with the code of what is wrong."""

ASKING = {
    "data-ws": data_ws,
    "SSE": sse,
    "events": _page("/api/v1/topics/price:BTC/events"),
    "latest": _page("/api/v1/topics/price:BTC/latest"),
    "rows": rows,
    "latest prediction": latest_prediction,
    "publish": publishing,
}
"""Ways that answer with a status."""

TOLD = {
    "statistics": _of_everybody("/ws/stats"),
    "socket status": _of_everybody("/websocket/status"),
    "metrics": _of_everybody("/metrics"),
}
"""Ways that are the same for all who are let in."""
