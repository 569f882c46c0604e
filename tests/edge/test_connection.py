"""Connections from accept to the one who serves them, with real sockets on both sides."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from appliance.edge.connection import SUBPROTOCOL
from tests.edge.stage import KEY, PATIENCE, UPGRADE, Stage, configuration, plain_http, playing, rest, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from appliance.settings.tree import Settings

    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SHORT = 0.2
"""Seconds of a deadline that a test waits for."""


@contextlib.asynccontextmanager
async def quiet(settings: Settings | None = None, *, tls: Contexts | None = None) -> AsyncIterator[Stage]:
    """Serve, and see that nothing was logged that someone should look at and that all are let go in the end."""
    with capture_logs() as log:
        async with playing(settings, tls=tls) as stage:
            yield stage
            await until(lambda: stage.around.admission.connections == 0)
            assert stage.around.admission.sessions == 0
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


@pytest.fixture(params=["plain", "tls"])
async def stage(request: pytest.FixtureRequest, tls: Contexts) -> AsyncIterator[Stage]:
    async with quiet(tls=tls if request.param == "tls" else None) as opened:
        yield opened


@pytest.fixture
async def plain() -> AsyncIterator[Stage]:
    async with quiet() as opened:
        yield opened


@pytest.fixture
async def secure(tls: Contexts) -> AsyncIterator[Stage]:
    async with quiet(tls=tls) as opened:
        yield opened


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def hard_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def send_raw(stage: Stage, data: bytes) -> bytes:
    """Send below TLS and read all that comes back."""
    async with await stage.dial() as stream:
        await stream.send_all(data)
        return await rest(stream)


# --- The three ways that a connection can go. ---


async def test_requests_are_served_by_http(stage: Stage) -> None:
    answer = await stage.ask(GET)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"healthy"' in answer


async def test_a_head_may_come_byte_by_byte(stage: Stage) -> None:
    stream: trio.abc.Stream = await (stage.dial_tls() if stage.client_context else stage.dial())
    async with stream:
        for byte in GET:
            await stream.send_all(bytes((byte,)))
        assert status(await rest(stream)) == 200


async def test_upgrades_become_sessions(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(type="ping")
        assert await client.hear() == {"type": "pong"}
        assert stage.around.admission.sessions == 1


@pytest.mark.parametrize("upgrade", [b"WebSocket", b"h2c, websocket"])
async def test_an_upgrade_may_be_written_in_other_ways(plain: Stage, upgrade: bytes) -> None:
    head = UPGRADE.replace(b"websocket", upgrade).replace(b"GET /ws", b"GET /ws?token=" + KEY.encode())
    head = head.replace(b"Connection: Upgrade", b"Connection: keep-alive, upgrade")
    async with await plain.dial() as stream:
        await stream.send_all(head + b"\r\n")
        assert status(bytes(await stream.receive_some(100))) == (101 if upgrade == b"WebSocket" else 400)


async def test_http2_is_spoken_where_tls_agreed_on_it(secure: Stage) -> None:
    assert secure.client_context is not None
    secure.client_context.set_alpn_protocols(["h2", "http/1.1"])
    async with httpx.AsyncClient(http2=True, verify=secure.client_context) as client:
        answer = await client.get(f"https://localhost:{secure.port}/health")
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


async def test_http2_is_spoken_on_a_plain_port_by_who_knows(plain: Stage) -> None:
    async with plain_http(plain.port, http1=False, http2=True) as client:
        answer = await client.get("/health")
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


async def test_the_tls_context_of_the_moment_is_used(secure: Stage) -> None:
    first = await secure.dial_tls()
    second = await secure.dial_tls("h2")
    assert first.selected_alpn_protocol() == "http/1.1"
    assert second.selected_alpn_protocol() == "h2"
    for stream in (first, second):
        await trio.aclose_forcefully(stream)


# --- Before there is a request. ---


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 50, b"\xff\xfe\xfd", b"SSH-2.0-OpenSSH_9.6\r\n", b"get / http\r\n"]
)
async def test_garbage_on_the_tls_port_is_let_go(secure: Stage, garbage: bytes) -> None:
    assert await send_raw(secure, garbage) == b""
    assert secure.errors == {"garbage_before_hello": 1}


@pytest.mark.parametrize("request_", [GET, UPGRADE + b"\r\n", b"G"])
async def test_plain_http_on_the_tls_port_is_told(secure: Stage, request_: bytes) -> None:
    answer = await send_raw(secure, request_)
    assert status(answer) == 400
    assert b"wss://" in answer
    assert secure.errors == {"http_on_tls": 1}


async def test_a_tls_hello_that_is_none_is_let_go(secure: Stage) -> None:
    await send_raw(secure, b"\x16\x03\x01\x00\x20" + b"\xff" * 32)
    assert secure.errors == {"bad_handshake": 1}


async def test_a_tls_client_on_a_plain_port_is_let_go(plain: Stage, tls: Contexts) -> None:
    stream = trio.SSLStream(await plain.dial(), tls[1], server_hostname="localhost")
    with trio.fail_after(PATIENCE), pytest.raises(trio.BrokenResourceError):
        await stream.do_handshake()
    await trio.aclose_forcefully(stream)
    await until(lambda: plain.errors == {"tls_on_plain": 1})


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"hello\r\n\r\n", b"GETS / HTTP/1.1\r\n\r\n", b"\x16"])
async def test_what_is_no_http_is_told(plain: Stage, data: bytes) -> None:
    assert status(await send_raw(plain, data)) == 400
    assert plain.errors == {"no_http": 1}


async def test_who_leaves_without_a_word_is_counted(tls: Contexts) -> None:
    for contexts, kind in ((tls, "left_before_hello"), (None, "left_before_head")):
        async with quiet(tls=contexts) as stage:
            stage.connect().close()
            await until(lambda: stage.errors == {kind: 1})  # noqa: B023 - used before the next turn


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\n", UPGRADE, GET, UPGRADE + b"\r\n"])
async def test_a_reset_at_any_time_harms_nobody(stage: Stage, data: bytes) -> None:
    for _ in range(5):
        sock = stage.connect()
        sock.send(data)
        hard_close(sock)
    assert status(await stage.ask(GET)) == 200


async def test_a_reset_amid_tls_harms_nobody(secure: Stage) -> None:
    for data in (b"", b"GET / HT", GET, UPGRADE + b"\r\n"):
        stream = await secure.dial_tls()
        await stream.send_all(data)
        hard_close(secure_socket(stream))
    assert status(await secure.ask(GET)) == 200


def secure_socket(stream: trio.SSLStream[trio.SocketStream]) -> socket.socket:
    """Give the socket below TLS to the standard library."""
    sock = socket.socket(fileno=stream.transport_stream.socket.detach())
    sock.setblocking(True)  # noqa: FBT003 - the signature of the socket
    return sock


async def test_who_stays_half_open_is_let_go_at_the_end_of_the_head(stage: Stage) -> None:
    async with await stage.dial() as stream:
        await stream.send_eof()
        assert await rest(stream) == b""


# --- One deadline. ---


async def test_silence_on_a_plain_port_is_told(plain: Stage) -> None:
    plain.change(handshake=SHORT)
    assert status(await send_raw(plain, b"")) == 408
    assert plain.errors == {"slow_head": 1}


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01\x00"])
async def test_silence_on_a_tls_port_is_let_go_without_a_word_in_clear(secure: Stage, data: bytes) -> None:
    secure.change(handshake=SHORT)
    assert await send_raw(secure, data) == b""
    assert secure.errors == {"slow_head": 1}


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_a_slow_head_behind_tls_is_told_through_tls(secure: Stage, data: bytes) -> None:
    secure.change(handshake=1.0)  # enough for the handshake on a busy machine
    assert status(await secure.ask(data)) == 408
    assert secure.errors == {"slow_head": 1}


async def test_a_head_that_trickles_does_not_move_the_deadline(plain: Stage) -> None:
    plain.change(handshake=SHORT)
    async with await plain.dial() as stream, trio.open_nursery() as nursery:  # ends with the answer

        async def trickle() -> None:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(b"GET / HTTP/1.1\r\nX: ")
                while True:
                    await stream.send_all(b"x")
                    await trio.sleep(SHORT / 10)

        nursery.start_soon(trickle)
        assert status(await rest(stream)) == 408
        nursery.cancel_scope.cancel()


# --- Heads. ---


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_huge_head_is_told(stage: Stage, end: bytes) -> None:
    answer = await stage.ask(b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000 + end)
    assert status(answer) == 431
    assert b"limits.head_bytes" in answer
    assert stage.errors == {"huge_head": 1}


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health\r\n\r\n",
        b"GET  /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/2.0\r\n\r\n",
        b"GET /health FTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
async def test_a_malformed_head_is_told(stage: Stage, head: bytes) -> None:
    assert status(await stage.ask(head)) == 400
    assert stage.errors == {"malformed_head": 1}


async def test_a_cut_head_is_let_go(plain: Stage) -> None:
    async with await plain.dial() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: local")
        await stream.send_eof()
        assert await rest(stream) == b""
    assert plain.errors == {"cut_head": 1}


async def test_an_unknown_path_for_sockets_is_told(stage: Stage) -> None:
    answer = await stage.ask(UPGRADE.replace(b"/ws", b"/elsewhere") + b"\r\n")
    assert status(answer) == 404
    assert b"/ws" in answer
    assert stage.errors == {"unknown_path": 1}


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE.replace(b"Version: 13", b"Version: 8"),
        UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b""),
        UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key"),
    ],
)
async def test_a_bad_upgrade_is_told_how(stage: Stage, head: bytes) -> None:
    answer = await stage.ask(head + b"\r\n")
    assert status(answer) == 426
    assert b"sec-websocket-version: 13\r\n" in answer
    assert stage.errors == {"bad_upgrade": 1}


STRANGE = {
    "no host": UPGRADE.replace(b"Host: localhost\r\n", b""),
    "two hosts": UPGRADE + b"Host: other\r\n",
    "host is no ASCII": UPGRADE.replace(b"localhost", b"\xff\xfe"),
    "host is no punycode": UPGRADE.replace(b"localhost", b"xn--\x80.xn--a"),
    "key is no ASCII": UPGRADE.replace(b"dGhl", b"\xff\xff"),
    "subprotocol is no ASCII": UPGRADE + b"Sec-WebSocket-Protocol: \xff\r\n",
    "extension is no ASCII": UPGRADE + b"Sec-WebSocket-Extensions: \xff\r\n",
    "connection is no ASCII": UPGRADE.replace(b"Connection: ", b"Connection: \xff, "),
    "target is no ASCII": UPGRADE.replace(b"/ws", b"/ws?\xff"),
    "target has a control": UPGRADE.replace(b"/ws", b"/ws?\x01"),
    "space before the colon": UPGRADE + b"X : y\r\n",
    "folded line": UPGRADE + b"X: y\r\n z\r\n",
    "empty name": UPGRADE + b": y\r\n",
    "zero byte": UPGRADE + b"X: \x00\r\n",
    "old version of HTTP": UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "strange version of HTTP": UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.x"),
    "with a body": UPGRADE + b"Content-Length: 5\r\n",
    "with chunks": UPGRADE + b"Transfer-Encoding: chunked\r\n",
    "with a bad length": UPGRADE + b"Content-Length: five\r\n",
    "two upgrades": UPGRADE + b"Upgrade: other\r\n",
    "two connections": UPGRADE + b"Connection: close\r\n",
    "another subprotocol in capitals": UPGRADE + b"Sec-WebSocket-Protocol: Appliance.V1\r\n",
    "empty subprotocol": UPGRADE + b"Sec-WebSocket-Protocol: ,,\r\n",
    "expects a hundred": UPGRADE + b"Expect: 100-continue\r\n",
    "empty key": UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b""),
    "short key": UPGRADE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"x"),
}


@pytest.mark.parametrize("head", STRANGE.values(), ids=STRANGE.keys())
async def test_a_strange_upgrade_is_answered_and_harms_nobody(plain: Stage, head: bytes) -> None:
    async with await plain.dial() as stream:
        await stream.send_all(head + b"\r\n")
        with trio.fail_after(PATIENCE):
            assert bytes(await stream.receive_some(9)) == b"HTTP/1.1 "


async def test_pages_of_foreign_origins_may_not_connect(tls: Contexts) -> None:
    async with quiet(configuration(origins=("https://app.example", "self")), tls=tls) as stage:
        for origin, wanted in (
            (b"https://evil.example", 403),
            (b"null", 403),
            (b"http://[", 403),
            (b"https://app.example", 101),
            (b"https://localhost", 101),
        ):
            stream = await stage.dial_tls()
            await stream.send_all(UPGRADE + b"Origin: " + origin + b"\r\n\r\n")
            assert status(bytes(await stream.receive_some(100))) == wanted, origin
            await trio.aclose_forcefully(stream)
        assert stage.errors["foreign_origin"] == 3


async def test_our_subprotocol_is_agreed_on_where_it_is_offered(plain: Stage) -> None:
    async with plain.client(subprotocols=["other", SUBPROTOCOL]) as client:
        assert client.socket.subprotocol == SUBPROTOCOL
    async with plain.client(subprotocols=["other"]) as client:
        assert client.socket.subprotocol is None


async def test_a_refused_upgrade_does_not_hang(plain: Stage) -> None:
    with trio.fail_after(PATIENCE):
        answer = await send_raw(plain, UPGRADE.replace(b"Host: localhost\r\n", b"") + b"\r\n")
    assert status(answer) == 400
    assert plain.errors == {"bad_upgrade": 1}


# --- Who is let in. ---


async def test_one_session_too_many_is_told_and_closed() -> None:
    async with quiet(configuration(limits={"sessions": 1})) as stage, stage.client() as first:
        async with stage.client() as second:
            error = (await second.hear())["error"]
            assert (error["code"], error["retry_after"]) == ("CONNECTION_FULL", 5.0)
            assert await second.close_frame() == (1013, "CONNECTION_FULL retry_after=5.0")
        await first.say(type="ping")
        assert await first.hear() == {"type": "pong"}
        assert stage.around.admission.sessions == 1
        await first.socket.aclose()
        await until(lambda: stage.around.admission.sessions == 0)
        async with stage.client() as third:
            await third.say(type="ping")
            assert await third.hear() == {"type": "pong"}


async def test_an_address_that_connects_too_often_is_told_and_closed() -> None:
    async with quiet(configuration(limits={"connections_per_minute": 2})) as stage:
        for _ in range(2):
            async with stage.client():
                pass
        async with stage.client() as third:
            error = (await third.hear())["error"]
            assert error["code"] == "RATE_LIMITED"
            assert 0 < error["retry_after"] <= 30
            assert (await third.close_frame())[0] == 1013
        assert stage.errors == {"RATE_LIMITED": 1}


# --- Ends. ---


@pytest.mark.parametrize(
    ("message", "code", "errors"),
    [
        ("x" * 70_000, 1009, {"INVALID_MESSAGE": 1, "bad_frame": 1}),
        ("\ud800", 1007, {"bad_frame": 1}),
    ],
    ids=["too big", "no UTF-8"],
)
async def test_the_client_hears_why_even_amid_what_it_sends(
    stage: Stage, message: str, code: int, errors: dict[str, int]
) -> None:
    """The close frame must not be thrown away with a reset, for all that is unread."""
    stream: trio.abc.Stream = await (stage.dial_tls() if stage.client_context else stage.dial())
    async with stream:
        await stream.send_all(UPGRADE + b"Authorization: Bearer " + KEY.encode() + b"\r\n\r\n")
        assert status(bytes(await stream.receive_some(1_000))) == 101
        payload = message.encode(errors="surrogatepass")
        frame = b"\x81\xff" + len(payload).to_bytes(8, "big") + b"\0\0\0\0" + payload
        if len(payload) < 126:
            frame = bytes((0x81, 0x80 | len(payload))) + b"\0\0\0\0" + payload
        await stream.send_all(frame + b"\x81\x82\0\0\0\0{}" * 1_000)
        received = await rest(stream)
    assert b"\x88" in received
    reason = received[received.rindex(b"\x88") + 2 :]
    assert int.from_bytes(reason[:2], "big") == code
    assert (b"limits.message_bytes" in received) == (code == 1009)
    await until(lambda: stage.errors == errors)


async def test_a_session_ends_with_its_client(stage: Stage) -> None:
    async with stage.client() as client:
        await client.socket.aclose(4000, "enough")
    await until(lambda: stage.around.admission.connections == 0)
    assert stage.errors == {}
