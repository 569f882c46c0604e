"""Signs of life of a listener: a dead loop is found, a busy or idle one is not taken for it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from appliance.edge import listener
from appliance.edge.pulse import Pulse
from appliance.settings.address import Address
from tests.edge.stage import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with listener.bind(Address.parse("tcp://127.0.0.1:0")) as opened:
        yield opened


def test_a_listener_to_whom_nobody_comes_is_well(sock: socket.socket) -> None:
    pulse = Pulse()
    assert [pulse.stuck(sock) for _ in range(3)] == [None, None, None]


def test_who_waits_from_one_look_to_the_next_shows_a_dead_loop(sock: socket.socket) -> None:
    pulse = Pulse()
    with socket.create_connection(sock.getsockname()):
        assert pulse.stuck(sock) is None  # it may have come just now
        assert pulse.stuck(sock) == "who comes is not let in"
        sock.accept()[0].close()
        assert pulse.stuck(sock) is None


def test_a_loop_that_turns_is_alive_though_somebody_always_waits(sock: socket.socket) -> None:
    pulse = Pulse()
    with socket.create_connection(sock.getsockname()):
        for _ in range(3):
            assert pulse.stuck(sock) is None
            pulse.turn()  # as while descriptors are out


def test_a_socket_that_was_closed_behind_our_back_is_found(sock: socket.socket) -> None:
    number = sock.detach()
    lost = socket.socket(fileno=number)
    os.close(number)
    assert Pulse().stuck(lost) == "its socket is lost (Bad file descriptor)"
    lost.detach()


def test_a_number_that_has_become_another_sockets_is_found(sock: socket.socket) -> None:
    one, other = socket.socketpair()
    with one, other:
        os.dup2(one.fileno(), sock.fileno())
        assert Pulse().stuck(sock) == "its socket is lost: another file has its number"


async def test_a_loop_that_serves_counts_its_turns(sock: socket.socket) -> None:
    pulse, served = Pulse(), 0

    async def serve(_accepted: socket.socket, _address: str) -> None:
        nonlocal served
        await trio.lowlevel.checkpoint()
        served += 1

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as connections, trio.open_nursery() as listeners:  # end with the test
            await listeners.start(
                lambda task_status: listener.listen(
                    sock, serve, connections=connections, pulse=pulse, task_status=task_status
                )
            )
            for number in range(1, 4):
                with socket.create_connection(sock.getsockname()):
                    await until(lambda number=number: served == number)  # type: ignore[misc]
                    assert pulse.stuck(sock) is None
                    assert pulse.turns >= number
            listeners.cancel_scope.cancel()
