"""What signals and files do to a served appliance: a process of its own, that begins behind what is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import appliance
from appliance.cli.serving import Request, check
from appliance.core.errors import SettingsError
from tests import asking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.asking import Begun

ROOT = Path(appliance.__file__).parent.parent
PATIENCE = 60.0
"""Seconds that a busy machine may take; then the process is ended, and what waits for it fails."""

OPEN = '[[listen]]\nurl = "tcp://127.0.0.1:0"\nauth = "none"\n'


@attrs.frozen
class Served:
    process: subprocess.Popen[str] | Begun
    folder: Path

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log up to this event, and give its line."""
        assert self.process.stderr is not None
        read: list[dict[str, Any]] = []
        for text in self.process.stderr:
            read.append(json.loads(text))
            if read[-1]["event"] == event:
                return read[-1]
        raise AssertionError(f"{event!r} was not logged: {read}")

    def hello(self) -> list[str]:
        """Read the start message."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line.strip())
            if line.strip().startswith("curl"):
                break
        return lines

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    @property
    def status(self) -> int:
        """The exit status, once it has ended."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def served(folder: Path, *arguments: str, **variables: str) -> Iterator[Served]:
    """Serve the file in a folder, until the block ends; `variables` are added to the environment."""
    with lasting(PATIENCE, folder, *arguments, **variables) as running:
        yield running


@contextlib.contextmanager
def lasting(most: float, folder: Path, /, *arguments: str, **variables: str) -> Iterator[Served]:
    """Serve likewise, for so many seconds at most: what tests share lasts longer."""
    line = ("appliance", "serve", "--config", str(folder / "appliance.toml"))
    places = ("--state-dir", str(folder / "state"))
    environment = {"PATH": os.environ["PATH"], **variables}
    process = asking.of_this_tree().begin(
        (*line, *places, *arguments), folder=ROOT, environment=environment, within=most
    )
    with process:
        try:
            yield Served(process, folder)
        finally:
            process.kill()


def write(folder: Path, text: str) -> Path:
    file = folder / "appliance.toml"
    file.write_text(text, encoding="utf-8")
    return file


def connect(url: str) -> socket.socket:
    """Open a WebSocket, and then say nothing more: not even goodbye."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    client = socket.create_connection((host, int(port)), PATIENCE)
    client.sendall(
        b"GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    write(tmp_path, "")
    with served(tmp_path, "--listen", "tls://127.0.0.1:0", "--set", "tls.names=['example.com']") as running:
        [address] = running.wait_for("serving")["listeners"]
        hello = running.hello()
        running.send(number)
        running.wait_for("stopping")
        running.wait_for("stopped")
        assert running.status == 0
    key, certificate = tmp_path / "state" / "api_key", tmp_path / "state" / "certificate.pem"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    shown = dict(line.split(maxsplit=1) for line in hello if line.startswith(("WebSocket", "key", "cert")))
    assert shown["WebSocket"] == f"{address.replace('tls', 'wss')}/ws"
    assert shown["key"] == str(key)
    assert shown["certificate"].replace(":", "").lower() == f"sha-256 {digest}"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in "\n".join(hello)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    write(tmp_path, f"{OPEN}[stop]\ndeadline = 600\n")
    with served(tmp_path) as running:
        [address] = running.wait_for("serving")["listeners"]
        with connect(address):
            running.wait_for("session opened")
            running.send(signal.SIGTERM)
            running.wait_for("stopping")
            running.send(signal.SIGTERM)
            running.wait_for("stopping at once")
            assert running.status == 1


def test_the_same_key_opens_it_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path, "")
    keys = set()
    for _ in range(2):
        with served(tmp_path, "--listen", "tcp://127.0.0.1:0") as running:
            running.wait_for("serving")
            keys.add((tmp_path / "state" / "api_key").read_text())
            running.send(signal.SIGTERM)
            assert running.status == 0
    assert len(keys) == 1


def test_with_keys_of_the_users_none_is_made(tmp_path: Path) -> None:
    write(tmp_path, '[[auth.keys]]\nname = "alice"\nkey = "k-of-alice"\n')
    with served(tmp_path, "--listen", "tcp://127.0.0.1:0") as running:
        running.wait_for("serving")
        hello = running.hello()
    assert [line for line in hello if "key" in line or "k-of-alice" in line] == []
    names = {path.name for path in (tmp_path / "state").iterdir()}
    assert names == {"plugins.json", "seal_key", "store.db", "store.db-kept", "store.db-wal"}


def test_a_unix_socket_is_there_while_it_is_served(tmp_path: Path) -> None:
    write(tmp_path, "")
    path = tmp_path / "socket"
    with served(tmp_path, "--listen", f"unix:{path}", "--listen", "tcp://127.0.0.1:0") as running:
        listeners = running.wait_for("serving")["listeners"]
        assert listeners[0] == f"unix:{path}"
        assert path.is_socket()
        running.send(signal.SIGTERM)
        assert running.status == 0
    assert not path.exists()


def test_a_start_message_that_nobody_takes_stops_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, OPEN)
    command = f'exec "$0" -m appliance.cli.main serve --config {file} --state-dir {tmp_path}/state >&-'
    process = subprocess.Popen(
        ["sh", "-c", command, sys.executable], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    watch = threading.Timer(PATIENCE, process.kill)
    watch.start()
    with process:
        running = Served(process, tmp_path)
        running.wait_for("serving")
        running.send(signal.SIGTERM)
        running.wait_for("stopped")
        assert running.status == 0
    watch.cancel()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shared")
    write(folder, OPEN)
    with lasting(10 * PATIENCE, folder) as running:
        running.wait_for("serving")
        yield running
        running.send(signal.SIGTERM)
        assert running.status == 0


@pytest.fixture
def open_to_all(shared: Served) -> Served:
    """The same for all tests, with the file that it was started with."""
    write(shared.folder, OPEN)
    shared.send(signal.SIGHUP)
    shared.wait_for("configuration reloaded")
    return shared


def test_sighup_takes_over_what_can_change(open_to_all: Served) -> None:
    running = open_to_all
    write(running.folder, f'{OPEN}[limits]\nsessions = 5\ntopics = 50\n[log]\nlevel = "debug"\n')
    running.send(signal.SIGHUP)
    assert running.wait_for("configuration reloaded")["changed"] == ["limits.sessions", "log.level"]
    assert running.wait_for("some changes wait for a restart")["settings"] == ["limits.topics"]


def test_a_file_with_mistakes_is_refused_whole(open_to_all: Served) -> None:
    running = open_to_all
    file = running.folder / "appliance.toml"
    for text, mistake in (
        ("[limits]\nsessions = 5\ntopics = 0\n", f"{file}:6: limits.topics: must be at least 1, not 0"),
        ("[channels.signals]\nhigh = 2\n", f"{file}:5: channels.signals.high: must be at most 1, not 2"),
    ):
        write(running.folder, OPEN + text)
        running.send(signal.SIGHUP)
        line = running.wait_for("configuration refused, the one before stays")
        assert line["mistakes"] == [mistake]
    write(running.folder, f"{OPEN}[channels.signals]\nhigh = 2\n[limits]\ntopics = 0\n")
    running.send(signal.SIGHUP)
    assert running.wait_for("configuration refused, the one before stays")["mistakes"] == [
        f"{file}:5: channels.signals.high: must be at most 1, not 2",
        f"{file}:7: limits.topics: must be at least 1, not 0",
    ]
    write(running.folder, f"{OPEN}[limits]\nsessions = 6\n")
    running.send(signal.SIGHUP)
    assert running.wait_for("configuration reloaded")["changed"] == ["limits.sessions"]


def test_sighup_changes_nothing_when_nothing_has_changed(open_to_all: Served) -> None:
    open_to_all.send(signal.SIGHUP)
    assert open_to_all.wait_for("configuration reloaded")["changed"] == []


def request(folder: Path, text: str, **fields: Any) -> Request:
    given = {"listen": (), "overrides": (), "state_dir": None, "environment": {}, **fields}
    return Request(file=write(folder, text), **given)


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    asked = request(
        tmp_path,
        'state_dir = "/elsewhere"\n[limits]\nsessions = 5\n',
        listen=("tcp://127.0.0.1:1",),
        overrides=("limits.sessions=6",),
        state_dir="/here",
    )
    settings = asked.load().settings
    assert settings.state_dir == "/here"
    assert settings.limits.sessions == 6
    assert [listen.url for listen in settings.listen] == ["tcp://127.0.0.1:1"]


def test_check_gives_warnings_too(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("k-of-alice")
    key_file.chmod(0o644)
    asked = request(tmp_path, f'[[auth.keys]]\nname = "alice"\nkey_file = "{key_file}"\n')
    first, *_ = check(asked)
    assert first.startswith(f"warning: {key_file}")


def test_check_gives_the_warnings_of_plugins_settings(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o644)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "vault.py").write_text(
        "import attrs\nfrom appliance.api import Channel, Mode, hookimpl\n"
        "from appliance.settings.fields import Secret\n\n\n@attrs.frozen\nclass Settings:\n"
        "    password: Secret\n\n\n@hookimpl\ndef register_channels():\n"
        '    return [Channel(name="vault", mode=Mode.LOG, message="v", source="simulated", Settings=Settings)]\n'
    )
    text = f'plugins_dir = ["{tmp_path}/plugins"]\n[channels.vault]\npassword_file = "{password}"\n'
    first, *_ = check(request(tmp_path, text))
    assert first.startswith(f"warning: {password}")


def test_check_finds_what_a_start_would(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "mine.py").write_text(
        "from appliance.api import Channel, Mode, hookimpl\n\n\n@hookimpl\ndef register_channels():\n"
        '    return [Channel(name="mine", mode=Mode.LOG, message="mine", source="simulated")]\n'
    )
    told = list(check(request(tmp_path, f'plugins_dir = ["{plugins}"]\n')))
    assert "  channel mine (log)" in told
    with pytest.raises(SettingsError, match=r"channels\.mine\.colour"):
        list(check(request(tmp_path, f'plugins_dir = ["{plugins}"]\n[channels.mine]\ncolour = "red"\n')))
