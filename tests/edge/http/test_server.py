"""Hypercorn over our stream: both versions of HTTP, and connections that end when they should."""

from __future__ import annotations

import contextlib
import gc
import socket
import struct
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import httpx
import hypercorn.protocol.h2
import pytest
import trio
import trio.testing
from h2.settings import SettingCodes
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import EventWrapper
from structlog.testing import capture_logs

from appliance.access.gate import Peer
from appliance.edge.http.app import Asset
from appliance.edge.http.server import Server
from appliance.edge.policy import Policy
from appliance.edge.stream import Stream
from appliance.runtime.status import Traffic
from appliance.runtime.turns import rounds
from tests.edge.stage import KEY, PATIENCE, UPGRADE, Stage, configuration, connected, playing, rest, until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

SHORT = 0.2
"""Seconds of a deadline that a test waits for."""
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG = Asset(b"big " * 2_000_000, "text/plain")


@pytest.fixture(params=["plain", "tls"])
async def stage(request: pytest.FixtureRequest, tls: Contexts) -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing(tls=tls if request.param == "tls" else None, assets={"/big": BIG}) as opened:
            yield opened
            await until(lambda: opened.around.admission.connections == 0)
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


def client(stage: Stage, *, http2: bool) -> httpx.AsyncClient:
    scheme = "http" if stage.client_context is None else "https"
    if stage.client_context is not None:
        stage.client_context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return httpx.AsyncClient(
        base_url=f"{scheme}://localhost:{stage.port}",
        http1=not http2,
        http2=http2,
        verify=stage.client_context or False,
        timeout=PATIENCE,
    )


async def dial(stage: Stage, *alpn: str) -> trio.abc.Stream:
    return await (stage.dial_tls(*alpn) if stage.client_context else stage.dial())


async def answer(stream: trio.abc.Stream) -> bytes:
    """Read one answer whose body is a JSON object."""
    data = b""
    with trio.fail_after(PATIENCE):
        while not data.endswith(b"}"):
            chunk = bytes(await stream.receive_some(65_536))
            assert chunk
            data += chunk
    return data


@contextlib.asynccontextmanager
async def speaking_http2(stage: Stage) -> AsyncIterator[tuple[trio.abc.Stream, h2.connection.H2Connection]]:
    """Open an HTTP/2 connection by hand, as far as the server's settings."""
    stream = await dial(stage, "h2")
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    await stream.send_all(connection.data_to_send())
    async with stream:
        events: list[h2.events.Event] = []
        while not any(isinstance(event, h2.events.RemoteSettingsChanged) for event in events):
            events += connection.receive_data(bytes(await stream.receive_some(65_536)))
        await stream.send_all(connection.data_to_send())
        yield stream, connection


# --- Serving. ---


@pytest.mark.parametrize(("http2", "version"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
async def test_requests_share_a_connection(stage: Stage, *, http2: bool, version: str) -> None:
    async with client(stage, http2=http2) as http:
        for path, status in (("/health", 200), ("/nowhere", 404), ("/health", 200)):
            got = await http.get(path)
            assert (got.http_version, got.status_code) == (version, status)
            assert "server" not in got.headers
        assert stage.around.admission.connections == 1


async def test_streams_of_http2_go_side_by_side(stage: Stage) -> None:
    async with client(stage, http2=True) as http, trio.open_nursery() as nursery:  # ends with the last answer
        await http.get("/health")
        got: list[int] = []

        async def fetch(path: str) -> None:
            got.append(len((await http.get(path)).content))

        nursery.start_soon(fetch, "/big")
        for _ in range(20):
            nursery.start_soon(fetch, "/health")
        await until(lambda: len(got) == 21)
        assert max(got) == len(BIG.content)
        assert stage.around.admission.connections == 1


@pytest.mark.parametrize("http2", [False, True])
async def test_a_large_answer_arrives_whole(stage: Stage, *, http2: bool) -> None:
    async with client(stage, http2=http2) as http:
        assert (await http.get("/big")).content == BIG.content


async def test_sockets_over_http2_are_not_advertised(stage: Stage) -> None:
    """A browser that saw it would open its sockets that way, which is many times slower."""
    async with speaking_http2(stage) as (_, connection):
        assert connection.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 0
        assert connection.remote_settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 16_384


async def test_so_many_requests_as_the_settings_say_go_side_by_side() -> None:
    async with playing(configuration(limits={"streams": 150})) as stage:
        async with speaking_http2(stage) as (stream, connection):
            assert connection.remote_settings.max_concurrent_streams == 150
            names = {
                ":method": "GET",
                ":path": "/sse?channels=trades:x",
                ":scheme": "http",
                ":authority": "x",
            }
            numbers = [connection.get_next_available_stream_id()]
            for _ in range(150):
                connection.send_headers(numbers[-1], [*names.items(), ("x-api-key", KEY)], end_stream=True)
                numbers.append(connection.get_next_available_stream_id())
            await stream.send_all(connection.data_to_send())
            await until(lambda: stage.around.admission.sessions == 150)
            assert stage.traffic.limits == {}
        async with client(stage, http2=True) as http:
            stage.change(streams=100)
            assert (await http.get("/health")).status_code == 200
        async with speaking_http2(stage) as (_, connection):
            assert connection.remote_settings.max_concurrent_streams == 100


def test_hypercorn_still_has_what_we_adapt() -> None:
    assert issubclass(hypercorn.protocol.H2Protocol, hypercorn.protocol.h2.H2Protocol)  # type: ignore[attr-defined]
    assert hypercorn.protocol.H2Protocol is not hypercorn.protocol.h2.H2Protocol  # type: ignore[attr-defined]
    assert callable(TCPServer._read_data)
    buffer = hypercorn.protocol.h2.StreamBuffer(EventWrapper)
    assert type(buffer).__base__ is not object
    assert {"buffer", "_paused", "_is_empty"} <= vars(buffer).keys()


async def test_a_socket_on_a_connection_that_carried_a_request_is_refused(stage: Stage) -> None:
    async with await dial(stage) as stream:
        await stream.send_all(GET)
        await answer(stream)
        await stream.send_all(UPGRADE + b"\r\n")
        assert (await rest(stream)).startswith(b"HTTP/1.1 403 ")


async def test_a_later_head_is_bounded_too(stage: Stage) -> None:
    async with await dial(stage) as stream:
        await stream.send_all(GET)
        await answer(stream)
        await stream.send_all(b"GET /health HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert (await rest(stream)).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("data", [b"\x00" * 30, b"GET /health HTTP/1.1\r\n\r\n", b"hello\r\n\r\n"])
async def test_nonsense_after_a_request_is_answered_and_closed(stage: Stage, data: bytes) -> None:
    async with await dial(stage) as stream:
        await stream.send_all(GET)
        await answer(stream)
        await stream.send_all(data)
        assert (await rest(stream))[:12] in {b"HTTP/1.1 400", b""}


async def test_nonsense_in_http2_is_closed(stage: Stage) -> None:
    async with speaking_http2(stage) as (stream, _):
        await stream.send_all(b"\0\0\0\x04\0\0\0\0\x01")  # settings of a stream, of which there are none
        await rest(stream)


# --- Ends. ---


@pytest.mark.parametrize("http2", [False, True])
async def test_a_client_that_leaves_is_let_go_at_once(stage: Stage, *, http2: bool) -> None:
    """Hypercorn alone would wait until the connection has idled long enough."""
    async with client(stage, http2=http2) as http:
        assert (await http.get("/health")).status_code == 200
        assert stage.around.admission.connections == 1
    await until(lambda: stage.around.admission.connections == 0)


@pytest.mark.parametrize("http2", [False, True])
async def test_a_stop_lets_idle_connections_go(stage: Stage, *, http2: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        if http2:
            stream, _ = await stack.enter_async_context(speaking_http2(stage))
        else:
            stream = await stack.enter_async_context(await dial(stage))
            await stream.send_all(GET)
            await answer(stream)
        await stage.server.stop()
        await rest(stream)


@pytest.mark.parametrize("http2", [False, True])
async def test_a_stop_answers_the_first_request_of_who_has_just_come(stage: Stage, *, http2: bool) -> None:
    """Hypercorn alone would close the connection, sometimes, or reset the request."""
    await stage.server.stop()
    for _ in range(20):
        async with client(stage, http2=http2) as http:
            assert (await http.get("/health")).status_code == 200


async def test_a_stop_answers_what_has_come_before_it(stage: Stage) -> None:
    """Also in the very moment in which an idle connection would be let go."""
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await dial(stage)) for _ in range(20)]
        for stream in streams:
            await stream.send_all(GET)
            await answer(stream)
        for stream in streams:
            await stream.send_all(GET)
        await stage.server.stop()
        for stream in streams:
            assert (await rest(stream)).startswith(b"HTTP/1.1 200 ")


async def test_a_stop_ends_what_goes_side_by_side_and_says_which_request_was_the_last(stage: Stage) -> None:
    """Hypercorn alone would reset what comes on a connection that has something under way."""
    async with speaking_http2(stage) as (stream, connection):

        async def ask(path: str) -> int:
            number = connection.get_next_available_stream_id()
            names = {":method": "GET", ":path": path, ":scheme": "https", ":authority": "localhost"}
            connection.send_headers(number, list(names.items()), end_stream=True)
            await stream.send_all(connection.data_to_send())
            return number

        big = await ask("/big")
        received: list[h2.events.Event] = []
        while not any(isinstance(event, h2.events.ResponseReceived) for event in received):
            received += connection.receive_data(bytes(await stream.receive_some(65_536)))
        await stage.server.stop()
        numbers = [big, await ask("/health"), await ask("/health")]
        sizes, ended = dict.fromkeys(numbers, 0), set()
        parting: list[tuple[int | None, int | None]] = []
        while not parting:
            for event in received:
                assert not isinstance(event, h2.events.StreamReset)
                if isinstance(event, h2.events.DataReceived):
                    sizes[event.stream_id] += len(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
                elif isinstance(event, h2.events.ConnectionTerminated):
                    parting.append((event.last_stream_id, event.error_code))
            await stream.send_all(connection.data_to_send())
            if not parting:
                with trio.fail_after(PATIENCE):
                    received = connection.receive_data(bytes(await stream.receive_some(65_536)))
        assert parting == [(numbers[-1], 0)]
        assert ended == set(numbers)
        assert sizes[big] == len(BIG.content)
        # What crosses the goodbye is not taken up; the client knows.
        late = h2.connection.H2Connection(h2.config.H2Configuration())
        late.initiate_connection()
        late.clear_outbound_data_buffer()
        names = {":method": "GET", ":path": "/health", ":scheme": "https", ":authority": "localhost"}
        late.send_headers(numbers[-1] + 2, list(names.items()), end_stream=True)
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(late.data_to_send())
        assert b":status" not in await rest(stream)


async def test_idle_connections_are_let_go_in_time(tls: Contexts) -> None:
    async with playing(configuration(limits={"keep_alive": SHORT}), tls=tls) as stage:
        async with await dial(stage) as stream:
            await stream.send_all(GET)
            assert (await rest(stream)).startswith(b"HTTP/1.1 200 ")
        async with await dial(stage, "h2") as stream:
            await rest(stream)


@contextlib.asynccontextmanager
async def taking_nothing(stage: Stage) -> AsyncIterator[trio.SocketStream]:
    """A client that has asked for much and does not read it."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    async with trio.SocketStream(sock) as stream:
        await stream.send_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert bytes(await stream.receive_some(12)) == b"HTTP/1.1 200"
        yield stream


async def test_a_client_that_takes_nothing_is_cut_off() -> None:
    settings = configuration(limits={"stalled": SHORT})
    async with playing(settings, assets={"/big": BIG}) as stage, taking_nothing(stage):
        await until(lambda: stage.around.admission.connections == 0)


async def test_a_client_that_takes_a_little_at_a_time_is_served_to_the_end() -> None:
    async with (
        playing(configuration(limits={"stalled": SHORT}), assets={"/big": BIG}) as stage,
        taking_nothing(stage) as stream,
    ):
        read = 0
        with trio.fail_after(PATIENCE):
            while read < len(BIG.content):
                pause = SHORT / 8 if read < 400_000 else 0
                await trio.sleep(pause)
                chunk = await stream.receive_some(50_000)
                assert chunk
                read += len(chunk)


async def test_a_client_that_takes_nothing_does_not_hold_up_a_stop() -> None:
    """What Hypercorn sends is shielded from cancellation."""
    async with playing(assets={"/big": BIG}) as stage, taking_nothing(stage):
        await trio.testing.wait_all_tasks_blocked(0.02)
        with trio.CancelScope(shield=True), trio.fail_after(PATIENCE):
            stage.connections.cancel_scope.cancel()
            await until(lambda: stage.around.admission.connections == 0)


# --- Crowds: many requests of one connection. ---

MANY = 60


@contextlib.asynccontextmanager
async def asked(app: ASGIApp, requests: bytes, *, clients: int = 1) -> AsyncIterator[socket.socket]:
    """Serve an application on connections on which all these bytes have come; give the end of the last client."""
    settings = configuration()
    server = Server(app, keep_alive=PATIENCE, head_bytes=16_384, refused=Traffic().refused)
    policy = Policy(lambda: settings.listen[0], lambda: settings.limits)
    with contextlib.ExitStack() as stack:
        async with trio.open_nursery() as nursery:  # ends with the block
            for _ in range(clients):
                ours, theirs = connected()
                stack.enter_context(theirs).sendall(requests)
                nursery.start_soon(server.serve, Stream(ours), policy, Peer("127.0.0.1"))
            yield theirs
            nursery.cancel_scope.cancel()


def crowd(*, http2: bool, bodies: int = 0) -> bytes:
    """Give many requests; those of HTTP/2 wait for the rest of a body of which there are so many pieces."""
    if not http2:
        return MANY * GET
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    names = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "localhost")]
    for number in range(MANY):
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, names, end_stream=not bodies)
        # The last one is spared.
        for _ in range(bodies if number < MANY - 1 else 0):
            connection.send_data(stream, b".")
    return connection.data_to_send()


async def empty(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def reset(sock: socket.socket) -> None:
    """Leave without a goodbye."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def test_requests_that_come_at_once_begin_one_by_one() -> None:
    """Each takes long enough for others to notice."""
    loop, begun = rounds(), list[int]()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        begun.append(loop.count)
        await empty(send)

    async with asked(app, crowd(http2=True), clients=4):
        await until(lambda: len(begun) == 4 * MANY)
    assert len(set(begun)) == 4 * MANY


@pytest.mark.parametrize("http2", [False, True])
async def test_a_request_of_who_has_gone_is_not_begun(*, http2: bool) -> None:
    begun = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            reset(theirs)
        await empty(send)

    async with asked(app, crowd(http2=http2)) as theirs:
        await until(lambda: begun > 0)
        await trio.testing.wait_all_tasks_blocked(0.02)
    assert begun <= 5  # some have begun before it is seen that the first answer cannot be sent


async def test_all_of_a_connection_hear_of_its_end_soon_though_many_do_not_listen() -> None:
    """Each had a second to itself once, one after the other."""
    begun, over = 0, trio.Event()
    heard: list[str] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        nonlocal begun
        begun += 1
        if begun == MANY:
            heard.append((await receive())["type"])
            over.set()
        await over.wait()

    # Ten pieces wait for an application that does not ask for them, and then no more.
    async with asked(app, crowd(http2=True, bodies=10)) as theirs:
        await until(lambda: begun == MANY)
        reset(theirs)
        left = trio.current_time()
        with trio.fail_after(PATIENCE):
            await over.wait()
        assert trio.current_time() - left < MANY / 4
    assert heard == ["http.disconnect"]


@contextlib.contextmanager
def no_garbage_collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def held() -> list[str]:
    """Name what is held of connections."""
    kinds = (TCPServer, H2Protocol, H11Protocol, Stream)
    return [type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds)]


@pytest.mark.parametrize("http2", [False, True])
async def test_nothing_of_a_connection_is_left_for_the_garbage_collector(*, http2: bool) -> None:
    """It would be looked at again and again, and stop all others meanwhile."""
    begun = 0

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await empty(send)

    with no_garbage_collected():
        before = held()
        async with asked(app, crowd(http2=http2)) as theirs:
            await until(lambda: begun == MANY)
            assert len(held()) > len(before)
            theirs.close()
            await until(lambda: held() == before)
