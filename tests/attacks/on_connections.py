"""Attacks before there is a request: connections, handshakes of TLS, and their ends."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from typing import TYPE_CHECKING

import trio

from tests.attacks.target import hold, trickle

if TYPE_CHECKING:
    from tests.attacks.target import Target


def hello() -> bytes:
    """Make what a client of TLS says first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake with nobody")


async def silence(target: Target) -> None:
    async with target.dial() as stream:
        await hold(stream)


async def half_a_hello(target: Target) -> None:
    async with target.dial() as stream:
        await stream.send_all(hello()[:50])
        await hold(stream)


async def slow_hello(target: Target) -> None:
    async with target.dial() as stream:
        await trickle(stream, hello())


async def hello_and_silence(target: Target) -> None:
    async with target.dial() as stream:
        await stream.send_all(hello())
        await trio.sleep_forever()


async def garbage(target: Target) -> None:
    async with target.dial() as stream:
        await stream.send_all(b"\x16\x03\x01\x40\x00" + os.urandom(16_384))
        await hold(stream)


async def resets(target: Target) -> None:
    async with target.dial() as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def handshakes(target: Target) -> None:
    async with target.secured():
        pass


async def resets_amid_handshake(target: Target) -> None:
    async with target.dial() as stream:
        await stream.send_all(hello())
        await stream.receive_some(100)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def no_goodbye(target: Target) -> None:
    """Ask for the end of the connection, and do not take part in it."""
    async with target.secured() as stream:
        await stream.send_all(target.request(b"GET /health", b"Connection: close"))
        await trio.sleep_forever()


ATTACKS = (
    silence,
    half_a_hello,
    slow_hello,
    hello_and_silence,
    garbage,
    resets,
    handshakes,
    resets_amid_handshake,
    no_goodbye,
)
