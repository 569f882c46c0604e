"""2,000 TLS clients come back in the same moment, each 1,000 events behind, while 1,000 others listen.

What it took stands in the summary of the run. `--crowd 1` brings all of them; less is that share of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from tests.bench.bench_measure import Process
from tests.bench.load_offsets import Findings
from tests.e2e.test_many_clients import Clients, peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

RETURNING: Final = 2_000
LISTENING: Final = 1_000
BEHIND: Final = 1_000
"""Events that each who comes back has missed."""
TOPIC: Final = "bench:all"
SUBSCRIBE: Final = json.dumps({"type": "subscribe", "channels": [TOPIC]})
EVERY: Final = 0.05
"""Seconds between two live events."""
LIVE: Final = 100_000
"""More live events than the test takes."""
QUIET: Final = 5.0
"""Seconds that are measured before the crowd comes."""
PROMPT: Final = 200.0
"""Seconds within which all are up to date, on a machine that does other things too."""
MESSAGE: Final = 1_024
"""More bytes than a client sends to come back, with what TLS and the pongs add."""
_MIB: Final = 1024**2

pytestmark = [
    pytest.mark.launched,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of the server from /proc"),
    pytest.mark.timeout(300),
]


@attrs.frozen
class Publisher:
    """Orders events of `tests/bench/plugins/bench.py`."""

    orders: Path

    @property
    def settings(self) -> tuple[str, ...]:
        folder = Path(__file__).parent.parent / "bench" / "plugins"
        return (
            f'plugins_dir=["{folder}"]',
            f"channels.bench.orders={self.orders}",
            'channels.bench.keys=["all"]',
        )

    def order(self, events: int, *, every: float, burst: int = 1) -> None:
        text = json.dumps({"key": "all", "events": events, "burst": burst, "every": every})
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), str(self.orders))


@contextlib.contextmanager
def clients(program: str, running: Running, root: Path, count: int, *options: str) -> Iterator[Clients]:
    """Start so many, in a process that ends with us. Its first answer is a report, once all are there."""
    shown = ["--header", f"Authorization: Bearer {running.key}"]
    with subprocess.Popen(
        [sys.executable, "-m", program, running.wss_url, "--clients", str(count), *shown, *options],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Clients(process)


def read_by(pid: int) -> int:
    """Give the bytes that a process has read so far: from files, and from its sockets."""
    line = Path(f"/proc/{pid}/io").read_text().partition("\n")[0]
    return int(line.removeprefix("rchar: "))


@pytest.fixture
def share(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--crowd"))


@pytest.fixture(params=["in memory", "durable"])
def history(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_crowd_that_comes_back_misses_nothing_and_holds_up_nobody(
    start: Start,
    root: Path,
    tmp_path: Path,
    history: str,
    share: float,
    record_property: Callable[[str, object], None],
) -> None:
    returning, listening = round(share * RETURNING), round(share * LISTENING)
    publisher = Publisher(tmp_path / "orders")
    settings = (
        *publisher.settings,
        f"channels.bench.history.durable={str(history == 'durable').lower()}",
        "channels.bench.history.count=20000",
        "channels.bench.history.bytes=16MiB",
        "limits.connections_per_minute=1000000",
        "limits.handshakes_per_minute=1000000",
    )
    running = start(*(word for setting in settings for word in ("--set", setting)))
    server = Process(running.process.pid)
    listens = ("--send", SUBSCRIBE, "--ready", "subscribed", "--control")
    with (
        clients("tests.bench.load", running, root, listening, *listens) as listeners,
        clients("tests.e2e.crowd", running, root, returning) as crowd,
    ):
        assert [each.answer()["errors"] for each in (listeners, crowd)] == [{}, {}]
        with running.connect() as connection:
            connection.send(SUBSCRIBE)
            (begun,) = json.loads(connection.recv())["channels"]
        missed = begun["offset"] + BEHIND
        publisher.order(BEHIND, every=0.001, burst=100)
        assert listeners.tell("reach", topic=TOPIC, offset=missed, seconds=PROMPT)["done"]

        publisher.order(LIVE, every=EVERY)
        listeners.tell("reset")
        time.sleep(QUIET)
        quiet = listeners.tell("report")["latency_ms"]

        listeners.tell("reset")
        read, cpu, began = read_by(running.process.pid), server.cpu(), time.monotonic()
        crowd.tell("resume", topic=TOPIC, epoch=begun["epoch"], offset=begun["offset"])
        reached = crowd.tell("reach", topic=TOPIC, offset=missed, seconds=PROMPT)
        took, cpu, read = time.monotonic() - began, server.cpu() - cpu, read_by(running.process.pid) - read
        back, there = crowd.tell("report"), listeners.tell("report")
        memory = peak_memory(running.process.pid)

    crowded = there["latency_ms"]
    record_property(
        "measured",
        f"history {history}: {returning:,} clients, each {BEHIND:,} events behind, were up to date after {took:.1f} s:"
        f" {cpu:.1f} s CPU of the server, {back['cpu_seconds']:.1f} s of these clients, peak memory {memory:.0f} MiB",
    )
    record_property(
        "measured",
        f"history {history}: {listening:,} who listened had live events after p50 {crowded['p50']:.0f} ms,"
        f" p99 {crowded['p99']:.0f} ms, at most {crowded['max']:.0f} ms; when it was quiet, p50 {quiet['p50']:.0f} ms,"
        f" p99 {quiet['p99']:.0f} ms (load average {os.getloadavg()[0]:.1f})",
    )
    kept = attrs.asdict(Findings())
    assert (reached["done"], back["clients"], back["errors"], back["steady"]) == (True, returning, {}, kept)
    assert back["deliveries"] >= returning * BEHIND
    assert (there["clients"], there["errors"], there["steady"]) == (listening, {}, kept)
    # What they missed is not read from the disk for each of them.
    assert read < (returning + listening) * MESSAGE + _MIB
