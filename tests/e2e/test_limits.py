"""Limits of the built file: memory that runs short, a balancer in front, and who comes too often."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import time
from typing import TYPE_CHECKING

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.load_frames import Opcode, client_frame
from tests.e2e.honest import Witnesses
from tests.e2e.running import PATIENCE, SECRET
from tests.e2e.wire import Wire, dial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

KEY = f"key-{SECRET}"
OPEN, PUBLIC, BALANCED, NARROW = 0, 1, 2, 3
PIECE, PIECES = "x" * 90_000, 60
SLOW = 14
"""Clients that read nothing of an answer of 5 MB each: some 3 MB of it stay with the appliance."""
MARGIN = 40 * 1024**2
MOST = 1024**2
CONFIGURATION = f"""
[[listen]]
url = "tls://127.0.0.1:0"

[[listen]]
url = "tcp://127.0.0.1:0"
limits.connections_per_address = 40

[[listen]]
url = "tcp://127.0.0.1:0"
proxies = ["127.0.0.1"]
proxy_protocol = "on"
limits.connections_per_address = 1

[[listen]]
url = "tcp://127.0.0.1:0"
limits.requests_per_minute = 2

[[auth.keys]]
name = "all"
key = "{KEY}"
publish = ["notes"]

[sources.simulated]
interval = "250ms"

[sources.notes]
kind = "publish"

[channels.notes]
source = "notes"
history.count = 1000
history.bytes = "32MiB"
"""


@attrs.frozen
class Site:
    running: Running
    file: Path
    witnesses: Witnesses

    def reload(self, limits: str) -> None:
        self.file.write_text(f"{CONFIGURATION}\n[limits]\nburst = '8MiB'\n{limits}\n")
        before = self.running.tell(signal.SIGHUP)
        self.running.wait_for("configuration reloaded", after=before)

    def metric(self, name: str, **labels: str) -> float:
        """Read a value as a Prometheus does, over the plain listener."""
        for family in text_string_to_metric_families(self.ask("GET", "/metrics")):
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        raise AssertionError(f"no {name}{labels}")

    def publish(self, count: int) -> None:
        body = json.dumps({"channel": "notes", "key": "all", "data": {"text": PIECE}})
        for _ in range(count):
            self.ask("POST", "/api/v1/publish", body)

    def ask(self, method: str, path: str, body: str | None = None) -> str:
        client = http.client.HTTPConnection("127.0.0.1", self.running.port_of(PUBLIC), timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            client.request(method, path, body, headers)
            answer = client.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            client.close()

    def wait_for(self, condition: Callable[[], bool], wanted: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {wanted}"
            time.sleep(0.1)


@pytest.fixture(scope="module")
def site(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    file = tmp_path_factory.mktemp("limits") / "appliance.toml"
    file.write_text(f"{CONFIGURATION}\n[limits]\nburst = '8MiB'\n")
    running = start_shared("--config", str(file), key=KEY)
    with Witnesses.of(running, 3) as witnesses:
        yield Site(running, file, witnesses)
        witnesses.go_on()


@contextlib.contextmanager
def slow_readers(running: Running, count: int) -> Iterator[list[socket.socket]]:
    """Clients that ask for a page of 5 MB, and read none of it."""
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            sock.settimeout(PATIENCE)
            sock.connect(("127.0.0.1", running.port_of(PUBLIC)))
            Wire(sock).upgrade(KEY)
            sock.sendall(client_frame(Opcode.TEXT, b'{"type": "history", "channel": "notes:all"}'))
            socks.append(sock)
        yield socks


def test_when_memory_runs_short_the_worst_go_first_and_the_rest_do_not_feel_it(site: Site) -> None:
    site.publish(PIECES)
    site.witnesses.go_on()
    held = int(site.metric("process_resident_memory_bytes"))
    site.reload(f"memory = {held + MARGIN}")
    with slow_readers(site.running, SLOW):
        site.wait_for(
            lambda: site.metric("appliance_sessions_dropped_total", reason="memory") > 0, "one dropped"
        )
        site.wait_for(lambda: site.metric("appliance_memory_short") == 0, "memory that is no longer short")
        dropped = site.metric("appliance_sessions_dropped_total", reason="memory")
        assert site.metric("appliance_limit_hits_total", limit="memory") >= dropped
    site.witnesses.go_on()  # they have missed nothing
    assert len(site.running.logged("memory is short")) == len(
        site.running.logged("memory is no longer short")
    )
    site.reload("memory = 'off'")


def test_what_gathers_for_one_client_is_bounded(site: Site) -> None:
    site.publish(PIECES)
    dropped = site.metric("appliance_sessions_dropped_total", reason="owed")
    with slow_readers(site.running, 2):
        site.wait_for(lambda: site.metric("appliance_owed_bytes_max") > MOST, "something owed")
        assert site.metric("appliance_sessions_dropped_total", reason="owed") == dropped
        site.reload(f"owed_bytes_in_all = {MOST}")
        site.wait_for(
            lambda: site.metric("appliance_sessions_dropped_total", reason="owed") == dropped + 2,
            "both dropped",
        )
        site.wait_for(lambda: site.metric("appliance_owed_bytes") < MOST, "nothing owed")
    site.witnesses.go_on()


def test_who_asks_too_often_is_told_when_to_come_back(site: Site) -> None:
    answers = []
    for path in ("/health", "/nowhere", "/health"):
        with dial(site.running, listener=NARROW) as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answers.append(wire.rest())
    assert [answer[9:12] for answer in answers] == [b"200", b"404", b"429"]
    assert b"\r\nretry-after: 30\r\n" in answers[-1]
    assert b"limits.requests_per_minute" in answers[-1]
    assert site.metric("appliance_limit_hits_total", limit="requests_per_minute") == 1
    site.witnesses.go_on()


def test_a_balancer_says_who_comes_and_nobody_else_may(site: Site) -> None:
    head = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
    hits = site.metric("appliance_limit_hits_total", limit="connections_per_address")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(dial(site.running, listener=BALANCED)) for _ in range(4)]
        wires[0].send(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n")
        wires[0].upgrade(KEY)
        site.running.wait_for("session opened", client="192.0.2.7")
        wires[1].send(b"PROXY TCP4 192.0.2.7 10.0.0.1 4712 443\r\n" + head.encode())
        refused = wires[1].rest()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 5\r\n" in refused
        wires[2].send(b"PROXY TCP6 2001:db8::7 ::1 4713 443\r\n" + head.encode())
        assert wires[2].rest().startswith(b"HTTP/1.1 200 ")
        wires[3].send(head.encode())
        assert wires[3].rest() == b""
    assert site.metric("appliance_errors_total", code="bad_proxy_header") == 1
    assert site.metric("appliance_limit_hits_total", limit="connections_per_address") == hits + 1
    site.witnesses.go_on()
