"""RFC 6455, rule by rule, from a raw socket: what the server must do, and the code with which it ends what breaks one.

Each test is named for the section that asks for it.
"""

from __future__ import annotations

import contextlib
import json
import struct
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.stage import KEY, PATIENCE, Stage, configuration, playing, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

END = b"\r\n\r\n"
MOST_BYTES = 1_000
NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
UPGRADE = {
    b"Host": b"localhost",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": NONCE,
    b"Sec-WebSocket-Version": b"13",
    b"Authorization": b"Bearer " + KEY.encode(),
}
TEXT, BINARY, MORE = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION
PING = b'{"type": "ping"}'
NORMAL = 1000
BROKEN, NO_UTF8, TOO_BIG = 1002, 1007, 1009


def head(*more: bytes, first: bytes = b"GET /shared HTTP/1.1", **changed: bytes | None) -> bytes:
    """Make the head of an upgrade, with these headers changed, or left out, and `more` lines."""
    headers = {**UPGRADE, **{name.replace("_", "-").encode(): value for name, value in changed.items()}}
    lines = [b"%s: %s" % (name, value) for name, value in headers.items() if value is not None]
    return b"\r\n".join((first, *lines, *more, b"", b""))


def frame(first: int, payload: bytes = b"") -> bytes:
    """A masked frame that begins with this byte, whatever it means."""
    whole = bytearray(client_frame(TEXT, payload))
    whole[0] = first
    return bytes(whole)


def piece(opcode: int, payload: bytes) -> bytes:
    """A piece of a message that is not its last."""
    return frame(opcode, payload)


def last(payload: bytes) -> bytes:
    return frame(0x80 | MORE, payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return client_frame(Opcode.CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


@attrs.define(eq=False)
class Peer:
    """A client that has been accepted, at the level of frames."""

    stream: trio.SocketStream
    head: bytes = b""
    sent: bytes = b""
    """All that the server has sent behind its head."""
    _frames: FrameReader = attrs.field(factory=FrameReader)
    _read: list[tuple[int, bytes]] = attrs.field(factory=list)

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # the server need not read what it has judged
            await self.stream.send_all(data)

    async def next(self) -> tuple[int, bytes]:
        with trio.fail_after(PATIENCE):
            while not self._read:
                data = bytes(await self.stream.receive_some(65_536))
                assert data, "the connection has ended"
                self.sent += data
                self._read += self._frames.feed(data)
        return self._read.pop(0)

    async def answers(self, opcode: int, payload: bytes | None = None) -> None:
        """Wait for a frame, passing over texts."""
        while (got := await self.next())[0] != opcode:
            assert got[0] == TEXT, got
        assert payload in {None, got[1]}

    async def is_served(self) -> None:
        """See that the conversation goes on: the ping of the own protocol is answered."""
        await self.send(client_frame(TEXT, PING))
        while True:
            opcode, payload = await self.next()
            assert opcode == TEXT, (opcode, payload)
            if json.loads(payload)["type"] == "pong":
                return

    async def closing(self) -> tuple[int | None, bytes]:
        """Read to the close frame, and give its code and reason."""
        while True:
            opcode, payload = await self.next()
            if opcode == Opcode.CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else None
                return code, payload[2:]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    limits = {"message_bytes": MOST_BYTES, "messages_per_minute": 60_000}
    async with playing(configuration(limits=limits)) as opened:
        yield opened


@pytest.fixture
async def peer(stage: Stage) -> AsyncIterator[Peer]:
    async with await stage.dial() as stream:
        await stream.send_all(head())
        peer = Peer(stream, await answered(stream))
        assert peer.head.startswith(b"HTTP/1.1 101 ")
        yield peer


async def answered(stream: trio.SocketStream) -> bytes:
    """Read the head of an answer, and no byte more."""
    data = b""
    with trio.fail_after(PATIENCE):
        while END not in data:
            more = bytes(await stream.receive_some(1))
            if not more:
                return data
            data += more
    return data


async def ask(stage: Stage, data: bytes) -> bytes:
    async with await stage.dial() as stream:
        await stream.send_all(data)
        return await answered(stream)


def value(answer: bytes, name: bytes) -> bytes | None:
    found = [line for line in answer.split(b"\r\n") if line.lower().startswith(name.lower() + b":")]
    assert len(found) < 2
    return found[0].partition(b":")[2].strip() if found else None


# --- 4.2: the opening handshake, as the server reads and answers it. ---


GOOD_HEADS = {
    "4.2.1-3 Upgrade in capital letters": head(Upgrade=b"WebSocket"),
    "4.2.1-4 Connection in small letters": head(Connection=b"upgrade"),
    "4.2.1-4 Connection among others": head(Connection=b"keep-alive, Upgrade"),
    "4.2.1-7 Origin of this server": head(Origin=b"http://localhost"),
    "4.2.1-8 Protocol of nobody": head(Sec_WebSocket_Protocol=b"chat, superchat"),
    "4.2.1-9 Extensions of nobody": head(Sec_WebSocket_Extensions=b"foo; bar=2, permessage-deflate"),
    "4.2.1-10 other headers": head(b"Cookie: a=b", b"X-Anything: \xe9"),
    "2616-4.2 header names in any case": head().replace(b"Sec-WebSocket-Key", b"SEC-WEBSOCKET-KEY"),
    "2616-4.2 blanks around a value": head().replace(b": 13", b": \t 13  "),
}


@pytest.mark.parametrize("request_head", GOOD_HEADS.values(), ids=GOOD_HEADS.keys())
async def test_a_good_upgrade_is_accepted(stage: Stage, request_head: bytes) -> None:
    answer = await ask(stage, request_head)
    assert answer.startswith(b"HTTP/1.1 101 ")


BAD_HEADS = {
    "4.2.1-1 method": (head(first=b"POST /shared HTTP/1.1"), {404, 405}),
    "4.2.1-1 version of HTTP": (head(first=b"GET /shared HTTP/1.0"), {400, 404, 426}),
    "4.2.1-1 resource": (head(first=b"GET /nowhere HTTP/1.1"), {404}),
    "4.2.1-2 Host": (head(Host=None), {400}),
    "4.2.1-2 two Hosts": (head(b"Host: elsewhere"), {400}),
    "4.2.1-3 Upgrade": (head(Upgrade=None), {404, 426}),
    "4.2.1-3 Upgrade to something else": (head(Upgrade=b"smoke-signals"), {404, 426}),
    "4.2.1-4 Connection": (head(Connection=None), {404, 426}),
    "4.2.1-4 Connection of another kind": (head(Connection=b"keep-alive"), {404, 426}),
    "4.2.1-5 Key": (head(Sec_WebSocket_Key=None), {400, 426}),
    "4.2.1-5 empty Key": (head(Sec_WebSocket_Key=b""), {400, 426}),
    "4.2.1-5 Key of 15 bytes": (head(Sec_WebSocket_Key=b"AAECAwQFBgcICQoLDA0O"), {400, 426}),
    "4.2.1-5 Key of 17 bytes": (head(Sec_WebSocket_Key=b"AAECAwQFBgcICQoLDA0ODxA="), {400, 426}),
    "4.2.1-5 Key that is no base64": (head(Sec_WebSocket_Key=b"?" * 22 + b"=="), {400, 426}),
    "11.3.1 two Keys": (head(b"Sec-WebSocket-Key: " + NONCE), {400, 426}),
    "4.2.1-6 Version": (head(Sec_WebSocket_Version=None), {400, 426}),
    "4.2.2-4 older Version": (head(Sec_WebSocket_Version=b"8"), {426}),
    "4.2.2-4 later Version": (head(Sec_WebSocket_Version=b"14"), {426}),
    "4.4 several Versions": (head(Sec_WebSocket_Version=b"13, 14"), {400, 426}),
    "11.3.5 two Versions": (head(b"Sec-WebSocket-Version: 13"), {400, 426}),
    "10.2 foreign Origin": (head(Origin=b"https://evil.example"), {403}),
    "4.2.1 header without a name": (head(b": x"), {400}),
    "4.2.1 header without a colon": (head(b"x"), {400}),
    "4.2.1 header over two lines": (head(b"X: a", b" b"), {400}),
    "4.2.1 line feed alone": (head(b"X: a\nY: b"), {400}),
    "4.2.1 a body": (head(b"Content-Length: 5"), {400}),
    "4.2.1 a body in chunks": (head(b"Transfer-Encoding: chunked"), {400}),
}


@pytest.mark.parametrize(("request_head", "statuses"), BAD_HEADS.values(), ids=BAD_HEADS.keys())
async def test_a_bad_upgrade_is_answered_with_an_error(request_head: bytes, statuses: set[int]) -> None:
    async with playing(configuration(origins=("self",))) as stage:
        answer = await ask(stage, request_head)
    assert int(answer[9:12]) in statuses
    if b" 426 " in answer[:13]:
        assert value(answer, b"Sec-WebSocket-Version") == b"13"
        assert value(answer, b"Upgrade") == b"websocket"


async def test_4_2_2_5_the_answer_is_by_the_book(peer: Peer) -> None:
    assert value(peer.head, b"Upgrade") in {b"websocket", b"WebSocket"}
    assert (value(peer.head, b"Connection") or b"").lower() == b"upgrade"
    assert value(peer.head, b"Sec-WebSocket-Accept") == ACCEPTED
    assert value(peer.head, b"Sec-WebSocket-Protocol") is None
    assert value(peer.head, b"Sec-WebSocket-Extensions") is None


async def test_4_2_2_5_4_the_accept_of_another_key(stage: Stage) -> None:
    answer = await ask(stage, head(Sec_WebSocket_Key=b"AQIDBAUGBwgJCgsMDQ4PEA=="))
    assert value(answer, b"Sec-WebSocket-Accept") == b"C/0nmHhBztSRGR1CwL6Tf4ZjwpY="


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (b"appliance.v1", b"appliance.v1"),
        (b"chat, appliance.v1, other", b"appliance.v1"),
        (b"chat", None),
        (b"Appliance.V1", None),
    ],
)
async def test_4_2_2_5_5_one_subprotocol_of_those_offered_or_none(
    stage: Stage, offered: bytes, chosen: bytes | None
) -> None:
    answer = await ask(stage, head(Sec_WebSocket_Protocol=offered))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert value(answer, b"Sec-WebSocket-Protocol") == chosen


@pytest.mark.parametrize(
    "offered", [b"permessage-deflate", b"permessage-deflate; client_max_window_bits", b"x"]
)
async def test_9_1_no_extension_is_agreed_that_is_not_spoken(stage: Stage, offered: bytes) -> None:
    answer = await ask(stage, head(Sec_WebSocket_Extensions=offered))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert value(answer, b"Sec-WebSocket-Extensions") is None


async def test_4_1_frames_right_behind_the_head_are_read(stage: Stage) -> None:
    async with await stage.dial() as stream:
        await stream.send_all(head() + client_frame(TEXT, PING))
        peer = Peer(stream, await answered(stream))
        await peer.answers(TEXT)
        await peer.is_served()


# --- 5: framing. ---


def bare(first: int, length: bytes, payload: bytes) -> bytes:
    """A masked frame with its length written as given, and a mask that changes nothing."""
    return bytes((first, 0x80 | length[0])) + length[1:] + bytes(4) + payload


BAD_FRAMES = {
    "5.1 no mask": (b"\x81\x02{}", BROKEN),
    "5.1 no mask on a control frame": (b"\x89\x00", BROKEN),
    "5.2 first reserved bit": (frame(0xC1, b"{}"), BROKEN),
    "5.2 second reserved bit": (frame(0xA1, b"{}"), BROKEN),
    "5.2 third reserved bit": (frame(0x91, b"{}"), BROKEN),
    "5.2 all reserved bits": (frame(0xF1, b"{}"), BROKEN),
    "5.2 reserved bit of a ping": (frame(0xC9), BROKEN),
    "5.2 reserved bit of a continuation": (piece(TEXT, b"{") + frame(0xC0, b"}"), BROKEN),
    **{
        f"5.2 reserved opcode {opcode:#x}": (frame(0x80 | opcode), BROKEN)
        for opcode in (*range(3, 8), *range(11, 16))
    },
    "5.2 two bytes for a length that needs one": (bare(0x81, b"\x7e\x00\x02", b"{}"), BROKEN),
    "5.2 eight bytes for a length that needs one": (bare(0x81, b"\x7f" + bytes(7) + b"\x02", b"{}"), BROKEN),
    "5.2 eight bytes for a length that needs two": (
        bare(0x81, b"\x7f" + (300).to_bytes(8, "big"), b"x" * 300),
        BROKEN,
    ),
    "5.2 first bit of eight bytes": (bare(0x81, b"\x7f\x80" + bytes(7), b""), BROKEN),
    "5.4 continuation of nothing": (last(b"{}"), BROKEN),
    "5.4 continuation of nothing, not the last": (piece(MORE, b"{}"), BROKEN),
    "5.4 continuation of what is over": (client_frame(TEXT, PING) + last(b""), BROKEN),
    "5.4 text inside a message": (piece(TEXT, b"{") + client_frame(TEXT, b"}"), BROKEN),
    "5.4 binary inside a message": (piece(TEXT, b"{") + client_frame(BINARY, b"}"), BROKEN),
    "5.5 ping over 125 bytes": (client_frame(Opcode.PING, b"x" * 126), BROKEN),
    "5.5 pong over 125 bytes": (client_frame(Opcode.PONG, b"x" * 126), BROKEN),
    "5.5 close over 125 bytes": (close(NORMAL, b"x" * 124), BROKEN),
    "5.5 ping in pieces": (frame(0x09, b"x"), BROKEN),
    "5.5 pong in pieces": (frame(0x0A, b"x"), BROKEN),
    "5.5 close in pieces": (frame(0x08, b"\x03\xe8"), BROKEN),
    "5.5.1 close of one byte": (client_frame(Opcode.CLOSE, b"\x03"), BROKEN),
    "5.5.1 close with a reason that is no UTF-8": (close(NORMAL, b"\xff"), NO_UTF8),
    "5.6 text that is no UTF-8": (client_frame(TEXT, b'{"a": "\xff"}'), NO_UTF8),
    "8.1 overlong": (client_frame(TEXT, b"\xc0\xaf"), NO_UTF8),
    "8.1 surrogate": (client_frame(TEXT, b"\xed\xa0\x80"), NO_UTF8),
    "8.1 beyond Unicode": (client_frame(TEXT, b"\xf4\x90\x80\x80"), NO_UTF8),
    "8.1 five bytes": (client_frame(TEXT, b"\xf8\x88\x80\x80\x80"), NO_UTF8),
    "8.1 continuation byte alone": (client_frame(TEXT, b"\x80"), NO_UTF8),
    "8.1 character cut at the end": (client_frame(TEXT, "€".encode()[:2]), NO_UTF8),
    "8.1 character cut at the end of pieces": (piece(TEXT, b"a") + last("€".encode()[:2]), NO_UTF8),
    "8.1 no UTF-8 across pieces": (piece(TEXT, b"\xe2") + last(b"\x28"), NO_UTF8),
    "10.4 message over the bound": (client_frame(TEXT, b"x" * (MOST_BYTES + 1)), TOO_BIG),
    "10.4 message over the bound in pieces": (piece(TEXT, b"x" * 600) + last(b"x" * 600), TOO_BIG),
    "10.4 empty pieces without end": (piece(TEXT, b"") + piece(MORE, b"") * MOST_BYTES, TOO_BIG),
    "10.4 message announced over the bound": (
        bare(0x81, b"\x7f" + (1 << 40).to_bytes(8, "big"), b""),
        TOO_BIG,
    ),
}


@pytest.mark.parametrize(("data", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_a_bad_frame_fails_the_connection(stage: Stage, peer: Peer, data: bytes, code: int) -> None:
    await peer.send(data + client_frame(TEXT, PING) * 3)
    assert (await peer.closing())[0] == code
    await peer.send(close(code))
    assert await rest(peer.stream) == b""  # 7.1.7: and closes it
    assert stage.errors["bad_frame"] == 1


FAIL_FAST = {
    "in an unfinished frame": bare(0x81, b"\x14", b"\xff"),
    "in an unfinished message": piece(TEXT, b"\xff"),
    "behind a good beginning": piece(TEXT, b"good ") + piece(MORE, b"\xe2\x28"),
}


@pytest.mark.parametrize("data", FAIL_FAST.values(), ids=FAIL_FAST.keys())
async def test_8_1_what_is_no_utf8_fails_before_the_message_is_over(peer: Peer, data: bytes) -> None:
    await peer.send(data)
    assert (await peer.closing())[0] == NO_UTF8


GOOD_FRAMES = {
    "5.2 empty text": client_frame(TEXT, b""),
    "5.2 length of 125": client_frame(TEXT, b" " * 125),
    "5.2 length of 126": client_frame(TEXT, b" " * 126),
    "5.2 length at the bound": client_frame(TEXT, b" " * MOST_BYTES),
    "5.3 mask of zeros": bare(0x81, b"\x10", PING),
    "5.4 pieces": piece(TEXT, PING[:5]) + piece(MORE, PING[5:9]) + last(PING[9:]),
    "5.4 empty pieces": piece(TEXT, b"") + piece(MORE, PING) + last(b""),
    "5.4 pieces at the bound": piece(TEXT, b" " * 500) + last(b" " * 500),
    "5.4 a message behind one in pieces": piece(TEXT, PING[:5]) + last(PING[5:]) + client_frame(TEXT, PING),
    "5.5.3 pong that nobody asked for": client_frame(Opcode.PONG, b"hello"),
    "5.5.3 pong of 125 bytes": client_frame(Opcode.PONG, b"x" * 125),
    "5.6 binary of any bytes": client_frame(BINARY, b"\xff\x00\xfe"),
    "8.1 characters of all lengths": client_frame(TEXT, "aé€😀\u0000\ufffe".encode()),
    "8.1 character across pieces": b"".join(
        (piece(TEXT, b"\xf0"), piece(MORE, b"\x9f\x98"), last(b"\x80")),
    ),
}


@pytest.mark.parametrize("data", GOOD_FRAMES.values(), ids=GOOD_FRAMES.keys())
async def test_a_good_frame_is_taken(stage: Stage, peer: Peer, data: bytes) -> None:
    await peer.send(data)
    await peer.is_served()
    assert "bad_frame" not in stage.errors


async def test_5_2_frames_may_be_cut_anywhere(peer: Peer) -> None:
    for byte in piece(TEXT, PING[:5]) + client_frame(Opcode.PING, b"x") + last(PING[5:]):
        await peer.send(bytes((byte,)))
    await peer.answers(Opcode.PONG, b"x")
    await peer.is_served()


async def test_5_1_the_server_masks_nothing_and_sets_no_reserved_bit(peer: Peer) -> None:
    await peer.send(client_frame(TEXT, b'{"type": "subscribe", "channels": ["price:*"]}'))
    await peer.send(client_frame(Opcode.PING, b"x" * 125))
    await peer.answers(Opcode.PONG, b"x" * 125)
    await peer.is_served()
    at = 0
    while at < len(peer.sent):
        first, second = peer.sent[at : at + 2]
        assert first in {0x81, 0x8A}
        assert second < 0x80
        size = struct.unpack("!H", peer.sent[at + 2 : at + 4])[0] + 2 if second == 126 else second
        at += 2 + size
    assert at == len(peer.sent)


# --- 5.5: control frames. ---


@pytest.mark.parametrize("payload", [b"", b"hello", b"\xff\x00", b"x" * 125])
async def test_5_5_2_a_ping_is_answered_with_its_own_payload(peer: Peer, payload: bytes) -> None:
    await peer.send(client_frame(Opcode.PING, payload))
    await peer.answers(Opcode.PONG, payload)
    await peer.is_served()


async def test_5_5_3_pings_are_answered_in_their_order(peer: Peer) -> None:
    await peer.send(b"".join(client_frame(Opcode.PING, b"%d" % number) for number in range(10)))
    for number in range(10):
        await peer.answers(Opcode.PONG, b"%d" % number)


async def test_5_4_a_ping_may_come_between_pieces(peer: Peer) -> None:
    await peer.send(piece(TEXT, PING[:5]) + client_frame(Opcode.PING, b"now"))
    await peer.answers(Opcode.PONG, b"now")
    await peer.send(last(PING[5:]))
    await peer.answers(TEXT)
    await peer.is_served()


async def test_5_5_1_a_close_may_come_between_pieces(peer: Peer) -> None:
    await peer.send(piece(TEXT, PING[:5]) + close(NORMAL))
    assert (await peer.closing())[0] == NORMAL


# --- 7: the closing handshake. ---

ALLOWED = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999)
FORBIDDEN = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)


@pytest.mark.parametrize("code", ALLOWED)
async def test_7_4_a_close_is_answered_with_its_code(stage: Stage, peer: Peer, code: int) -> None:
    await peer.send(close(code, "bye, €".encode()))
    assert (await peer.closing())[0] == code
    assert await rest(peer.stream) == b""  # 7.1.1: the server closes first
    assert "bad_frame" not in stage.errors


@pytest.mark.parametrize("code", FORBIDDEN)
async def test_7_4_a_close_with_a_code_of_nobody_fails_the_connection(peer: Peer, code: int) -> None:
    await peer.send(close(code))
    assert (await peer.closing())[0] == BROKEN


async def test_5_5_1_a_close_without_a_code_is_answered_without_one(peer: Peer) -> None:
    await peer.send(close())
    assert await peer.closing() == (None, b"")
    assert await rest(peer.stream) == b""


async def test_5_5_1_a_close_with_the_longest_reason_is_answered(peer: Peer) -> None:
    await peer.send(close(NORMAL, b"x" * 123))
    assert (await peer.closing())[0] == NORMAL


async def test_5_5_1_nothing_is_sent_behind_the_close_frame(stage: Stage, peer: Peer) -> None:
    await peer.send(client_frame(TEXT, b'{"type": "subscribe", "channels": ["price:*"]}') + close(NORMAL))
    assert (await peer.closing())[0] == NORMAL
    stage.publish("price", "BTC", price=1)
    assert await rest(peer.stream) == b""


async def test_1_4_what_comes_behind_a_close_is_not_read(stage: Stage, peer: Peer) -> None:
    await peer.send(close(NORMAL) + client_frame(TEXT, PING) + frame(0xFF, b"nonsense"))
    assert (await peer.closing())[0] == NORMAL
    assert await rest(peer.stream) == b""
    assert stage.traffic.received_messages == 0
    assert "bad_frame" not in stage.errors


async def test_7_1_5_a_connection_that_ends_without_a_close_frame_is_let_go(stage: Stage, peer: Peer) -> None:
    await peer.is_served()
    await peer.stream.aclose()
    with trio.fail_after(PATIENCE):
        while stage.around.sessions:  # noqa: ASYNC110 - nothing sets an event
            await trio.sleep(0.005)
    assert "bad_frame" not in stage.errors
