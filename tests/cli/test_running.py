"""What systemd hears of a served appliance: a process of its own, with a socket where systemd has its own.

How signals end and change it is in test_serving.
"""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_serving import OPEN, PATIENCE, served, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Systemd:
    """Hears what a process says of itself."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(PATIENCE)

    def hear(self, *names: str) -> list[dict[str, str]]:
        """Wait for messages that begin with these names, in this order; give them."""
        return [self._hear(name) for name in names]

    def _hear(self, name: str) -> dict[str, str]:
        while True:
            lines = dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())
            if next(iter(lines)) == name:
                return lines

    def rest(self) -> list[str]:
        """What was said and not yet heard."""
        found = []
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(65536).decode())
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    hearing = Systemd(tmp_path / "notify")
    yield hearing
    hearing.close()


def test_it_says_when_it_serves_reloads_and_stops(tmp_path: Path, systemd: Systemd) -> None:
    write(tmp_path, f"{OPEN}[stop]\ndeadline = 20\n")
    with served(tmp_path, NOTIFY_SOCKET=systemd.path) as running:
        starting, _, told = systemd.hear("EXTEND_TIMEOUT_USEC", "READY", "STATUS")
        assert int(starting["EXTEND_TIMEOUT_USEC"]) >= 60_000_000
        assert told["STATUS"].startswith("0 sessions, ")
        running.wait_for("serving")
        running.send(signal.SIGHUP)
        reloading, _ = systemd.hear("RELOADING", "READY")
        assert "MONOTONIC_USEC" in reloading
        running.wait_for("configuration reloaded")
        running.send(signal.SIGTERM)
        (stopping,) = systemd.hear("STOPPING")
        assert (
            int(stopping["EXTEND_TIMEOUT_USEC"]) > 22_000_000
        )  # all that `stop.deadline` may take, and to be cut off
        assert running.status == 0


def test_a_refused_reload_is_over_too_and_stays_in_the_status(tmp_path: Path, systemd: Systemd) -> None:
    write(tmp_path, OPEN)
    with served(tmp_path, NOTIFY_SOCKET=systemd.path) as running:
        systemd.hear("READY")
        refused = "the configuration was refused, the one before stays"
        for text, expected in ((f"{OPEN}nonsense = 1\n", True), (OPEN, False)):
            write(tmp_path, text)
            running.send(signal.SIGHUP)
            systemd.hear("RELOADING", "READY")
            while True:
                (told,) = systemd.hear("STATUS")
                if (refused in told["STATUS"]) is expected:
                    break


def test_it_feeds_the_watchdog_while_it_serves(tmp_path: Path, systemd: Systemd) -> None:
    write(tmp_path, OPEN)
    with served(tmp_path, NOTIFY_SOCKET=systemd.path, WATCHDOG_USEC="300000"):
        systemd.hear("READY", "WATCHDOG", "WATCHDOG", "WATCHDOG")


def test_what_was_meant_for_it_reaches_no_child(tmp_path: Path, systemd: Systemd) -> None:
    write(tmp_path, OPEN)
    variables = {
        "NOTIFY_SOCKET": systemd.path,
        "WATCHDOG_USEC": "30000000",
        "LISTEN_FDS": "0",
        "LISTEN_PID": "1",
    }
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "curious.py").write_text(
        "import os\nfrom appliance.api import Channel, Mode, hookimpl\n\n"
        "async def produce(feed, settings):\n    raise ValueError(sorted(os.environ))\n\n\n"
        "@hookimpl\ndef register_channels():\n"
        '    return [Channel(name="curious", mode=Mode.LOG, message="c", produce=produce)]\n'
    )
    with served(tmp_path, "--set", f'plugins_dir=["{plugins}"]', **variables) as running:
        systemd.hear("READY")
        found = str(running.wait_for("producer failed"))
    assert "PATH" in found
    assert [name for name in variables if name in found] == []


def test_a_stop_that_comes_first_is_not_followed_by_ready(tmp_path: Path, systemd: Systemd) -> None:
    write(tmp_path, OPEN)
    with served(tmp_path, NOTIFY_SOCKET=systemd.path) as running:
        systemd.hear("READY")
        running.send(signal.SIGHUP)
        running.send(signal.SIGTERM)
        systemd.hear("STOPPING")
        assert running.status == 0
    assert [message for message in systemd.rest() if "READY" in message] == []
