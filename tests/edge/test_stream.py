"""The stream over real sockets: plain and TLS, written without waiting and with, ended in every way."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
from collections import Counter
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from appliance.edge import stream as stream_module
from appliance.edge.stream import Stream
from appliance.runtime.turns import SLICE, Turnstile, rounds
from tests.edge.stage import PATIENCE, connected, rest, secured, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Contexts = tuple[ssl.SSLContext, ssl.SSLContext]

KINDS = ("pair", "tcp", "tls1.2", "tls1.3")
VERSIONS = {"tls1.2": ssl.TLSVersion.TLSv1_2, "tls1.3": ssl.TLSVersion.TLSv1_3}
SMALL, AMPLE = 16_384, 262_144
CROWD = 40


@attrs.define(eq=False)
class Ends:
    """Our stream, and what its peer holds."""

    stream: Stream
    peer: trio.abc.Stream
    plain: trio.SocketStream
    """The peer's end below TLS."""

    async def read(self, count: int) -> bytes:
        data = b""
        with trio.fail_after(PATIENCE):
            while len(data) < count:
                chunk = await self.peer.receive_some(count - len(data))
                assert chunk, f"ended after {len(data)} of {count} bytes"
                data += bytes(chunk)
        return data

    def fill(self, size: int = 20_000) -> bytes:
        """Push until the socket is full and more waits than both kernels' buffers hold; give what was pushed."""
        pushed = b""
        while self.stream.waiting < 4 * AMPLE:
            data = len(pushed).to_bytes(4, "big") * (size // 4)
            pushed += data
            self.stream.push(data)
        return pushed

    def reset(self) -> None:
        """Have the peer vanish with a reset."""
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.plain.socket.close()


async def open_ends(kind: str, tls: Contexts) -> Ends:
    ours, theirs = socket.socketpair() if kind == "pair" else connected()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, AMPLE)
    if kind not in VERSIONS:
        plain = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
        return Ends(Stream(ours), plain, plain)
    server, client = tls
    client.maximum_version = VERSIONS[kind]
    try:
        stream, peer = await secured(ours, server, theirs, client)
    finally:
        client.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    return Ends(stream, peer, peer.transport_stream)


@pytest.fixture(params=KINDS)
async def ends(request: pytest.FixtureRequest, tls: Contexts) -> AsyncIterator[Ends]:
    opened = await open_ends(request.param, tls)
    yield opened
    opened.stream.abort()
    await trio.aclose_forcefully(opened.peer)


@pytest.fixture(params=["tls1.2", "tls1.3"])
async def tls_ends(request: pytest.FixtureRequest, tls: Contexts) -> AsyncIterator[Ends]:
    opened = await open_ends(request.param, tls)
    yield opened
    opened.stream.abort()
    await trio.aclose_forcefully(opened.peer)


# --- Writing. ---


async def test_what_is_pushed_goes_out_at_once(ends: Ends) -> None:
    assert ends.stream.push(b"hello")
    assert ends.stream.waiting == 0
    assert ends.stream.sent == 5
    assert await ends.read(5) == b"hello"


async def test_an_empty_push_says_nothing(ends: Ends) -> None:
    assert ends.stream.push(b"")
    assert ends.stream.push(b"after")
    assert await ends.read(5) == b"after"


async def test_more_than_one_record_of_tls_goes_out_at_once(tls_ends: Ends) -> None:
    data = bytes(17_000)
    assert tls_ends.stream.push(data)
    assert tls_ends.stream.waiting == 0
    assert await tls_ends.read(len(data)) == data


async def test_a_full_socket_takes_no_more_until_it_is_read(ends: Ends) -> None:
    pushed = ends.fill()
    waiting = ends.stream.waiting
    assert waiting > 0
    assert not ends.stream.push(b"more")
    assert ends.stream.waiting == waiting + 4
    assert ends.stream.sent + ends.stream.waiting == len(pushed) + 4

    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(ends.stream.drained)
        assert await ends.read(len(pushed) + 4) == pushed + b"more"

    assert ends.stream.waiting == 0
    assert ends.stream.sent == len(pushed) + 4
    assert ends.stream.push(b"again")
    assert await ends.read(5) == b"again"


async def test_pushes_and_sends_keep_their_order(ends: Ends) -> None:
    pushed = ends.fill()
    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(ends.stream.send_all, b"first sent")
        await trio.testing.wait_all_tasks_blocked()
        assert not ends.stream.push(b", then pushed")
        nursery.start_soon(ends.stream.send_all, bytearray(b", then sent"))
        wanted = pushed + b"first sent, then pushed, then sent"
        assert await ends.read(len(wanted)) == wanted


async def test_beside_a_send_a_socket_with_room_is_not_full(ends: Ends) -> None:
    """Else a client that reads all in time would be taken for a slow one whenever it is pinged."""
    async with trio.open_nursery() as nursery:  # ends when all is sent
        for _ in range(3):
            nursery.start_soon(ends.stream.send_all, b"ping")
        for _ in range(10):
            assert ends.stream.push(b"push")
            await trio.lowlevel.checkpoint()
    got = await ends.read(52)
    assert (got.count(b"ping"), got.count(b"push")) == (3, 10)


@pytest.mark.parametrize("seed", range(4))
async def test_every_byte_arrives_in_order_whatever_the_reader_does(ends: Ends, seed: int) -> None:
    dice = random.Random(seed)
    stream, expected, got = ends.stream, bytearray(), bytearray()
    finished = False

    async def read() -> None:
        while not (finished and len(got) == len(expected)):
            with trio.move_on_after(PATIENCE if finished else 0.02):
                got.extend(await ends.peer.receive_some(dice.choice((1, 100, 5_000, 70_000))))
            for _ in range(dice.randrange(4)):
                await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(read)
        for _ in range(60):
            data = dice.randbytes(dice.choice((0, 1, 30, 3_000, 17_000, 60_000)))
            match dice.randrange(4):
                case 0 | 1:
                    expected += data
                    stream.push(data)
                case 2:
                    expected += data  # appended before the first wait, even when it is cancelled then
                    with trio.move_on_after(dice.choice((0.001, PATIENCE))):
                        await stream.send_all(data)
                case _:
                    with trio.move_on_after(dice.choice((0.001, PATIENCE))):
                        await stream.drained()
        await stream.drained()
        finished = True

    assert got == expected
    assert stream.sent == len(expected)


async def test_tls_takes_again_what_it_refused(tls_ends: Ends) -> None:
    stream = tls_ends.stream
    parts = [random.Random(number).randbytes(1_000_000) for number in range(2)]
    assert not stream.push(parts[0])
    assert not stream.push(parts[1])
    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(stream.drained)
        assert await tls_ends.read(2_000_000) == parts[0] + parts[1]


async def test_a_muted_stream_forgets_pushes_and_still_sends(ends: Ends) -> None:
    pushed = ends.fill()
    ends.stream.mute()
    assert ends.stream.push(b"never")
    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(ends.stream.send_all, b"goodbye")
        await trio.testing.wait_all_tasks_blocked()
        assert ends.stream.push(b"never")
        wanted = pushed + b"goodbye"
        assert await ends.read(len(wanted)) == wanted
    assert ends.stream.push(b"never")
    await ends.stream.aclose()
    assert await rest(ends.peer) == b""


async def test_any_number_may_write_and_one_read_at_once(ends: Ends) -> None:
    pushed = ends.fill()
    async with trio.open_nursery() as nursery:  # ends when all is written and read
        for wait in (ends.stream.drained, ends.stream.wait_send_all_might_not_block, ends.stream.drained):
            nursery.start_soon(wait)
        for number in range(3):
            nursery.start_soon(ends.stream.send_all, bytes((number,)))
        nursery.start_soon(ends.stream.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        data = await ends.read(len(pushed) + 3)
        assert data[:-3] == pushed
        assert sorted(data[-3:]) == [0, 1, 2]
        await ends.peer.send_all(b"!")


async def test_a_cancelled_send_loses_nothing(ends: Ends) -> None:
    pushed = ends.fill()
    with trio.move_on_after(0.01) as scope:
        await ends.stream.send_all(b"all of it")
    assert scope.cancelled_caught
    with trio.move_on_after(0.01) as scope:
        await ends.stream.drained()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(ends.stream.send_all, b", once")
        assert await ends.read(len(pushed) + 15) == pushed + b"all of it, once"
    await ends.stream.aclose()
    assert await rest(ends.peer) == b""


def unsent_limit(stream: Stream) -> int:
    return stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="only some kernels have it")
async def test_the_kernel_is_told_how_much_to_hold(ends: Ends) -> None:
    ends.stream.limit_unsent(20_000)  # of a Unix socket it is no error
    if ends.stream.socket.family == socket.AF_INET:
        assert unsent_limit(ends.stream) == 20_000


# --- Reading. ---


async def test_what_is_given_back_is_read_first(ends: Ends) -> None:
    await ends.peer.send_all(b"behind")
    first = await ends.stream.receive_some(6)
    ends.stream.unread(first)
    ends.stream.unread(b"before ")
    assert await ends.stream.receive_some(3) == b"bef"
    assert await ends.stream.receive_some() == b"ore behind"
    assert ends.stream.received == 6


async def test_a_cancelled_read_loses_nothing(ends: Ends) -> None:
    dice = random.Random(1)
    sent, got = dice.randbytes(60_000), b""

    async def send() -> None:
        for start in range(0, len(sent), 1_000):
            await ends.peer.send_all(sent[start : start + 1_000])
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends when all is read
        nursery.start_soon(send)
        with trio.fail_after(PATIENCE):
            while len(got) < len(sent):
                with trio.CancelScope() as scope:
                    if dice.random() < 0.5:
                        scope.cancel()
                    got += await ends.stream.receive_some(dice.choice((7, 900, None)))
    assert got == sent


async def test_the_first_bytes_are_seen_and_stay() -> None:
    ours, theirs = connected()
    with ours, theirs:
        stream = Stream(ours)
        async with trio.open_nursery() as nursery:  # ends with the block
            seen: list[bytes] = []

            async def look() -> None:
                seen.append(await stream.peek(16))

            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
            theirs.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert seen[0] == b"GET / HTTP/1.1\r\n"
        assert await stream.receive_some() == b"GET / HTTP/1.1\r\nHost: localhost\r\n"
        assert stream.received == 33
        theirs.close()
        assert await stream.peek(16) == b""


async def test_to_look_at_a_reset_connection_breaks() -> None:
    ours, theirs = connected()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    with ours, pytest.raises(trio.BrokenResourceError):
        await Stream(ours).peek(16)


# --- TLS. ---


async def test_a_stream_knows_its_protocol(ends: Ends) -> None:
    is_tls = isinstance(ends.peer, trio.SSLStream)
    assert ends.stream.is_tls is is_tls
    assert ends.stream.alpn is None
    await ends.stream.handshake()  # a second one has nothing to do


async def test_alpn_is_agreed(tls: Contexts) -> None:
    server, client = tls
    client.set_alpn_protocols(["h2", "http/1.1"])
    ours, theirs = connected()
    stream, peer = await secured(ours, server, theirs, client)
    assert stream.alpn == "h2"
    stream.abort()
    await trio.aclose_forcefully(peer)


@pytest.mark.parametrize(
    "hello",
    [
        b"\x16\x03\x01\x00\x20" + b"\xff" * 32,
        b"\x16\x03\x01" + b"\x00" * 500,
        b"\x16\x03\x01\x02\x00\x01",  # begins well, and ends there
        b"\x80\x2e\x01\x03\x01",
    ],
)
async def test_a_hello_that_is_none_breaks_the_stream(tls: Contexts, hello: bytes) -> None:
    ours, theirs = connected()
    with theirs:
        theirs.send(hello)
        theirs.shutdown(socket.SHUT_WR)
        stream = Stream(ours).secured(tls[0])
        with trio.fail_after(PATIENCE), pytest.raises(trio.BrokenResourceError):
            await stream.handshake()
        assert stream.push(b"into the void")
        stream.abort()


async def test_an_old_tls_version_is_refused_by_name(tls: Contexts) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    ours, theirs = connected()
    stream = Stream(ours).secured(tls[0])
    peer = trio.SSLStream(trio.SocketStream(trio.socket.from_stdlib_socket(theirs)), old)

    async def shake() -> None:
        with pytest.raises(trio.BrokenResourceError) as caught:
            await peer.do_handshake()
        assert "PROTOCOL_VERSION" in str(caught.value.__cause__)

    async with trio.open_nursery() as nursery:  # ends when both have given up
        nursery.start_soon(shake)
        with pytest.raises(trio.BrokenResourceError):
            await stream.handshake()
    stream.abort()
    await trio.aclose_forcefully(peer)


@pytest.mark.parametrize("hard", [True, False])
async def test_a_peer_that_leaves_amid_the_handshake_breaks_it(tls: Contexts, *, hard: bool) -> None:
    ours, theirs = connected()
    stream = Stream(ours).secured(tls[0])
    async with trio.open_nursery() as nursery:  # ends when the handshake has failed

        async def shake() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await stream.handshake()

        nursery.start_soon(shake)
        await trio.testing.wait_all_tasks_blocked()
        if hard:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
    stream.abort()


async def test_tls_over_a_connection_that_is_gone_breaks(tls: Contexts) -> None:
    ours, theirs = connected()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    stream = Stream(ours)

    async def agree() -> Stream:
        secure = stream.secured(tls[0])
        try:
            await secure.handshake()
        finally:
            secure.abort()
        return secure

    with pytest.raises(trio.BrokenResourceError):
        await agree()
    stream.abort()


async def test_what_was_pushed_before_the_handshake_does_not_keep_the_processor_busy(tls: Contexts) -> None:
    ours, theirs = connected()
    with theirs:
        stream = Stream(ours).secured(tls[0])
        stream.push(b"too early")
        with trio.fail_after(PATIENCE):
            await stream.drained()
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"too early")
        stream.abort()
        with contextlib.suppress(ConnectionError):
            assert b"early" not in theirs.recv(100)


async def test_the_plain_stream_below_tls_is_closed(tls: Contexts) -> None:
    ours, theirs = connected()
    with theirs:
        plain = Stream(ours)
        secure = plain.secured(tls[0])
        with pytest.raises(trio.ClosedResourceError):
            await plain.receive_some()
        assert plain.push(b"in clear")
        plain.abort()
        secure.abort()
        with contextlib.suppress(ConnectionError):
            assert theirs.recv(100) == b""


def test_pushes_go_to_the_c_object_of_the_standard_library(tls: Contexts) -> None:
    ours, theirs = socket.socketpair()
    with theirs, tls[0].wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as sock:
        write = stream_module._writer(sock)
        owner = getattr(write, "__self__", None)
        assert owner is sock._sslobj  # type: ignore[attr-defined]
        assert type(owner).__module__ == "_ssl"


async def test_what_the_c_object_sends_arrives(tls_ends: Ends) -> None:
    write = stream_module._writer(tls_ends.stream.socket)
    assert write(b"through the C object") == 20
    assert await tls_ends.read(20) == b"through the C object"


# --- Ends. ---


async def test_an_orderly_end_is_read_as_such(ends: Ends) -> None:
    await ends.peer.send_all(b"last")
    async with trio.open_nursery() as nursery:  # ends when both have closed
        nursery.start_soon(ends.peer.aclose)
        assert await ends.stream.receive_some() == b"last"
        assert await ends.stream.receive_some() == b""
        assert await ends.stream.receive_some() == b""
        await ends.stream.aclose()


async def test_an_end_without_a_tls_goodbye_is_an_end(tls_ends: Ends) -> None:
    await tls_ends.peer.send_all(b"last")
    await tls_ends.plain.send_eof()
    assert await tls_ends.stream.receive_some() == b"last"
    assert await tls_ends.stream.receive_some() == b""


@pytest.mark.parametrize("kind", ["tcp", "tls1.2", "tls1.3"])
async def test_a_reset_breaks_the_stream(kind: str, tls: Contexts) -> None:
    ends = await open_ends(kind, tls)
    ends.reset()
    if kind == "tcp":
        with pytest.raises(trio.BrokenResourceError):
            await ends.stream.receive_some()
    else:
        # Some versions of the standard library take a reset of TLS for its end.
        with contextlib.suppress(trio.BrokenResourceError):
            assert await ends.stream.receive_some() == b""
    assert ends.stream.push(b"into the void")
    assert ends.stream.push(b"into the void")
    with pytest.raises(trio.BrokenResourceError):
        await ends.stream.send_all(b"into the void")
    await ends.stream.drained()
    assert ends.stream.waiting == 0
    await ends.stream.aclose()


async def test_a_reset_frees_a_task_that_waits_for_room(ends: Ends) -> None:
    ends.fill()
    async with trio.open_nursery() as nursery:  # ends when both have seen the reset

        async def send() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await ends.stream.send_all(b"more")

        nursery.start_soon(send)
        nursery.start_soon(ends.stream.drained)
        await trio.testing.wait_all_tasks_blocked()
        ends.reset()


async def test_an_abort_frees_all_that_wait(ends: Ends) -> None:
    ends.fill()
    freed: list[str] = []

    async def expect(name: str, wait: Callable[[], object], *, closed: bool) -> None:
        with pytest.raises(trio.ClosedResourceError) if closed else contextlib.nullcontext():
            await wait()  # type: ignore[misc]
        freed.append(name)

    async with trio.open_nursery() as nursery:  # ends when all are free
        stream = ends.stream
        # Who only waits for room is not told: nothing waits in a closed stream.
        for name, wait, closed in (
            ("drained", stream.drained, False),
            ("sent", lambda: stream.send_all(b"more"), True),
            ("received", stream.receive_some, True),
            ("drained too", stream.drained, False),
        ):
            nursery.start_soon(lambda n, w, c: expect(n, w, closed=c), name, wait, closed)
        await trio.testing.wait_all_tasks_blocked()
        assert freed == []
        stream.abort()
    assert sorted(freed) == ["drained", "drained too", "received", "sent"]
    stream.abort()


async def test_a_closed_stream_takes_all_and_says_so_to_who_waits(ends: Ends) -> None:
    await ends.stream.aclose()
    assert ends.stream.push(b"into the void")
    await ends.stream.drained()
    for wait in (ends.stream.receive_some, ends.stream.wait_send_all_might_not_block):
        with pytest.raises(trio.ClosedResourceError):
            await wait()
    with pytest.raises(trio.ClosedResourceError):
        await ends.stream.send_all(b"")
    await ends.stream.aclose()
    await ends.stream.finish(within=2)
    assert await rest(ends.peer) == b""


async def test_a_closed_stream_never_writes_to_who_has_its_descriptor_now(tls_ends: Ends) -> None:
    number = tls_ends.stream.socket.fileno()
    tls_ends.stream.abort()
    others = connected()
    with contextlib.ExitStack() as stack:
        for other in others:
            stack.enter_context(other)
        while number not in {other.fileno() for other in others}:
            others = tuple(map(stack.enter_context, connected()))  # type: ignore[assignment]
        assert tls_ends.stream.push(b"not for you")
        for other in others:
            other.setblocking(False)  # noqa: FBT003 - the signature of the socket
            with pytest.raises(BlockingIOError):
                other.recv(100)


async def test_an_abort_is_seen_as_a_reset(tls: Contexts) -> None:
    ends = await open_ends("tcp", tls)
    ends.stream.abort()
    with pytest.raises(trio.BrokenResourceError):
        await ends.peer.receive_some()
    await ends.peer.aclose()


async def test_a_late_reader_gets_the_last_words(ends: Ends) -> None:
    filler = ends.fill()
    ends.stream.push(b"last words")
    ends.plain.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
    async with trio.open_nursery() as nursery:  # ends when the peer has read all
        nursery.start_soon(ends.peer.send_all, b"unread" * 1_000)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(partial(ends.stream.finish, within=PATIENCE))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await rest(ends.peer) == filler + b"last words"
        await trio.aclose_forcefully(ends.peer)


async def test_who_never_reads_the_last_words_is_cut_off(ends: Ends) -> None:
    ends.fill()
    with trio.fail_after(PATIENCE):
        await ends.stream.finish(within=0.05)
    await until(lambda: ends.stream.socket.fileno() == -1)
    assert ends.stream.waiting == 0


async def test_who_is_cut_off_sees_a_reset(tls: Contexts) -> None:
    ends = await open_ends("tcp", tls)
    pushed = ends.fill()
    await ends.stream.finish(within=0.05)
    with pytest.raises(trio.BrokenResourceError):
        await ends.read(len(pushed))
    await ends.peer.aclose()


async def test_a_stream_is_a_context() -> None:
    ours, theirs = connected()
    with theirs:
        async with Stream(ours) as stream:
            stream.push(b"within")
        assert theirs.recv(10) == b"within"
        assert theirs.recv(10) == b""


async def test_who_is_quick_gets_more_at_once_and_who_is_slow_less(ends: Ends) -> None:
    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(ends.peer.send_all, bytes(50_000_000))
        await trio.testing.wait_all_tasks_blocked(0.05)
        first = len(await ends.stream.receive_some())
        assert first <= 1_024
        with trio.fail_after(PATIENCE):
            while len(await ends.stream.receive_some()) <= 4 * first:
                pass
            while len(await ends.stream.receive_some()) >= first:
                until = perf_counter() + 2 * SLICE
                while perf_counter() < until:
                    pass
        nursery.cancel_scope.cancel()


async def test_those_who_never_have_to_wait_let_others_run_in_between() -> None:
    turnstile, loop, read = Turnstile(), rounds(), Counter[int]()

    async def one(stream: Stream) -> None:
        await stream.receive_some(1)  # it could not be known before that there is more
        for _ in range(2):
            assert await stream.receive_some(1)
            read[loop.count] += 1
            until = perf_counter() + SLICE
            while perf_counter() < until:
                pass

    pairs = [socket.socketpair() for _ in range(CROWD)]
    for _, theirs in pairs:
        theirs.send(b"abc")
    streams = [Stream(ours, turnstile) for ours, _ in pairs]
    async with trio.open_nursery() as nursery:  # ends when all have read
        for stream in streams:
            nursery.start_soon(one, stream)
    assert read.total() == 2 * CROWD
    assert set(read.values()) == {1}
    for stream, (_, theirs) in zip(streams, pairs, strict=True):
        await stream.aclose()
        theirs.close()


async def test_it_is_known_when_the_peer_is_gone(ends: Ends) -> None:
    assert not ends.stream.is_broken
    ends.reset()
    await until(lambda: ends.stream.push(b"anybody there?") and ends.stream.is_broken)


async def test_a_crowd_that_all_has_something_to_read_lets_others_run_in_between() -> None:
    turnstile, read, seen = Turnstile(), [], []

    async def one(stream: Stream) -> None:
        read.append(await stream.receive_some())
        until = perf_counter() + SLICE
        while perf_counter() < until:
            pass

    pairs = [socket.socketpair() for _ in range(CROWD)]
    streams = [Stream(ours, turnstile) for ours, _ in pairs]
    async with trio.open_nursery() as nursery:  # ends when all have read
        for stream in streams:
            nursery.start_soon(one, stream)
        await trio.testing.wait_all_tasks_blocked()
        for _, theirs in pairs:
            theirs.send(b"back")
        while len(read) < CROWD:
            seen.append(len(read))
            await trio.lowlevel.checkpoint()
    assert read == [b"back"] * CROWD
    assert max(after - before for before, after in pairwise([*seen, CROWD])) <= 6
    for stream, (_, theirs) in zip(streams, pairs, strict=True):
        await stream.aclose()
        theirs.close()
