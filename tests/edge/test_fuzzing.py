"""Whatever peers send: no error but those that are declared, nothing in the log that somebody should look at, and
answers that can be read. `--cases 200000` is the long form.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.access import credentials
from appliance.core.errors import RequestError
from appliance.dialects import ara, cryptointel, shared, trading
from appliance.dialects.frame_heads import FrameHeads, TooBigError
from appliance.edge import head as heads
from appliance.edge import upgrade
from appliance.edge.http.frames import PREFACE, FloodError, Frames
from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.stage import KEY, PATIENCE, UPGRADE, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.edge.stage import Stage

LONGEST_ERROR = 2_000
"""Characters of what a client is told of its message, however long that is."""
MANY = 1_000
"""Cases from which on they are other ones each time: the short form looks for what has been broken, not for news."""
OF_A_SERVER = 10
"""Cases that cost as much as one for which a server is started."""


@pytest.fixture
def cases(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--cases"))


def fuzz(cases: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    @settings(
        max_examples=cases,
        derandomize=cases < MANY,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case: Any) -> None:
        check(case)

    run()


def serve(check: Callable[[Stage], Awaitable[None]]) -> None:
    """Have a server for one case, and see that it has nothing to complain of and nobody left in the end."""

    async def main() -> None:
        limits = {"messages_per_minute": 1_000_000, "goodbye": 0.05, "linger": 0.05, "message_bytes": 4_096}
        with capture_logs() as log:
            async with playing(configuration(limits=limits)) as stage:
                with trio.fail_after(PATIENCE):
                    await check(stage)
                await until(lambda: stage.around.admission.connections == 0)
        assert [line for line in log if line["log_level"] in {"warning", "error", "critical"}] == []

    trio.run(main)


# --- What cases are made of. ---

ODD_BYTES = st.sampled_from(
    [
        b"",
        b"\0",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b"\xff",
        b"%00",
        b"%2e",
        b"//",
        b"*",
        b"\r\n\r\n",
    ]
)
TARGETS = st.sampled_from(
    [
        b"/",
        b"/ws",
        b"/shared",
        b"/health",
        b"/ws/stats",
        b"/api/v1/publish",
        b"/sse?channels=price:*",
        b"*",
        b"x:1",
    ]
)
NAMES = st.sampled_from(
    [
        b"Host",
        b"Connection",
        b"Upgrade",
        b"Origin",
        b"Authorization",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Sec-WebSocket-Protocol",
        b"Expect",
        b"HTTP2-Settings",
    ]
)
VALUES = st.sampled_from(
    [
        b"localhost",
        b"Upgrade",
        b"websocket",
        b"h2c",
        b"13",
        b"chunked",
        b"0",
        b"5",
        b"close",
        b"100-continue",
        b"dGhlIHNhbXBsZSBub25jZQ==",
        b"Bearer " + KEY.encode(),
        b"appliance.v1",
        b"https://evil.example",
    ]
)
TORN = st.builds(
    lambda *parts: b"".join(parts), VALUES | st.binary(max_size=8), ODD_BYTES, VALUES | ODD_BYTES
)
LINES = st.builds(
    lambda name, colon, value: name + colon + value,
    NAMES | st.binary(max_size=6),
    st.sampled_from([b": ", b": ", b": ", b":", b" : ", b""]),
    VALUES | TORN,
)
FIRST = st.builds(
    lambda method, target, odd, version: method + b" " + target + odd + b" " + version,
    st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b"get"])
    | st.binary(max_size=4),
    TARGETS,
    st.just(b"") | ODD_BYTES,
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.10", b""]),
)
HEADS = st.builds(
    lambda first, lines, end: b"\r\n".join((first, *lines)) + end,
    FIRST,
    st.lists(LINES, max_size=6),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\n\n", b"\r\n", b""]),
)
GOOD_UPGRADES = st.builds(
    lambda lines: UPGRADE + b"".join(line + b"\r\n" for line in lines) + b"\r\n", st.lists(LINES, max_size=2)
)


def _masked(first: int, payload: bytes) -> bytes:
    whole = bytearray(client_frame(Opcode.TEXT, payload))
    whole[0] = first
    return bytes(whole)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = st.sampled_from(
    [
        "type",
        "channels",
        "channel",
        "symbols",
        "data",
        "action",
        "limit",
        "recover",
        "offset",
        "epoch",
        "config",
        "subscribe",
        "unsubscribe",
        "auth",
        "ping",
        "pong",
        "history",
        "token",
        "params",
        "min_severity",
        "filters",
        "price:BTC",
        "price:*",
        "signals:all",
        "predictions",
        "prices",
        "portfolio",
        "request_prediction",
        "since",
    ]
)
JSON = st.recursive(
    SCALARS | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=12,
)
MESSAGES = st.dictionaries(WORDS, JSON, max_size=6) | st.builds(
    lambda kind, rest: {**rest, "type": kind}, WORDS, st.dictionaries(WORDS, JSON, max_size=5)
)
TEXTS = (
    MESSAGES.map(json.dumps)
    | JSON.map(json.dumps)
    | st.text(max_size=40)
    | st.builds(lambda message, at: json.dumps(message)[:at], MESSAGES, st.integers(0, 60))
    | st.integers(1, 3_000).map(lambda depth: '{"type":' + "[" * depth)
)

FRAMES = (
    TEXTS.map(lambda text: client_frame(Opcode.TEXT, text.encode(errors="surrogatepass")))
    | st.builds(_masked, st.integers(0, 255), st.binary(max_size=130))
    | st.builds(_masked, st.sampled_from([0x01, 0x00, 0x80, 0x02, 0x89, 0x8A]), st.binary(max_size=20))
    | st.binary(max_size=14)
)

PSEUDO = st.lists(
    st.tuples(
        st.sampled_from(
            [":method", ":path", ":scheme", ":authority", ":protocol", "host", "x", "te", "cookie"]
        ),
        st.sampled_from(
            ["GET", "POST", "CONNECT", "/health", "/sse?channels=price:*", "/é", "x", "", "https"]
        ),
    ),
    max_size=7,
)
USUAL = [(":method", "GET"), (":path", "/health"), (":scheme", "http"), (":authority", "x")]
BLOCKS = (PSEUDO | PSEUDO.map(lambda more: [*USUAL, *more])).map(lambda pairs: bytes(Encoder().encode(pairs)))
HTTP2 = st.builds(
    lambda kind, flags, stream, payload: (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    ),
    st.integers(0, 11),
    st.sampled_from([0, 1, 4, 5, 0x8, 0x20, 0x2D, 0xFF]),
    st.sampled_from([0, 1, 1, 3, 3, 5, 2, 7, 0x7FFF_FFFF, 0x8000_0001]),
    BLOCKS
    | st.binary(max_size=20)
    | st.sampled_from([bytes(4), bytes(8), b"\0\4\0\0\0\0", b"\x7f\xff\xff\xff"]),
)


# --- The parts, one by one. ---


def test_heads(cases: int) -> None:
    def check(data: bytes) -> None:
        heads.begins_like_http(data)
        head = heads.parse(data.partition(heads.END)[0] + heads.END)
        if head is None:
            return
        assert isinstance(head.wants_websocket, bool)
        assert not {"\0", "\r", "\n"} & {*head.target}
        try:
            upgrade.check(head)
        except upgrade.BadUpgradeError as error:
            assert error.status in {400, 426}  # noqa: PT017 - the other way is no error at all
        try:
            credentials.find(head.headers, head.query)
        except RequestError as error:
            assert len(error.message) < LONGEST_ERROR  # noqa: PT017 - the same

    fuzz(cases, HEADS | GOOD_UPGRADES | st.binary(), check)


def test_frames_of_websockets(cases: int) -> None:
    def check(chunks: list[bytes]) -> None:
        follows = FrameHeads(4_096)
        try:
            for chunk in chunks:
                assert 0 <= follows.feed(chunk) <= len(chunk)
        except TooBigError:
            pass

    fuzz(cases, st.lists(FRAMES), check)


def test_frames_of_http2(cases: int) -> None:
    def check(chunks: list[bytes]) -> None:
        follows = Frames(most_headers=4_096, now=0.0)
        try:
            for chunk in (PREFACE, *chunks):
                follows.receive(chunk, 0.0)
        except FloodError as flood:
            assert flood.code  # noqa: PT017 - the other way is no flood

    fuzz(cases, st.lists(HTTP2 | st.binary(max_size=30)), check)


PARSERS: dict[str, Callable[[str | bytes], object]] = {
    "cryptointel": cryptointel.parse,
    "trading": trading.parse,
    "shared": shared.decide,
    **{f"ara {kind.name}": lambda text, kind=kind: ara.parse(kind, text) for kind in ara.Kind},  # type: ignore[misc]
}


def test_messages(cases: int) -> None:
    """Each is one to every parser, for to make it up takes longer than to read it."""

    def check(text: str | bytes) -> None:
        for name, parse in PARSERS.items():
            try:
                parse(text)
            except RequestError as error:
                assert 0 < len(error.message) < LONGEST_ERROR, name  # noqa: PT017 - the other way is no error at all

    fuzz(cases, TEXTS | st.binary(max_size=40), check)


# --- The whole, as a peer meets it. ---


PATHS = (b"/ws", b"/shared", b"/trading", b"/ws/predictions/BTC", b"/ws/alerts", b"/ws/market-data/BTC")


def test_sessions(cases: int) -> None:
    """Sessions end with a close frame, if they end; all that they are told is JSON. Each path hears each case."""

    def check(chunks: list[bytes]) -> None:
        async def converse(stage: Stage, path: bytes) -> None:
            async with await stage.dial() as stream:
                shown = b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n"
                await stream.send_all(UPGRADE.replace(b"/ws", path) + shown)
                received = b""
                try:
                    await stream.send_all(b"".join(chunks) + client_frame(Opcode.CLOSE, b"\x03\xe8"))
                    await stream.send_eof()
                    while more := await stream.receive_some(65_536):
                        received += bytes(more)
                except trio.BrokenResourceError:
                    pass  # what it has not read when it hangs up
            head, _, frames = received.partition(b"\r\n\r\n")
            assert not received or head.startswith(b"HTTP/1.1 101")
            for opcode, payload in FrameReader().feed(frames):
                if opcode == Opcode.TEXT:
                    json.loads(payload)

        async def converse_on_all(stage: Stage) -> None:
            async with trio.open_nursery() as nursery:  # ends with the last of them
                for path in PATHS:
                    nursery.start_soon(converse, stage, path)

        serve(converse_on_all)

    fuzz(max(1, cases // OF_A_SERVER), st.lists(FRAMES, max_size=12), check)


@pytest.mark.parametrize("kind", ["HTTP/1", "HTTP/2"])
def test_requests(cases: int, kind: str) -> None:
    def check(chunks: list[bytes]) -> None:
        async def ask(stage: Stage) -> None:
            async with await stage.dial() as stream:
                try:
                    await stream.send_all(
                        b"".join(chunks) if kind == "HTTP/1" else b"".join((PREFACE, *chunks))
                    )
                    with trio.move_on_after(0.02):
                        while await stream.receive_some(65_536):
                            pass
                except trio.BrokenResourceError:
                    pass  # it has been cut off

        serve(ask)

    parts = HEADS | GOOD_UPGRADES | st.binary(max_size=30) if kind == "HTTP/1" else HTTP2
    fuzz(max(1, cases // OF_A_SERVER), st.lists(parts, min_size=1, max_size=12), check)
