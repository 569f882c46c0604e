"""What no client of HTTP sends: it is answered or cut off, never an error of ours, and nobody else feels it."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest
import trio
import trio.testing
from hpack import Encoder
from structlog.testing import capture_logs

from appliance.edge.http.app import Asset
from appliance.edge.http.frames import PREFACE
from tests.edge.stage import KEY, PATIENCE, Stage, configuration, plain_http, playing, rest, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, WITH_PRIORITY = 0x1, 0x4, 0x20
WHOLE = END_STREAM | END_HEADERS
STREAMS = 100
BIG = Asset(b"big " * 100_000, "text/plain")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing(assets={"/big": BIG}) as opened:
            yield opened
            await until(lambda: opened.around.admission.connections == 0)
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


# --- HTTP/1: what others might read otherwise. ---

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(*headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join((b"POST /nowhere " + version, b"Host: x", *headers, b"", body))


SMUGGLED = {
    "length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two lengths": post(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"),
    "two lengths in one": post(b"Content-Length: 5, 0", body=b"hello"),
    "length with a sign": post(b"Content-Length: +5", body=b"hello"),
    "length below zero": post(b"Content-Length: -5"),
    "length in another base": post(b"Content-Length: 0x5", body=b"hello"),
    "blank before the colon": post(b"Content-Length : 5", body=b"hello"),
    "chunks of another kind": post(b"Transfer-Encoding: xchunked"),
    "chunks and more": post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "chunks twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
    "chunks with a tab": post(b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n"),
    "line feed alone": post(b"X: a\nContent-Length: 5", body=b"hello"),
    "carriage return alone": post(b"X: a\rContent-Length: 5", body=b"hello"),
    "header over two lines": post(b"X: a", b" Content-Length: 5", body=b"hello"),
    "NUL in a header": post(b"X: a\0b"),
    "NUL in the target": b"GET /health\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "blank in the target": b"GET /health x HTTP/1.1\r\nHost: x\r\n\r\n",
    "two hosts": b"GET /health HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "bytes beyond ASCII in the target": b"GET /caf\xe9 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("place", ["first", "later"])
@pytest.mark.parametrize("request_", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_a_request_that_can_be_read_in_two_ways_ends_its_connection(
    stage: Stage, request_: bytes, place: str
) -> None:
    before = HEALTH if place == "later" else b""
    answer = await stage.ask(before + request_ + LAST)
    assert answer.count(b"HTTP/1.1 200") == (1 if before else 0)
    assert answer.count(b"HTTP/1.1") <= 2


async def test_chunks_of_http_1_0_end_the_connection(stage: Stage) -> None:
    answer = await stage.ask(
        post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"HTTP/1.0") + LAST
    )
    assert b"HTTP/1.1 200" not in answer


ELSEWHERE = (
    b"http://evil.example/health",
    b"//evil.example/health",
    b"//health",
    b"/./health",
    b"/x/../health",
    b"/x/%2e%2e/health",
    b"/%2e%2e/health",
    b"/health/",
    b"/health%00",
    b"/health%2f",
    b"/HEALTH",
    b"/%68ealth%ff",
    b"*",
    b"evil.example:443",
    b"/" + b"x" * 16_000,
)


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_a_path_is_that_path_and_no_other(stage: Stage, target: bytes) -> None:
    answer = await stage.ask(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 431"))


@pytest.mark.parametrize("settings", [b"AAMAAABkAAQAAP__", b"AAI", b"!!!!", b""])
async def test_an_upgrade_to_http2_is_passed_over(stage: Stage, settings: bytes) -> None:
    asked = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: " + settings
    answer = await stage.ask(b"GET /health HTTP/1.1\r\nHost: x\r\n" + asked + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


async def test_what_comes_behind_an_upgrade_is_no_request(stage: Stage) -> None:
    head = b"GET /shared HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert b"HTTP/1.1 200" not in await stage.ask(head + key + LAST)


ENDLESS = {
    "header": b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000,
    "headers": b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 4_000,
    "target": b"GET /" + b"x" * 20_000,
    "chunk extension": post(b"Transfer-Encoding: chunked", body=b"5;" + b"x" * 100_000),
    "trailers": post(b"Transfer-Encoding: chunked", body=b"0\r\n" + b"X: y\r\n" * 20_000),
}


@pytest.mark.parametrize("data", ENDLESS.values(), ids=ENDLESS.keys())
async def test_what_never_ends_is_cut_off(stage: Stage, data: bytes) -> None:
    async with await stage.dial() as stream:
        with trio.fail_after(PATIENCE):
            try:
                await stream.send_all(data)
            except trio.BrokenResourceError:
                return
            await rest(stream)


async def test_a_body_that_nobody_reads_holds_nothing_up(stage: Stage) -> None:
    async with await stage.dial() as stream:
        with trio.fail_after(PATIENCE):
            try:
                await stream.send_all(post(b"Content-Length: 10000000", body=b"x" * 10_000_000))
            except trio.BrokenResourceError:
                return
            await rest(stream)


async def test_who_asks_much_at_once_and_goes_is_let_go() -> None:
    async with playing(configuration(limits={"stalled": 0.2}), assets={"/big": BIG}) as stage:
        async with await stage.dial() as stream:
            await stream.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
            await stream.receive_some(1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: stage.around.admission.connections == 0)


# --- HTTP/2. ---


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(*more: tuple[str | bytes, str | bytes], without: str = "", **changed: str | bytes) -> bytes:
    """The headers of a request; a new connection's, so that nothing has been indexed."""
    pseudo = {"method": "GET", "path": "/health", "scheme": "http", "authority": "x", **changed}
    return Encoder().encode(
        [*((f":{name}", value) for name, value in pseudo.items() if name != without), *more]
    )


ASKED = [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")]
GET = frame(HEADERS, WHOLE, 1, block())
OPENING = PREFACE + frame(SETTINGS, 0, 0)


def requests(count: int, *, reset: bool = False) -> bytes:
    return b"".join(
        frame(HEADERS, WHOLE, number, block()) + (frame(RESET, 0, number, bytes(4)) if reset else b"")
        for number in range(1, 2 * count, 2)
    )


def priority(on: int, *, exclusive: bool = False) -> bytes:
    return struct.pack("!IB", on | (0x8000_0000 if exclusive else 0), 1)


CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
FLOODS = {
    "settings": frame(SETTINGS, 0, 0) * 5_000,
    "settings with values": frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 100) * 100) * 2_000,
    "acknowledgements": frame(SETTINGS, 1, 0) * 5_000,
    "pings": frame(PING, 0, 0, bytes(8)) * 5_000,
    "answers to pings": frame(PING, 1, 0, bytes(8)) * 5_000,
    "priorities": b"".join(frame(PRIORITY, 0, number, priority(0)) for number in range(1, 10_000, 2)),
    "windows": frame(WINDOW, 0, 0, (1).to_bytes(4, "big")) * 5_000,
    "empty data": frame(HEADERS, END_HEADERS, 1, block(method="POST")) + frame(DATA, 0, 1) * 5_000,
    "unknown frames": frame(0xFA, 0, 0, b"x") * 5_000,
    "resets": requests(2_000, reset=True),
    "continuations": frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, 0, 1, b"x" * 1_000) * 5_000,
    "empty continuations": frame(HEADERS, 0, 1, block()) + frame(CONTINUATION, 0, 1) * 5_000,
}


async def ended(stage: Stage, data: bytes) -> h2.errors.ErrorCodes | None:
    """Send this and give the error with which the connection is ended; none where it is cut off without a word."""
    try:
        answer = await stage.ask(data)
    except trio.BrokenResourceError:
        return None
    client = h2.connection.H2Connection()
    client.initiate_connection()
    try:
        events = client.receive_data(answer)
    except h2.exceptions.ProtocolError:  # answers to what this client has not sent
        events = []
    codes = [event.error_code for event in events if isinstance(event, h2.events.ConnectionTerminated)]
    return h2.errors.ErrorCodes(codes[-1] or 0) if codes else None


@pytest.mark.parametrize("data", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_ends_the_connection_after_a_bounded_count(stage: Stage, data: bytes) -> None:
    with trio.fail_after(PATIENCE):
        # What is on its way when the connection ends may cost the client our last words.
        assert await ended(stage, OPENING + data) in {CALM, h2.errors.ErrorCodes.PROTOCOL_ERROR, None}
    assert stage.traffic.errors["flood"] + stage.traffic.errors["bad_http2"] == 1


BROKEN = {
    "a frame announced too large": frame(DATA, 0, 1, length=0xFF_FF_FF),
    "a header block announced too large": frame(HEADERS, END_HEADERS, 1, length=0xFF_FF_FF),
    "an index beyond the table": frame(HEADERS, WHOLE, 1, b"\xff" * 100),
    "headers that grow": frame(HEADERS, WHOLE, 1, block(("x", "y" * 4_000)) + b"\xbe" * 10_000),
    "headers without end": frame(HEADERS, WHOLE, 1, block(*((f"x{number}", "y") for number in range(3_000)))),
    "a table that grows": frame(HEADERS, WHOLE, 1, b"\x3f\xff\xff\xff\x7f" + block()),
    "continuation of nothing": frame(CONTINUATION, END_HEADERS, 1),
    "a frame amid headers": frame(HEADERS, 0, 1, block()) + frame(PING, 0, 0, bytes(8)),
    "data of a stream that is not": frame(DATA, 0, 5, b"x"),
    "reset of a stream that is not": frame(RESET, 0, 5, bytes(4)),
    "a window of a stream that is not": frame(WINDOW, 0, 5, (1).to_bytes(4, "big")),
    "a window of nothing": frame(WINDOW, 0, 0, bytes(4)),
    "a window beyond all": frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "settings with a bad window": frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0x8000_0000)),
    "settings with a bad frame size": frame(SETTINGS, 0, 0, struct.pack("!HI", 5, 1)),
    "settings of a stream": frame(SETTINGS, 0, 1),
    "settings cut short": frame(SETTINGS, 0, 0, b"\0"),
    "a push": frame(PUSH, END_HEADERS, 0, (2).to_bytes(4, "big") + block()),
    "a stream of the server": frame(HEADERS, WHOLE, 2, block()),
    "streams backwards": frame(HEADERS, WHOLE, 5, block()) + frame(HEADERS, WHOLE, 3, block()),
    "padding over all": frame(HEADERS, WHOLE | 0x8, 1, b"\xff" + block()),
    "no method": frame(HEADERS, WHOLE, 1, block(without="method")),
    "no path": frame(HEADERS, WHOLE, 1, block(without="path")),
    "an empty path": frame(HEADERS, WHOLE, 1, block(path="")),
    "NUL in the path": frame(HEADERS, WHOLE, 1, block(path="/\0")),
    "a line end in a header": frame(HEADERS, WHOLE, 1, block(("x", "a\r\nb: c"))),
    "a header without a name": frame(HEADERS, WHOLE, 1, block(("", "x"))),
    "capital letters": frame(HEADERS, WHOLE, 1, Encoder().encode([(":method", "GET"), ("X", "y")])),
    "chunks": frame(HEADERS, WHOLE, 1, block(("transfer-encoding", "chunked"))),
    "a connection header": frame(HEADERS, WHOLE, 1, block(("connection", "close"))),
    "another length than the data": frame(
        HEADERS, END_HEADERS, 1, block(("content-length", "5"), method="POST")
    )
    + frame(DATA, END_STREAM, 1, b"hello world"),
    "two hosts": frame(HEADERS, WHOLE, 1, block(("host", "y"))),
    "a stream that depends on itself": frame(HEADERS, WHOLE | WITH_PRIORITY, 1, priority(1) + block()),
    "garbage": b"\xff" * 1_000,
    "another preface": b"",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_what_breaks_the_rules_ends_the_connection(stage: Stage, data: bytes) -> None:
    opening = OPENING if data else PREFACE[:-4] + b"XX\r\n" + frame(SETTINGS, 0, 0)
    with trio.fail_after(PATIENCE):
        answer = await stage.ask(opening + data)
    assert b"status" not in answer


async def test_more_streams_than_allowed_end_the_connection(stage: Stage) -> None:
    with trio.fail_after(PATIENCE):
        answer = await stage.ask(OPENING + requests(300))
    assert answer.count(b'"status"') <= STREAMS  # what came before may have been answered
    assert frame(GOAWAY, 0, 0, length=8) in answer
    assert (stage.errors["too_many_streams"], stage.traffic.limits["streams"]) == (1, 1)


ODD = {
    "a method beyond ASCII": (block(method=b"G\xe9T"), 1),
    "a path beyond ASCII": (block(path=b"/\xe9"), 1),
    "a path that begins with none": (block(path="health"), 1),
    "the path of a proxy": (block(path="http://x/health"), 1),
    "CONNECT": (Encoder().encode([(":method", "CONNECT"), (":authority", "x")]), 1),
    "CONNECT for a WebSocket": (block((":protocol", "websocket"), method="CONNECT"), 1),
}


@pytest.mark.parametrize(("headers", "resets"), ODD.values(), ids=ODD.keys())
async def test_an_odd_request_is_reset_and_the_others_are_served(
    stage: Stage, headers: bytes, resets: int
) -> None:
    async with await stage.dial() as stream:
        await stream.send_all(OPENING + frame(HEADERS, WHOLE, 1, headers) + frame(HEADERS, WHOLE, 3, block()))
        events = await received(stream, h2.events.StreamEnded)
    assert [event.stream_id for event in events if isinstance(event, h2.events.StreamReset)] == [1] * resets
    assert [event.stream_id for event in events if isinstance(event, h2.events.StreamEnded)][-1:] == [3]


async def received(stream: trio.SocketStream, kind: type[h2.events.Event]) -> list[h2.events.Event]:
    """Read until such an event has come for one of two requests."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    for _ in range(2):
        client.send_headers(client.get_next_available_stream_id(), ASKED)
    return await arrived(stream, client, kind)


async def arrived(
    stream: trio.SocketStream, client: h2.connection.H2Connection, kind: type[h2.events.Event]
) -> list[h2.events.Event]:
    events: list[h2.events.Event] = []
    with trio.fail_after(PATIENCE):
        while not any(isinstance(event, kind) for event in events):
            data = bytes(await stream.receive_some(65_536))
            assert data, events
            events += client.receive_data(data)
    return events


async def test_who_sends_more_after_the_answer_goes_on_with_other_requests(stage: Stage) -> None:
    body = b"".join(frame(DATA, 0, 1, b"x" * 500) for _ in range(60))
    async with await stage.dial() as stream:
        first = frame(HEADERS, END_HEADERS, 1, block(method="POST", path="/nowhere"))
        await stream.send_all(OPENING + first + body)
        events = await received(stream, h2.events.StreamReset)
        assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
        await stream.send_all(frame(HEADERS, WHOLE, 3, block()))
        with trio.fail_after(PATIENCE):
            while b'"status":"healthy"' not in bytes(await stream.receive_some(65_536)):
                pass


async def test_priorities_in_a_circle_are_passed_over(stage: Stage) -> None:
    circle = frame(PRIORITY, 0, 1, priority(3)) + frame(PRIORITY, 0, 3, priority(1))
    async with await stage.dial() as stream:
        await stream.send_all(OPENING + circle + frame(PRIORITY, 0, 1, priority(3, exclusive=True)) + GET)
        await received(stream, h2.events.StreamEnded)


async def test_a_stream_whose_window_stays_shut_is_let_go() -> None:
    async with playing(configuration(limits={"stalled": 0.1}), assets={"/big": BIG}) as stage:
        async with await stage.dial() as stream:
            shut = frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0))
            await stream.send_all(PREFACE + shut + frame(HEADERS, WHOLE, 1, block(path="/big")))
            events = await received(stream, h2.events.StreamReset)
        reset = next(event for event in events if isinstance(event, h2.events.StreamReset))
        assert reset.error_code == h2.errors.ErrorCodes.CANCEL


async def test_who_leaves_windows_shut_and_goes_is_let_go(stage: Stage) -> None:
    async with await stage.dial() as stream:
        shut = frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0))
        await stream.send_all(PREFACE + shut + frame(HEADERS, WHOLE, 1, block(path="/big")))
        client = h2.connection.H2Connection()
        client.initiate_connection()
        client.send_headers(1, ASKED)
        await arrived(stream, client, h2.events.ResponseReceived)
        await trio.testing.wait_all_tasks_blocked(0.01)
    await until(lambda: stage.around.admission.connections == 0)


async def test_an_honest_client_may_ask_for_much(stage: Stage) -> None:
    async with plain_http(stage.port, http1=False, http2=True) as http:
        for _ in range(30):
            got = await http.get("/big")
            assert got.content == BIG.content
        headers = {"authorization": f"Bearer {KEY}"}
        for number in range(300):
            async with http.stream("GET", "/ws/stats", headers=headers) as got:
                assert got.status_code == 200, number
        assert stage.around.admission.connections == 1
