"""What systemd hears of a process, on the socket where it listens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from appliance.ops.notify import Notifier, watchdog_interval

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as that of systemd, and how it is called in `$NOTIFY_SOCKET`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(10)
        if request.param == "path":
            name = bound = str(tmp_path / "notify")
        else:
            name, bound = f"@appliance-test-{os.getpid()}", f"\0appliance-test-{os.getpid()}"
        listening.bind(bound)
        yield listening, name


def test_what_there_is_to_say(systemd: tuple[socket.socket, str]) -> None:
    listening, name = systemd
    environment = {"NOTIFY_SOCKET": name, "HOME": "/root"}
    notifier = Notifier.taken_from(environment)
    assert environment == {"HOME": "/root"}
    notifier.ready()
    notifier.status("12 sessions,\n3 messages\ta second")
    notifier.alive()
    notifier.extend(1.5)
    notifier.stopping(12)
    notifier.close()
    assert [listening.recv(4096).decode() for _ in range(5)] == [
        "READY=1",
        "STATUS=12 sessions, 3 messages a second",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=12000000",
    ]


def test_a_reload_says_when_it_began(systemd: tuple[socket.socket, str]) -> None:
    listening, name = systemd
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with contextlib.closing(Notifier(name)) as notifier:
        notifier.reloading()
    said = dict(line.split("=") for line in listening.recv(4096).decode().splitlines())
    assert said.pop("RELOADING") == "1"
    assert before <= int(said.pop("MONOTONIC_USEC")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert not said


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_systemd_it_is_said_to_nobody(environment: dict[str, str]) -> None:
    with capture_logs() as log:
        notifier = Notifier.taken_from(environment)
        notifier.ready()
        notifier.close()
    assert log == []


def test_that_nobody_hears_is_logged_once_and_harms_nothing(tmp_path: Path) -> None:
    with contextlib.closing(Notifier(str(tmp_path / "nobody"))) as notifier, capture_logs() as log:
        notifier.ready()
        notifier.alive()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(tmp_path / "nobody"))
            notifier.alive()
            assert listening.recv(4096) == b"WATCHDOG=1"
        notifier.alive()
    assert [(entry["event"], entry["message"]) for entry in log] == [
        ("systemd was not told", "READY=1"),
        ("systemd was not told", "WATCHDOG=1"),
    ]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_often_the_watchdog_is_to_be_fed(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environment) == seconds
    assert environment == {}
