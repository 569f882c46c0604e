"""Sockets that systemd passes: taken over by who they are for, given to the listener that they fit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StartError
from appliance.ops.activation import Passed, match, take
from appliance.settings.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHILD = """
import json, os, subprocess, sys
from appliance.core.errors import StartError
from appliance.ops import activation

if sys.argv[1] == "ours":
    os.environ["LISTEN_PID"] = str(os.getpid())
try:
    passed = activation.take(os.environ)
except StartError as error:
    print(json.dumps(str(error)))
    sys.exit()
look = "import os; print(*[os.path.exists(f'/proc/self/fd/{number}') for number in (3, 4)])"
inherited = subprocess.run([sys.executable, "-c", look], close_fds=False, capture_output=True, text=True).stdout
print(json.dumps({
    "names": [each.name for each in passed],
    "ports": [each.sock.getsockname()[1] for each in passed],
    "blocking": [each.sock.getblocking() for each in passed],
    "left": [name for name in os.environ if name.startswith("LISTEN_")],
    "inherited": inherited.split(),
}))
"""


def listening(
    family: socket.AddressFamily = socket.AF_INET, at: str | tuple[str, int] | None = None
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(at or (("::1", 0) if family is socket.AF_INET6 else ("127.0.0.1", 0)))
    sock.listen()
    return sock


def child(root: Path, whose: str, *sockets: socket.socket, **variables: str) -> object:
    """What a process makes of these sockets as its descriptors from 3 on."""
    numbers = [sock.fileno() for sock in sockets]
    moves = "".join(f" {3 + place}<&{number}" for place, number in enumerate(numbers))
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {whose}{moves}', sys.executable, CHILD],
        pass_fds=numbers,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(root),
            "LISTEN_FDS": str(len(sockets)),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with listening() as one, listening() as other:
        yield one, other


def test_what_is_passed_is_taken_over_and_no_child_has_it(
    root: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    assert child(root, "ours", *pair, LISTEN_FDNAMES="web.socket:other.socket") == {
        "names": ["web.socket", "other.socket"],
        "ports": [sock.getsockname()[1] for sock in pair],
        "blocking": [False, False],
        "left": [],
        "inherited": ["False", "False"],
    }


def test_what_is_passed_to_another_process_is_left_alone(
    root: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    found = child(root, "theirs", *pair, LISTEN_PID="1")
    assert isinstance(found, dict)
    assert (found["names"], found["left"]) == ([], [])


def test_a_socket_that_takes_no_connections_is_refused(root: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        told = child(root, "ours", datagrams)
    assert "takes no connections: in the socket unit, write ListenStream=" in str(told)


def test_nothing_is_passed_where_systemd_says_nothing() -> None:
    assert take({}) == ()
    assert take({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}) == ()


def test_each_listener_gets_its_socket_in_whatever_order_they_come(
    tmp_path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    path = tmp_path / "socket"
    one, other = pair
    with listening(socket.AF_UNIX, str(path)) as unix, listening(socket.AF_INET6) as sixth:
        addresses = [
            Address.parse(f"tls://127.0.0.1:{one.getsockname()[1]}"),
            Address.parse("tcp://127.0.0.1:0"),
            Address.parse(f"unix:{path}"),
            Address.parse(f"tcp://localhost:{other.getsockname()[1]}"),
            Address.parse(f"tcp://[::1]:{sixth.getsockname()[1]}"),
        ]
        passed = [Passed(sock, "web.socket") for sock in (sixth, other, unix, one)]
        assert match(addresses, passed) == [one, None, unix, other, sixth]


def test_a_socket_on_all_addresses_of_both_kinds_is_for_ipv4_too() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", 0))
        both.listen()
        port = both.getsockname()[1]
        all_of_four, all_of_six = Address.parse(f"tcp://0.0.0.0:{port}"), Address.parse(f"tcp://[::]:{port}")
        passed = [Passed(both, "web.socket")]
        assert match([all_of_four], passed) == [both]
        assert match([all_of_four, all_of_six], passed) == [None, both]
        both_only_six = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        with both_only_six as six:
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::", 0))
            six.listen()
            with pytest.raises(StartError):
                match([Address.parse(f"tcp://0.0.0.0:{six.getsockname()[1]}")], [Passed(six, "")])


def test_a_socket_for_which_nobody_asked_stops_the_start(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    one, other = (sock.getsockname()[1] for sock in pair)
    with pytest.raises(StartError) as caught:
        match([Address.parse(f"tcp://127.0.0.1:{one}")], [Passed(sock, "appliance.socket") for sock in pair])
    assert str(caught.value) == (
        f"systemd has opened 127.0.0.1:{other} (appliance.socket), and the configuration listens on "
        f"tcp://127.0.0.1:{one}: make ListenStream= and [[listen]] the same; `appliance systemd install` writes the "
        "one from the other"
    )


def test_all_that_fit_nothing_are_named(tmp_path: Path) -> None:
    with (
        listening(socket.AF_UNIX, str(tmp_path / "one")) as one,
        listening() as other,
        pytest.raises(StartError, match=r"unix:.*/one, 127\.0\.0\.1:\d+,"),
    ):
        match([Address.parse("tcp://127.0.0.1:1")], [Passed(one, ""), Passed(other, "")])
