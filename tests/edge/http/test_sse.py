"""The stream as server-sent events, over both versions of HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import h2.config
import h2.connection
import h2.events
import h11
import httpx
import pytest
import trio
from structlog.testing import capture_logs

from appliance.edge.http import sse
from appliance.edge.surroundings import Ending
from tests.edge.stage import KEY, PATIENCE, Stage, configuration, playing, rest, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT = 0.2
"""Seconds of a deadline that a test waits for."""
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


class Conversation(Protocol):
    """One request, in a version of HTTP."""

    def request(self, path: str) -> bytes: ...

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what came; give the part of the body in it, and what is to be answered."""

    @property
    def head(self) -> dict[bytes, bytes]: ...

    @property
    def ended(self) -> bool: ...


class First:
    """HTTP/1.1."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self.ended = False
        self.head: dict[bytes, bytes] = {}

    def request(self, path: str) -> bytes:
        request = h11.Request(method="GET", target=path, headers=[("host", "x"), *AUTHORIZED.items()])
        return (self._connection.send(request) or b"") + (self._connection.send(h11.EndOfMessage()) or b"")

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        self._connection.receive_data(data)
        body = b""
        while True:
            match self._connection.next_event():
                case h11.Response(status_code=status, headers=headers):
                    self.head = {**dict(headers), b":status": b"%d" % status}
                case h11.Data(data=part):
                    body += bytes(part)
                case event:
                    self.ended = isinstance(event, h11.EndOfMessage)
                    return body, b""


class Second:
    """HTTP/2."""

    def __init__(self) -> None:
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.ended = False
        self.head: dict[bytes, bytes] = {}

    def request(self, path: str) -> bytes:
        self._connection.initiate_connection()
        pseudo = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x")]
        self._connection.send_headers(1, [*pseudo, *AUTHORIZED.items()], end_stream=True)
        return self._connection.data_to_send()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        body = b""
        for event in self._connection.receive_data(data):
            match event:
                case h2.events.ResponseReceived(headers=headers):
                    self.head = dict(headers)
                case h2.events.DataReceived(data=part, flow_controlled_length=length):
                    body += part
                    self._connection.acknowledge_received_data(length, 1)
                case h2.events.StreamEnded():
                    self.ended = True
        return body, self._connection.data_to_send()


@attrs.define
class Reader:
    """What an `EventSource` would make of it."""

    stream: trio.SocketStream
    conversation: Conversation
    retry: int | None = None
    comments: int = 0
    waiting: bytes = b""

    async def block(self) -> bytes | None:
        """Give what stands before the next empty line, or None at the end of the stream."""
        with trio.fail_after(PATIENCE):
            while b"\n\n" not in self.waiting:
                if self.conversation.ended:
                    assert self.waiting == b""
                    return None
                data = bytes(await self.stream.receive_some(65_536))
                body, answer = self.conversation.receive(data)
                self.waiting += body
                await self.stream.send_all(answer)
                assert data, "cut off"
        block, _, self.waiting = self.waiting.partition(b"\n\n")
        return block

    async def event(self) -> dict[str, Any]:
        while (event := await self.event_or_end()) is None:
            raise AssertionError("the stream has ended")
        return event

    async def event_or_end(self) -> dict[str, Any] | None:
        """Give the next event, or None at the end of the stream."""
        while (block := await self.block()) is not None:
            name, _, value = block.partition(b": ")
            if name == b"data":
                message: dict[str, Any] = json.loads(value)
                return message
            if name == b"retry":
                self.retry = int(value)
            else:
                assert block.startswith(b":")
                self.comments += 1
        return None


@contextlib.asynccontextmanager
async def reading(stage: Stage, channels: str, *, http2: bool = False) -> AsyncIterator[Reader]:
    conversation = Second() if http2 else First()
    async with await stage.dial() as stream:
        await stream.send_all(conversation.request(f"/sse?channels={channels}"))
        yield Reader(stream, conversation)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing() as opened:
            yield opened
            await until(lambda: opened.around.admission.connections == 0)
            assert opened.around.admission.sessions == 0
            assert opened.around.sessions == set()
            assert opened.traffic.opened == opened.traffic.closed
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


async def ask(stage: Stage, query: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        return await http.get(f"http://127.0.0.1:{stage.port}/sse{query}", headers=AUTHORIZED)


# --- The stream. ---


@pytest.mark.parametrize("http2", [False, True])
async def test_events_arrive_behind_position_and_snapshot(stage: Stage, *, http2: bool) -> None:
    stage.publish("price", "BTC", price=1)
    async with reading(stage, "price:BTC,trades:x", http2=http2) as reader:
        answer = await reader.event()
        head = reader.conversation.head
        assert head[b":status"] == b"200"
        assert head[b"content-type"].startswith(b"text/event-stream")
        assert head[b"cache-control"] == b"no-store"
        assert reader.retry == 2_000
        assert [(at["channel"], at["offset"]) for at in answer["channels"]] == [
            ("price:BTC", 1),
            ("trades:x", 0),
        ]
        assert await reader.event() == {
            "type": "price_update",
            "channel": "price:BTC",
            "offset": 1,
            "data": {"price": 1},
        }
        for amount in range(200):
            stage.publish("trades", "x", amount=amount)
        for amount in range(200):
            event = await reader.event()
            assert (event["offset"], event["data"]) == (amount + 1, {"amount": amount})
        assert stage.around.admission.sessions == 1
        assert stage.traffic.opened == 1
    await until(lambda: stage.around.admission.sessions == 0)
    assert stage.traffic.sent_bytes > 1_000


async def test_aliases_patterns_and_newcomers(stage: Stage) -> None:
    async with reading(stage, "price:bitcoin,trades:*,price:bitcoin") as reader:
        answer = await reader.event()
        assert [at["channel"] for at in answer["channels"]] == ["price:bitcoin"]
        assert answer["patterns"] == ["trades:*"]
        stage.publish("price", "BTC", price=1)
        stage.publish("trades", "new", amount=1)
        events = [await reader.event() for _ in range(3)]
        assert [event["type"] for event in events] == ["price_update", "subscribed", "trade"]


async def test_silence_is_broken_by_comments(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_KEEP_ALIVE", 0.02)
    async with reading(stage, "price:BTC") as reader:
        await reader.event()
        while reader.comments < 3:
            block = await reader.block()
            assert block is not None
            reader.comments += block.startswith(b":")
        stage.publish("price", "BTC", price=1)
        event = await reader.event()
        assert event["data"] == {"price": 1}


# --- What is refused. ---


@pytest.mark.parametrize("query", ["", "?channels=", "?channels=,,", "?channel=price:BTC"])
async def test_no_channels_are_told(stage: Stage, query: str) -> None:
    answer = await ask(stage, query)
    assert answer.status_code == 400
    assert "/sse?channels=" in answer.json()["error"]


@pytest.mark.parametrize(
    "channels", ["nowhere:x", "price:BTC,nowhere:x", "price", "nowhere:*", "price:B*C", "%ff"]
)
async def test_unknown_channels_are_told_and_nothing_is_left_behind(stage: Stage, channels: str) -> None:
    answer = await ask(stage, f"?channels={channels}")
    assert answer.status_code == 404
    assert answer.json()["success"] is False
    assert stage.around.admission.sessions == 0
    assert stage.errors == {"INVALID_CHANNEL": 1}
    stage.publish("price", "BTC", price=1)  # which nobody reads


async def test_too_many_channels_are_told() -> None:
    async with playing(configuration(limits={"subscriptions": 2})) as stage:
        answer = await ask(stage, "?channels=price:BTC,price:ETH,trades:x")
        assert answer.status_code == 429
        assert "limits.subscriptions" in answer.json()["error"]
        assert stage.around.admission.sessions == 0


async def test_one_session_too_many_is_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"sessions": 1})) as stage:
        async with reading(stage, "price:BTC"):
            answer = await ask(stage, "?channels=price:BTC")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "capacity" in answer.json()["error"]
        await until(lambda: stage.around.admission.sessions == 0)
        async with reading(stage, "price:BTC") as reader:
            assert (await reader.event())["type"] == "subscribed"


async def test_one_connection_a_minute_too_many_is_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"connections_per_minute": 1})) as stage:
        async with reading(stage, "price:BTC"):
            answer = await ask(stage, "?channels=price:BTC")
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert "limits.connections_per_minute" in answer.json()["error"]


async def test_a_look_at_the_head_opens_no_session(stage: Stage) -> None:
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        url = f"http://127.0.0.1:{stage.port}/sse?channels=price:BTC"
        answer = await http.head(url, headers=AUTHORIZED)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert stage.around.admission.sessions == 0


# --- Ends. ---


@pytest.mark.parametrize("http2", [False, True])
async def test_an_ended_stream_gets_what_it_is_owed_and_when_to_come_back(
    stage: Stage, *, http2: bool
) -> None:
    async with reading(stage, "trades:x", http2=http2) as reader:
        await reader.event()
        stage.publish("trades", "x", amount=1)
        await stage.flusher.settled()
        (session,) = stage.around.sessions
        session.end(Ending(1012, "SERVER_RESTART", 1.5))
        event = await reader.event()
        assert event["data"] == {"amount": 1}
        assert await reader.event_or_end() is None
        assert reader.retry == 1_500


async def test_a_client_that_resets_is_let_go(stage: Stage) -> None:
    for _ in range(3):
        stream = await stage.dial()
        await stream.send_all(
            b"GET /sse?channels=price:* HTTP/1.1\r\nHost: x\r\nX-API-Key: " + KEY.encode() + b"\r\n\r\n"
        )
        await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        stage.publish("price", "BTC", price=1)
    await until(lambda: stage.around.admission.sessions == 0)


@contextlib.asynccontextmanager
async def stalled(stage: Stage, channel: str) -> AsyncIterator[trio.SocketStream]:
    """A client with little room that reads no more than the head of the answer."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    async with trio.SocketStream(sock) as stream:
        head = f"GET /sse?channels={channel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {KEY}\r\n\r\n"
        await stream.send_all(head.encode())
        assert bytes(await stream.receive_some(12)) == b"HTTP/1.1 200"
        await until(lambda: len(stage.around.sessions) > 0)
        yield stream


async def overwhelm(stage: Stage, channel: str, rounds: int = 200) -> None:
    for _ in range(rounds):
        stage.publish(channel, "BTC", filler="x" * 50_000)
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("channel", ["price", "trades"])
async def test_a_client_that_takes_nothing_is_cut_off(channel: str) -> None:
    async with playing(configuration(limits={"stalled": SHORT})) as stage, stalled(stage, f"{channel}:BTC"):
        await overwhelm(stage, channel)
        await until(lambda: stage.around.admission.connections == 0)
        assert stage.around.admission.sessions == 0
        assert stage.around.sessions == set()


async def test_a_stream_of_http2_that_takes_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection lives on: nothing of TCP would tell."""
    monkeypatch.setattr(sse, "_GOODBYE", SHORT)
    async with playing(configuration(limits={"stalled": SHORT})) as stage, await stage.dial() as stream:
        await stream.send_all(Second().request("/sse?channels=price:BTC"))
        await until(lambda: len(stage.around.sessions) == 1)
        async with trio.open_nursery() as nursery:  # ends when the session has
            nursery.start_soon(rest, stream)  # what comes is taken, but no window opened
            while stage.around.admission.sessions:
                await overwhelm(stage, "price", 1)
                await trio.sleep(0.005)
            assert stage.around.admission.connections == 1
            nursery.cancel_scope.cancel()
        assert stage.errors == {"SLOW_CLIENT": 1}


async def test_a_client_that_is_too_slow_for_a_log_is_told_where_it_can_resume() -> None:
    async with playing() as stage, stalled(stage, "trades:BTC") as stream:
        await overwhelm(stage, "trades", 400)
        data = await rest(stream)
        texts = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
        _, *events, error = [json.loads(text) for text in texts]
        assert error["error"]["code"] == "SLOW_CLIENT"
        offsets = [event["offset"] for event in events]
        assert offsets == list(range(1, len(offsets) + 1))
        assert error["error"]["resume"]["trades:BTC"]["offset"] == offsets[-1] < 400
        assert stage.errors == {"SLOW_CLIENT": 1}
