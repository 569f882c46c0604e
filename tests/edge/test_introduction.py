"""The header of the PROXY protocol, read off a real socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from appliance.edge import introduction
from appliance.edge.proxy_protocol import Header, MalformedError
from tests.edge.stage import PATIENCE, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = connected()
    with ours, theirs:
        yield ours, theirs


async def test_what_stands_behind_it_is_left_to_others(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(LINE + b"\x16\x03hello")
    with trio.fail_after(PATIENCE):
        assert await introduction.hear(ours, "on") == Header("192.0.2.7")
    assert ours.recv(100) == b"\x16\x03hello"


async def test_it_may_come_byte_by_byte(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    heard: list[Header | None] = []

    async def hear() -> None:
        heard.append(await introduction.hear(ours, "v1"))

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:  # ends with the header
            nursery.start_soon(hear)
            for byte in LINE:
                await trio.testing.wait_all_tasks_blocked()
                theirs.sendall(bytes((byte,)))
    assert heard == [Header("192.0.2.7")]


async def test_who_leaves_before_its_end_has_said_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(LINE[:10])
    theirs.shutdown(socket.SHUT_WR)
    with trio.fail_after(PATIENCE):
        assert await introduction.hear(ours, "on") is None


async def test_who_says_something_else_is_found_out_at_once(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"GET")
    with trio.fail_after(PATIENCE), pytest.raises(MalformedError):
        await introduction.hear(ours, "on")
