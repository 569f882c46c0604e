"""5,000 TLS clients on all prices for a minute, 500 of which stall for ten seconds in between.

What it took stands in the summary of the run.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.bench.bench_measure import Process
from tests.bench.load_offsets import Findings
from tests.e2e.dialogue import Dialogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

STEADY, STALLING = 4_500, 500
TICKS = 60
"""Prices move once a second."""
STALL_AT, STALL_SECONDS = 20, 10
SYMBOLS = 12
FILES = 6_000
"""Open files that a process with all these clients needs."""

SUBSCRIBE = json.dumps({"type": "subscribe", "channels": ["price:*"]})
PROMPT = 30
"""Seconds for what is on its way to arrive everywhere."""

pytestmark = [
    pytest.mark.launched,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of the server from /proc"),
    pytest.mark.timeout(300),
]


@attrs.frozen
class Clients:
    """A process with many clients; see `tests/bench/load.py`."""

    process: subprocess.Popen[str]

    def tell(self, do: str, **details: float | str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(json.dumps({"do": do, **details}), file=self.process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def report_from(self, offset: int) -> dict[str, Any]:
        """Wait until each client has each price up to an offset, and give the report."""
        for topic in price_topics(self.tell("report")):
            reached = self.tell("reach", topic=topic, offset=offset, seconds=PROMPT)
            assert reached["done"], (topic, self.tell("report"))
        return self.tell("report")


@contextlib.contextmanager
def connected(running: Running, root: Path, count: int, *options: str) -> Iterator[Clients]:
    """Start so many clients. Their first answer is a report, once all are subscribed. They end with us."""
    words = ["--clients", str(count), "--send", SUBSCRIBE, "--ready", "subscribed", "--control"]
    shown = ["--header", f"Authorization: Bearer {running.key}"]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.load", running.wss_url, *words, *shown, *options],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Clients(process)


def price_topics(report: dict[str, Any]) -> list[str]:
    return [topic for topic in report["topics"] if topic.startswith("price:")]


def prices(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what a report says of each price."""
    return [report["topics"][topic] for topic in price_topics(report)]


def peak_memory(pid: int) -> float:
    """Give the most MiB that a process has held."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - no file of anybody's
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def age(message: dict[str, Any]) -> float:
    """Give the milliseconds since an event's own time."""
    return 1000 * (time.time() - dt.datetime.fromisoformat(message["data"]["timestamp"]).timestamp())


@pytest.fixture
def enough_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES:
        pytest.fail(f"{FILES:,} open files are needed, the hard limit is {most:,}", pytrace=False)


@pytest.mark.usefixtures("enough_files")
def test_5000_clients_have_every_offset_and_500_that_stall_end_with_current_values(
    start: Start, root: Path, record_property: Callable[[str, object], None]
) -> None:
    # The kernel holds little for each client, so that ten seconds of prices are more than it takes. A busy machine may
    # take longer than usual to part from all of them.
    running = start("--set", "limits.unsent=4KiB", "--set", "stop.deadline=50s")
    server = Process(running.process.pid)
    began = time.monotonic()
    with (
        connected(running, root, STEADY) as steady,
        connected(running, root, STALLING, "--receive-buffer", "4096") as stalling,
    ):
        arrived = [steady.answer(), stalling.answer()]
        connecting, cpu_connecting = time.monotonic() - began, server.cpu()
        assert [(report["clients"], report["errors"]) for report in arrived] == [(STEADY, {}), (STALLING, {})]

        with running.connect() as connection:  # the last one in, so the last one served
            witness = Dialogue(connection)
            first = witness.subscribe("price:*")["channels"][0]["offset"]
            for each in (steady, stalling):
                each.tell("reset")
            ages = []
            for tick in range(TICKS):
                if tick == STALL_AT:
                    stalling.tell("stall", clients=STALLING, seconds=STALL_SECONDS)
                while witness.account.offsets("price:BTC")[-1:] <= [first + tick]:
                    ages.append(age(witness.hear("price_update")))
            last = first + TICKS
            cpu = server.cpu() - cpu_connecting
            _, measures = running.get("/ws/stats")

        report = steady.report_from(last)
        stalled = stalling.report_from(last)
        memory = peak_memory(running.process.pid)
    stopping = time.monotonic()
    assert running.stop() == 0
    stopped = time.monotonic() - stopping

    late = statistics.quantiles(ages[SYMBOLS:], n=100)  # without the snapshot, which is older
    latency = measures["delivery_latency_ms"]
    deliveries = report["deliveries"] + stalled["deliveries"]
    for line in (
        f"{STEADY + STALLING:,} TLS clients ready after {connecting:.1f} s, {cpu_connecting:.1f} s CPU of the server",
        f"{deliveries:,} deliveries in {TICKS} s, {cpu:.1f} s CPU of the server, {1e6 * cpu / deliveries:.2f} µs each",
        f"{stalled['stalled']['declared']:,} offsets declared missing to the {STALLING} that stalled",
        f"written after: p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms (as the server counts)",
        f"with the last client after: p50 {late[49]:.0f} ms, p99 {late[98]:.0f} ms",
        f"peak memory of the server {memory:.0f} MiB; it stopped in {stopped:.1f} s",
    ):
        record_property("measured", line)

    kept = attrs.asdict(Findings())
    assert (report["clients"], report["errors"], report["steady"]) == (STEADY, {}, kept)
    assert [price["clients"] for price in prices(report)] == [STEADY] * SYMBOLS
    assert all(price["first"][1] <= first for price in prices(report))

    declared = stalled["stalled"]["declared"]
    assert (stalled["clients"], stalled["errors"], stalled["steady"]) == (STALLING, {}, kept)
    assert stalled["stalled"] == attrs.asdict(Findings(declared=declared))
    assert [price["clients"] for price in prices(stalled)] == [STALLING] * SYMBOLS
    assert declared >= STALLING * SYMBOLS  # so they really stalled
