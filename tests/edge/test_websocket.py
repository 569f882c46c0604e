"""A WebSocket over our stream, against a real client or frames made by hand."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing
import trio_websocket

from appliance.dialects import framing
from appliance.edge import websocket
from appliance.edge.stream import Stream
from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.stage import PATIENCE, UPGRADE, connected, rest, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_BYTES = 1_000
PER_MINUTE = 600
END = b"\r\n\r\n"


@attrs.define(eq=False)
class Call:
    """An open WebSocket: our side, and the client's bare connection."""

    ours: websocket.Socket
    theirs: trio.SocketStream
    nursery: trio.Nursery
    head: bytes = b""
    frames: FrameReader = attrs.field(factory=FrameReader)
    read: list[tuple[int, bytes]] = attrs.field(factory=list)

    async def send(self, opcode: Opcode, payload: bytes) -> None:
        await self.theirs.send_all(client_frame(opcode, payload))

    async def frame(self) -> tuple[int, bytes]:
        """Give the next frame that the client gets."""
        with trio.fail_after(PATIENCE):
            while not self.read:
                data = bytes(await self.theirs.receive_some(65_536))
                assert data, "the connection has ended"
                self.read += self.frames.feed(data)
        return self.read.pop(0)

    async def hangup(self) -> websocket.Hangup:
        """Give what ends the conversation."""
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    await self.ours.receive()
                except websocket.Hangup as hangup:
                    return hangup


def close_payload(code: int, reason: str = "") -> bytes:
    return struct.pack("!H", code) + reason.encode()


@contextlib.asynccontextmanager
async def opened(subprotocol: str | None = None, *headers: bytes) -> AsyncIterator[Call]:
    """Upgrade a connection whose client is a bare socket."""
    here, there = connected()
    stream, theirs = Stream(here), trio.SocketStream(trio.socket.from_stdlib_socket(there))
    stream.unread(UPGRADE + b"".join(header + b"\r\n" for header in headers) + b"\r\n")
    async with theirs, trio.open_nursery() as nursery:  # ends with the block
        ours = await websocket.accept(
            nursery, stream, most_bytes=MOST_BYTES, per_minute=PER_MINUTE, subprotocol=subprotocol
        )
        call = Call(ours, theirs, nursery)
        while END not in call.head:
            call.head += bytes(await theirs.receive_some(1))
        yield call
        nursery.cancel_scope.cancel()
    stream.abort()


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[tuple[websocket.Socket, trio_websocket.WebSocketConnection]]:
    """Upgrade a connection for a real client."""
    here, there = connected()
    stream, theirs = Stream(here), trio.SocketStream(trio.socket.from_stdlib_socket(there))
    async with theirs, trio.open_nursery() as nursery:  # ends with the block
        found: list[websocket.Socket] = []

        async def accept() -> None:
            found.append(
                await websocket.accept(
                    nursery, stream, most_bytes=MOST_BYTES, per_minute=PER_MINUTE, subprotocol=None
                )
            )

        nursery.start_soon(accept)
        client = await trio_websocket.wrap_client_stream(nursery, theirs, "localhost", "/ws")
        await trio.testing.wait_all_tasks_blocked()
        yield found[0], client
        nursery.cancel_scope.cancel()
    stream.abort()


# --- The upgrade. ---


async def test_an_upgrade_is_accepted_by_the_book() -> None:
    async with opened() as call:
        assert call.head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in call.head  # the RFC's own example
        assert b"sec-websocket-protocol" not in call.head.lower()


async def test_a_subprotocol_is_agreed() -> None:
    async with opened("appliance.v1", b"Sec-WebSocket-Protocol: bearer.x, appliance.v1") as call:
        assert b"sec-websocket-protocol: appliance.v1\r\n" in call.head.lower()


@pytest.mark.parametrize(
    "head",
    [
        UPGRADE.replace(b"Host: localhost\r\n", b""),
        UPGRADE.replace(b"13", b"8"),
        UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: smoke-signals"),
        UPGRADE + b"no colon\r\n",
        UPGRADE.replace(b"GET", b"POST"),
    ],
)
async def test_an_upgrade_that_is_refused_fails_and_is_told(head: bytes) -> None:
    here, there = connected()
    stream, theirs = Stream(here), trio.SocketStream(trio.socket.from_stdlib_socket(there))
    stream.unread(head + b"\r\n")
    async with theirs:
        with trio.fail_after(PATIENCE), pytest.raises(ExceptionGroup) as caught:
            async with trio.open_nursery() as nursery:  # ends with the refusal
                await websocket.accept(
                    nursery, stream, most_bytes=MOST_BYTES, per_minute=PER_MINUTE, subprotocol=None
                )
        assert [type(error) for error in caught.value.exceptions] == [websocket.UpgradeFailed]
        await stream.aclose()
        assert (await rest(theirs)).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("hard", [True, False])
async def test_a_client_that_leaves_amid_the_upgrade_ends_the_wait(*, hard: bool) -> None:
    here, there = connected()
    stream = Stream(here)
    stream.unread(UPGRADE)  # its last line is still to come
    if hard:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    there.close()
    with trio.fail_after(PATIENCE), pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:  # ends with the failure
            await websocket.accept(
                nursery, stream, most_bytes=MOST_BYTES, per_minute=PER_MINUTE, subprotocol=None
            )
    assert [type(error) for error in caught.value.exceptions] == [websocket.UpgradeFailed]
    stream.abort()


# --- The conversation. ---


async def test_messages_go_both_ways() -> None:
    async with talking() as (ours, client):
        await client.send_message("héllo")
        assert await ours.receive() == "héllo"
        await client.send_message(b"\x00\xff")
        assert await ours.receive() == b"\x00\xff"
        ours.stream.push(framing.text("wörld".encode()))
        assert await client.get_message() == "wörld"
        ours.stream.push(framing.text(b"x" * 70_000))
        assert await client.get_message() == "x" * 70_000


async def test_a_message_in_pieces_is_one() -> None:
    async with opened() as call:
        for first, piece in ((0x01, b'{"a":'), (0x00, b" 1"), (0x80, b"}")):
            data = bytearray(client_frame(Opcode.TEXT, piece))
            data[0] = first
            await call.theirs.send_all(data)
        assert await call.ours.receive() == '{"a": 1}'


async def test_pings_are_answered_also_while_nobody_receives() -> None:
    async with opened() as call:
        await call.send(Opcode.TEXT, b"one that waits")
        await call.send(Opcode.PING, b"are you there")
        assert await call.frame() == (Opcode.PONG, b"are you there")
        assert await call.ours.receive() == "one that waits"


async def test_what_was_asked_by_who_is_gone_is_not_answered() -> None:
    async with opened() as call:
        for _ in range(5):
            await call.send(Opcode.TEXT, b"do this")
        assert await call.ours.receive() == "do this"
        call.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        call.theirs.socket.close()
        await until(lambda: call.ours.stream.push(framing.text(b"done")) and call.ours.stream.is_broken)
        with pytest.raises(websocket.Hangup):
            await call.ours.receive()


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
async def test_who_sends_more_trifles_than_messages_are_allowed_is_read_more_slowly(opcode: Opcode) -> None:
    trifle = client_frame(opcode, b"")
    async with opened() as call:
        before = call.ours.stream.received
        await call.theirs.send_all(trifle * (4 * PER_MINUTE) + client_frame(Opcode.TEXT, b"at last"))
        with trio.move_on_after(0.2) as patience:
            await call.ours.receive()
        assert patience.cancelled_caught
        assert call.ours.stream.received - before < 2 * PER_MINUTE * len(trifle)


async def test_a_pushed_ping_is_answered_and_counts_as_life() -> None:
    async with talking() as (ours, client):
        before = ours.stream.received
        ours.stream.push(framing.PING)
        ours.stream.push(framing.text(b"behind"))
        assert await client.get_message() == "behind"
        with trio.fail_after(PATIENCE):
            while ours.stream.received == before:
                await trio.testing.wait_all_tasks_blocked()


async def test_control_frames_never_tear_a_pushed_frame() -> None:
    async with opened() as call:
        sent = 0
        payload = b"p" * 50_000
        while call.ours.stream.push(framing.text(payload)) or call.ours.stream.waiting < 3_000_000:
            sent += 1
        sent += 1
        for number in range(5):
            await call.send(Opcode.PING, b"%d" % number)
        await trio.testing.wait_all_tasks_blocked(0.02)
        got = [await call.frame() for _ in range(sent + 5)]
        assert [frame for frame in got if frame[0] == Opcode.TEXT] == [(Opcode.TEXT, payload)] * sent
        pongs = [frame for frame in got if frame[0] == Opcode.PONG]
        assert pongs == [(Opcode.PONG, b"%d" % number) for number in range(5)]


# --- Ends. ---


async def test_a_client_that_closes_is_answered_and_ends_the_conversation() -> None:
    async with opened() as call:
        await call.send(Opcode.TEXT, b"last")
        await call.send(Opcode.CLOSE, close_payload(1000, "enough"))
        assert await call.frame() == (Opcode.CLOSE, close_payload(1000, "enough"))
        assert await call.ours.receive() == "last"
        hangup = await call.hangup()
        assert (hangup.code, hangup.reason, hangup.broke_rules) == (1000, "enough", False)
        assert call.ours.stream.push(framing.text(b"too late"))
        await call.ours.close(1000, "", within=PATIENCE)
        await call.ours.stream.aclose()
        assert await rest(call.theirs) == b""


async def test_we_close_with_a_reason_behind_all_that_was_pushed() -> None:
    async with talking() as (ours, client):
        ours.stream.push(framing.text(b"last"))
        async with trio.open_nursery() as nursery:  # ends when both sides have closed
            nursery.start_soon(lambda: ours.close(1012, "SERVER_RESTART retry_after=1.5", within=PATIENCE))
            assert await client.get_message() == "last"
            with pytest.raises(trio_websocket.ConnectionClosed):
                await client.get_message()
        assert client.closed is not None
        assert (client.closed.code, client.closed.reason) == (1012, "SERVER_RESTART retry_after=1.5")


async def test_nothing_is_pushed_behind_a_close_frame() -> None:
    async with opened() as call:
        async with trio.open_nursery() as nursery:  # ends when the client has closed too
            nursery.start_soon(lambda: call.ours.close(1001, "bye", within=PATIENCE))
            assert await call.frame() == (Opcode.CLOSE, close_payload(1001, "bye"))
            assert call.ours.stream.push(framing.text(b"too late"))
            await call.send(Opcode.CLOSE, close_payload(1001))
        await call.ours.stream.aclose()
        assert await rest(call.theirs) == b""


async def test_a_client_that_does_not_say_goodbye_is_cut_off() -> None:
    async with opened() as call:
        with trio.fail_after(PATIENCE):
            await call.ours.close(1001, "bye", within=0.05)
        assert await call.frame() == (Opcode.CLOSE, close_payload(1001, "bye"))
        with pytest.raises(trio.BrokenResourceError):
            await call.theirs.receive_some()


async def test_a_long_reason_is_cut_to_what_a_close_frame_holds() -> None:
    async with opened() as call:
        call.nursery.start_soon(lambda: call.ours.close(1008, "r" * 500, within=PATIENCE))
        assert await call.frame() == (Opcode.CLOSE, close_payload(1008, "r" * 123))


def with_first(first: int, payload: bytes) -> bytes:
    data = bytearray(client_frame(Opcode.TEXT, payload))
    data[0] = first
    return bytes(data)


BAD = {
    "too big": (client_frame(Opcode.TEXT, b"x" * (MOST_BYTES + 1)), 1009),
    "too big in all": (with_first(0x01, b"x" * 600) + with_first(0x80, b"x" * 600), 1009),
    "no UTF-8": (client_frame(Opcode.TEXT, b"\xff\xfe"), 1007),
    "unknown opcode": (with_first(0x83, b""), 1002),
    "reserved bit": (with_first(0xC1, b"{}"), 1002),
    "no mask": (framing.text(b"{}"), 1002),
}


@pytest.mark.parametrize(("data", "code"), BAD.values(), ids=BAD.keys())
async def test_bad_frames_end_the_conversation_and_the_client_hears_why(data: bytes, code: int) -> None:
    async with opened() as call:
        await call.theirs.send_all(data + client_frame(Opcode.TEXT, b"more that nobody reads") * 100)
        hangup = await call.hangup()
        assert (hangup.code, hangup.broke_rules) == (code, True)
        assert call.ours.stream.push(framing.text(b"too late"))
        with trio.fail_after(PATIENCE):  # for a goodbye that is not coming
            await call.ours.close(hangup.code, hangup.reason, within=10 * PATIENCE)
        call.nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            opcode, payload = await call.frame()
            assert (opcode, payload[:2]) == (Opcode.CLOSE, close_payload(code))


async def test_a_client_that_finds_us_too_big_breaks_no_rules() -> None:
    async with opened() as call:
        await call.send(Opcode.CLOSE, close_payload(1009, "over my limit"))
        hangup = await call.hangup()
        assert (hangup.code, hangup.reason, hangup.broke_rules) == (1009, "over my limit", False)


async def test_a_close_frame_without_a_code_is_no_fault() -> None:
    async with opened() as call:
        await call.send(Opcode.CLOSE, b"")
        hangup = await call.hangup()
        assert (hangup.code, hangup.reason, hangup.broke_rules) == (1005, "", False)


@pytest.mark.parametrize("hard", [True, False])
async def test_a_client_that_vanishes_is_a_hangup(*, hard: bool) -> None:
    async with opened() as call:
        if hard:
            call.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        call.theirs.socket.close()
        hangup = await call.hangup()
        assert (hangup.code, hangup.broke_rules) == (1006, False)
        with trio.fail_after(PATIENCE):
            await call.ours.close(hangup.code, hangup.reason, within=10 * PATIENCE)
