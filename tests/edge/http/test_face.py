"""Our stream with the face of trio's."""

from __future__ import annotations

import socket
import struct

import pytest
import trio

from appliance.edge.http.face import Face, SecuredFace
from appliance.edge.stream import Stream
from tests.edge.stage import PATIENCE, connected, until


def patient() -> float:
    return PATIENCE


async def test_what_is_sent_arrives_and_what_comes_is_read() -> None:
    ours, theirs = connected()
    face = Face(Stream(ours), patient)
    with theirs:
        await face.send_all(b"hello")
        assert theirs.recv(10) == b"hello"
        theirs.send(b"there")
        assert await face.receive_some(10) == b"there"
        await face.aclose()
        assert theirs.recv(10) == b""


async def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    ours, theirs = connected()
    face = Face(Stream(ours), lambda: 0.05)
    with theirs, trio.fail_after(PATIENCE), pytest.raises(trio.BrokenResourceError):
        await face.send_all(bytes(50_000_000))


async def test_nothing_is_read_of_who_cannot_be_answered() -> None:
    ours, theirs = connected()
    stream = Stream(ours)
    face = Face(stream, patient)
    theirs.send(b"do this")
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    await until(lambda: stream.push(b"done") and stream.is_broken)
    with pytest.raises(trio.BrokenResourceError):
        await face.receive_some(10)
    await face.aclose()


async def test_tls_is_told_from_plain() -> None:
    ours, theirs = connected()
    with theirs:
        stream = Stream(ours)
        assert not hasattr(Face(stream, patient), "do_handshake")
        secured = SecuredFace(stream, patient)
        await secured.do_handshake()
        assert secured.transport_stream.socket is ours
        assert secured.selected_alpn_protocol() is None
        await secured.aclose()
