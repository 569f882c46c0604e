"""Clients of the stage: what they say and hear, and those that read nothing for a while."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import trio

from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.stage import KEY, PATIENCE, UPGRADE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.edge.stage import Client, Stage

SHORT = 0.2
"""Seconds of a deadline that a test waits for."""


def subscription(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "subscribe", "channels": list(names), **more}


async def is_served(client: Client) -> bool:
    await client.say(type="ping")
    return (await client.hear_of("pong")) == {"type": "pong"}


async def is_sent_off(client: Client, code: str) -> None:
    """See that a client of the own protocol is told this error and closed for it."""
    message = await client.hear()
    assert (message["type"], message["error"]["code"]) == ("error", code)
    assert await client.close_frame() == (1008, code)


@contextlib.asynccontextmanager
async def with_little_room(
    stage: Stage, target: str, message: dict[str, Any], answer: str
) -> AsyncIterator[trio.SocketStream]:
    """Connect a client that reads up to the answer to its message, and then leaves it to the test."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    async with trio.SocketStream(sock) as stream:
        head = UPGRADE.replace(b"/ws", target.encode()) + b"Authorization: Bearer %b\r\n\r\n" % KEY.encode()
        await stream.send_all(head)
        assert b" 101 " in await stream.receive_some()
        await stream.send_all(client_frame(Opcode.TEXT, json.dumps(message).encode()))
        got = b""
        while f'"{answer}"'.encode() not in got:
            got += bytes(await stream.receive_some())
        yield stream


async def read_messages(stream: trio.SocketStream) -> tuple[list[dict[str, Any]], tuple[int, str]]:
    """Read to the close frame and answer it; give all messages and what it says."""
    reader = FrameReader()
    messages: list[dict[str, Any]] = []
    with trio.fail_after(PATIENCE):
        while True:
            data = bytes(await stream.receive_some(65_536))
            assert data, "ended without a close frame"
            for opcode, payload in reader.feed(data):
                if opcode == Opcode.CLOSE:
                    await stream.send_all(client_frame(Opcode.CLOSE, payload))
                    return messages, (int.from_bytes(payload[:2], "big"), payload[2:].decode())
                messages.append(json.loads(payload))
