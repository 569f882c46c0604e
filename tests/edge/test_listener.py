"""Listeners: what they open, how they say that they cannot, and how they contain what they serve."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

import attrs
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from appliance.core.errors import StartError
from appliance.edge import listener
from appliance.edge.pulse import Pulse
from appliance.settings.address import Address
from tests.edge.stage import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

LOOPBACK = Address.parse("tcp://127.0.0.1:0")


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    opened = listener.bind(LOOPBACK)
    yield opened
    opened.close()


@contextlib.asynccontextmanager
async def listening(
    sock: socket.socket,
    serve: Callable[[socket.socket, str], Awaitable[None]],
    pulse: Pulse | None = None,
) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as listeners, trio.open_nursery() as connections:  # end with the block
        await listeners.start(
            lambda task_status: listener.listen(
                sock, serve, connections=connections, pulse=pulse or Pulse(), task_status=task_status
            )
        )
        try:
            yield connections
        finally:
            listeners.cancel_scope.cancel()
            connections.cancel_scope.cancel()


def unix(path: Path) -> Address:
    return Address.parse(f"unix:{path}")


# --- What can be opened, and what cannot. ---


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:0", "tls://localhost:0", "tcp://[::1]:0", "tcp://0.0.0.0:0"]
)
def test_an_address_of_this_machine_is_opened(url: str) -> None:
    sock = listener.bind(Address.parse(url))
    with sock, socket.socket(sock.family) as client:
        client.connect(sock.getsockname())
        accepted, _ = sock.accept()
        accepted.close()
        with pytest.raises(BlockingIOError):
            sock.accept()


def test_all_of_ipv6_leaves_ipv4_to_others() -> None:
    with listener.bind(Address.parse("tcp://[::]:0")) as sixth:
        port = sixth.getsockname()[1]
        listener.bind(Address.parse(f"tcp://0.0.0.0:{port}")).close()


def test_a_port_that_is_taken_is_told(sock: socket.socket) -> None:
    address = Address("tcp", "127.0.0.1", sock.getsockname()[1])
    with pytest.raises(StartError) as caught:
        listener.bind(address)
    assert str(caught.value) == (
        f"{address}: the port is taken: stop the other server, or listen elsewhere with --listen"
    )


async def test_a_port_is_free_again_at_once(sock: socket.socket) -> None:
    port = sock.getsockname()[1]
    with socket.create_connection(sock.getsockname()) as client:
        accepted, _ = sock.accept()
        accepted.close()  # the server leaves first: its end lingers on
        client.recv(1)
    listener.unbind(sock, LOOPBACK)
    listener.bind(Address("tcp", "127.0.0.1", port)).close()


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(StartError, match=r"^tcp://192\.0\.2\.1:1: this machine has no such address$"):
        listener.bind(Address.parse("tcp://192.0.2.1:1"))


def test_a_name_of_nobody_is_told() -> None:
    with pytest.raises(StartError, match=r"'nobody\.invalid' is no address of this machine"):
        listener.bind(Address.parse("tcp://nobody.invalid:1"))


# --- Unix sockets. ---


async def test_a_unix_socket_is_opened_and_removed(tmp_path: Path) -> None:
    address = unix(tmp_path / "socket")
    sock = listener.bind(address)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
    listener.unbind(sock, address)
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
        client.connect(address.path)
    assert sock.fileno() == -1


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    address = unix(tmp_path / "socket")
    listener.bind(address).close()  # as a process leaves it that is killed
    with listener.bind(address), socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)


def test_a_unix_socket_in_use_is_told_and_stays(tmp_path: Path) -> None:
    address = unix(tmp_path / "socket")
    with listener.bind(address), pytest.raises(StartError) as caught:
        listener.bind(address)
    assert str(caught.value) == (
        f"{address}: another server listens there: stop it, or listen elsewhere with --listen"
    )
    assert (tmp_path / "socket").is_socket()


def test_a_file_in_the_place_of_a_unix_socket_is_told_and_stays(tmp_path: Path) -> None:
    (tmp_path / "socket").write_text("precious")
    with pytest.raises(StartError, match="in use"):
        listener.bind(unix(tmp_path / "socket"))
    assert (tmp_path / "socket").read_text() == "precious"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="No such file or directory"):
        listener.bind(unix(tmp_path / "nowhere" / "socket"))


# --- Serving. ---


async def test_each_connection_is_served_with_its_address(sock: socket.socket) -> None:
    served: list[tuple[str, int]] = []

    async def serve(accepted: socket.socket, address: str) -> None:
        served.append((address, accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        accepted.send(b"hello")
        await trio.lowlevel.checkpoint()

    async with listening(sock, serve):
        for _ in range(3):
            async with await trio.open_tcp_stream(*sock.getsockname()) as client:
                assert await client.receive_some() == b"hello"
                assert await client.receive_some() == b""
    assert [address for address, _ in served] == ["127.0.0.1"] * 3
    assert all(undelayed for _, undelayed in served)


async def test_many_that_wait_are_all_accepted(sock: socket.socket) -> None:
    served = 0

    async def serve(_accepted: socket.socket, _address: str) -> None:
        nonlocal served
        served += 1
        await trio.lowlevel.checkpoint()

    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(sock.getsockname()))
        async with listening(sock, serve):
            await until(lambda: served == 200)


async def test_a_unix_client_has_a_name_too(tmp_path: Path) -> None:
    address = unix(tmp_path / "socket")
    served: list[str] = []

    async def serve(_accepted: socket.socket, client: str) -> None:
        served.append(client)
        await trio.lowlevel.checkpoint()

    sock = listener.bind(address)
    async with listening(sock, serve), await trio.open_unix_socket(address.path) as client:
        assert await client.receive_some() == b""
    listener.unbind(sock, address)
    assert served == ["unix"]


async def fail(_accepted: socket.socket, _address: str) -> NoReturn:
    await trio.lowlevel.checkpoint()
    raise RuntimeError("a mistake of ours")


async def fail_in_a_nursery(_accepted: socket.socket, _address: str) -> None:
    async with trio.open_nursery() as nursery:  # ends with the failure
        nursery.start_soon(trio.sleep_forever)
        raise RuntimeError("a mistake of ours")


@pytest.mark.parametrize("serve", [fail, fail_in_a_nursery])
async def test_what_a_connection_raises_is_contained_and_told_once(
    sock: socket.socket, serve: Callable[[socket.socket, str], Awaitable[None]]
) -> None:
    with capture_logs() as log:
        async with listening(sock, serve):
            for _ in range(2):
                async with await trio.open_tcp_stream(*sock.getsockname()) as client:
                    assert await client.receive_some() == b""
    assert [(line["event"], line["log_level"], line["client"]) for line in log] == [
        ("connection failed", "error", "127.0.0.1")
    ] * 2


async def test_what_fails_while_it_is_cancelled_is_contained_too(sock: socket.socket) -> None:
    waiting = trio.Event()

    async def serve(_accepted: socket.socket, _address: str) -> None:
        async with trio.open_nursery() as nursery:  # ends with the connection
            nursery.start_soon(trio.sleep_forever)
            try:
                waiting.set()
                await trio.sleep_forever()
            finally:
                raise RuntimeError("on the way out")

    with capture_logs() as log:
        async with listening(sock, serve), await trio.open_tcp_stream(*sock.getsockname()):
            await waiting.wait()
    assert [line["event"] for line in log] == ["connection failed"]


async def test_cancellation_is_not_contained(sock: socket.socket) -> None:
    ended = False

    async def serve(_accepted: socket.socket, _address: str) -> None:
        nonlocal ended
        try:
            await trio.sleep_forever()
        finally:
            ended = True

    with capture_logs() as log, trio.fail_after(PATIENCE), socket.create_connection(sock.getsockname()):
        async with listening(sock, serve) as connections:
            await until(lambda: len(connections.child_tasks) == 1)
    assert ended
    assert log == []


EXHAUSTED = """
import os, resource, socket, sys
import structlog, trio
from appliance.edge import listener
from appliance.edge.pulse import Pulse
from appliance.settings.address import Address

structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])

async def serve(sock, address):
    sock.setblocking(False)
    while True:
        await trio.lowlevel.wait_readable(sock)
        data = sock.recv(100)
        if not data:
            return
        sock.send(data)

async def main():
    sock = listener.bind(Address.parse("tcp://127.0.0.1:0"))
    async with trio.open_nursery() as nursery:
        highest = max(map(int, os.listdir("/dev/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 5, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print(sock.getsockname()[1], flush=True)
        await listener.listen(sock, serve, connections=nursery, pulse=Pulse())

trio.run(main)
"""


@attrs.frozen
class Exhausted:
    """A listener in a process of its own that has few descriptors."""

    process: subprocess.Popen[str]
    port: int
    clients: contextlib.ExitStack

    @classmethod
    @contextlib.contextmanager
    def started(cls, root: Path) -> Iterator[Exhausted]:
        process = subprocess.Popen(
            [sys.executable, "-c", EXHAUSTED],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        with process, contextlib.ExitStack() as clients:
            clients.callback(process.kill)
            yield cls(process, int(process.stdout.readline()), clients)

    def connect(self) -> socket.socket:
        return self.clients.enter_context(
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        )

    def logged(self) -> dict[str, str]:
        """Wait for the next line of its log."""
        assert self.process.stdout is not None
        line: dict[str, str] = json.loads(self.process.stdout.readline())
        return line

    def logs_within(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], seconds)[0])


def echoed(client: socket.socket) -> bytes:
    client.send(b"hello")
    return client.recv(100)


def test_without_descriptors_accepting_pauses_is_told_once_and_goes_on(root: Path) -> None:
    with Exhausted.started(root) as exhausted:
        clients = [exhausted.connect() for _ in range(20)]
        paused = exhausted.logged()
        assert (paused["event"], paused["level"]) == ("accepting is paused", "error")
        assert "LimitNOFILE" in paused["remedy"]
        assert echoed(clients[0]) == b"hello"  # who is in is served on

        # Each that leaves lets one in, which is no recovery.
        for leaving in clients[:5]:
            leaving.close()
        assert echoed(clients[5]) == b"hello"
        for client in clients[5:-1]:
            client.close()
        assert echoed(clients[-1]) == b"hello"
        assert exhausted.logged()["event"] == "accepting again"
        assert echoed(exhausted.connect()) == b"hello"
        assert not exhausted.logs_within(0.3)


def test_it_accepts_again_when_the_last_who_waited_had_the_last_descriptor(root: Path) -> None:
    """Without a descriptor, the system does not say whether somebody waits."""
    with Exhausted.started(root) as exhausted:
        while not exhausted.logs_within(0.05):
            client = exhausted.connect()
            assert echoed(client) == b"hello"  # it is in, and nobody waits
        assert exhausted.logged()["event"] == "accepting is paused"
        client.close()
        assert exhausted.logged()["event"] == "accepting again"
