"""A server that runs the appliance under systemd, and is to run another version of it.

Must not know whether that one is good.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

import attrs
from websockets.sync.client import ClientConnection, connect

from tests import unpacked
from tests.booted import PATIENCE, Machine, booted
from tests.installed import everything, unverified

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

PORT: Final = 8443
PROGRAM: Final = "/usr/local/lib/appliance/appliance.pyz"
CONFIGURATION: Final = "/etc/appliance/appliance.toml"
BEFORE: Final = "/run/files-before"
"""Names all files that there were before the installation."""
BEHAVIOUR: Final = "/etc/appliance/behaviour.py"
KEY: Final = "sk_of_the_test_of_upgrades_0123456789"
TOPIC: Final = "ticks:all"
EVERY: Final = 0.1
"""Seconds between two events."""

SETTINGS: Final = f"""
[[auth.keys]]
name = "test"
key = "{KEY}"
publish = ["*"]

[limits]
connections_per_minute = 1_000_000
handshakes_per_minute = 1_000_000

[stop]
retry = "RETRY"

[channels.ticks]
source = "publish"
mode = "log"
message = "tick"

[channels.ticks.history]
durable = true
count = 100_000
"""

BEHAVES: Final = (
    '    """Serve until told to stop; the value is the process\'s exit status."""\n',
    f'    exec(Path("{BEHAVIOUR}").read_text() if Path("{BEHAVIOUR}").exists() else "")\n',
)
"""What a version is changed to that does what the test says."""
NEWER_STORE: Final = (
    "= (_begin,)",
    '= (_begin, lambda connection: connection.execute("ALTER TABLE head ADD COLUMN more TEXT"))',
)


@contextlib.contextmanager
def served(zipapp: Path, versions: Path, *unpacks: Path, retry: str) -> Iterator[Machine]:
    """A server on which the appliance is installed and runs. That `unpacks` unpack themselves is not looked at."""
    unpacked.lay(zipapp, versions / "unpacked", *unpacks)
    with booted(files={zipapp: "/root/appliance.pyz", versions: "/root/versions"}) as machine:
        machine.write(BEFORE, "\n".join(everything(machine)))
        machine.run(f"mkdir -p {unpacked.OF_ROOT}; ln -s /root/versions/unpacked/* {unpacked.OF_ROOT}")
        unpacked.of_the_unit(machine, copied="/root/versions/unpacked")
        machine.run(f"python3 /root/appliance.pyz systemd install --listen tls://127.0.0.1:{PORT}")
        with (machine.root / CONFIGURATION.lstrip("/")).open("a") as configuration:
            configuration.write(SETTINGS.replace("RETRY", retry))
        machine.run("systemctl start appliance")
        yield machine


def upgrade(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    return machine.attempt(f"appliance upgrade --ready-within 20s --watch 1s {' '.join(words)}")


def in_place(machine: Machine) -> str:
    """Say which version is there, having seen that it runs."""
    assert machine.show("ActiveState") == "active"
    version = machine.run("appliance version").split()[1]
    assert f"/appliance-{version}-" in machine.run(f"cat /proc/{machine.show('MainPID')}/maps")
    return version


def files(machine: Machine) -> list[str]:
    return machine.run("ls /usr/local/lib/appliance; ls -A /run/systemd/system").split()


def offset_of_newest(machine: Machine) -> int:
    """Say how many events there ever were."""
    told = machine.run(
        f"curl --silent --insecure --header 'Authorization: Bearer {KEY}' "
        f"https://localhost:{PORT}/api/v1/topics/{TOPIC}/latest"
    )
    return int(json.loads(told)["data"]["offset"])


def websocket(machine: Machine) -> ClientConnection:
    return connect(
        f"wss://localhost:{PORT}/ws",
        sock=machine.connect(PORT),
        ssl=unverified(),
        additional_headers={"Authorization": f"Bearer {KEY}"},
        open_timeout=PATIENCE,
    )


@attrs.define
class Publisher:
    """An application that numbers its events, and repeats each until it hears that it was taken.

    `longest` is the longest that it has waited for an answer.
    """

    machine: Machine
    published: int = 0
    longest: float = 0.0
    unanswered: int = 0
    refused: int = 0
    name: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    _ended: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread = attrs.field(init=False)

    @_thread.default
    def _prepare(self) -> threading.Thread:
        return threading.Thread(target=self._run)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Return when the last was taken."""
        self._ended.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            self.publish()

    def publish(self) -> None:
        began = time.monotonic()
        number = self.published + 1
        while not self._sent(number):
            self.unanswered += 1
            time.sleep(0.05)
        self.published = number
        self.longest = max(self.longest, time.monotonic() - began)

    def _sent(self, number: int) -> bool:
        body = json.dumps({"channel": "ticks", "key": "all", "data": {"number": number}})
        headers = {
            "Authorization": f"Bearer {KEY}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"{self.name}-{number}",
            "Connection": "close",
        }
        client = http.client.HTTPConnection("localhost", PORT)
        try:
            client.sock = unverified().wrap_socket(self.machine.connect(PORT), server_hostname="localhost")
            client.request("POST", "/api/v1/publish", body, headers)
            return client.getresponse().status == 200
        except ConnectionRefusedError:
            self.refused += 1
            return False
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()


@contextlib.contextmanager
def publishing(machine: Machine) -> Iterator[Publisher]:
    publisher = Publisher(machine)
    publisher.begin()
    try:
        yield publisher
    finally:
        publisher.end()
