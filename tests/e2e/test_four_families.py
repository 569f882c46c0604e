"""2,000 TLS clients on one port for a minute, 500 of each family, while an application publishes for all of them.

FOUR_FAMILIES_SECONDS and FOUR_FAMILIES_CLIENTS (of each family) make it smaller. What it took stands in the summary of
the run.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.bench.bench_measure import Process
from tests.bench.load_families import PORTFOLIO, PRICES
from tests.bench.load_offsets import Findings
from tests.e2e.four_families_clients import (
    PORTFOLIO_INTERVAL,
    PREDICTED,
    PRICE_INTERVAL,
    PRICED,
    Families,
)
from tests.e2e.numbered_publisher import CHANNELS, Publisher
from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.bench.load_parties import Plan
    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

SECONDS = int(os.environ.get("FOUR_FAMILIES_SECONDS", "60"))
CLIENTS = int(os.environ.get("FOUR_FAMILIES_CLIENTS", "500"))
"""Of each family."""
PRICES_A_TICK = 8
"""Fewer than there are symbols in an interval of the trading dialect, so that some have not changed."""
OTHERS_A_TICK = 2
"""Signals, trades and alerts."""
SILENT = SECONDS / 6
"""Seconds until a silent client is pinged. Who does not answer has as long until it is dropped, but 10 at least."""
FILES = 3 * CLIENTS
"""Open files that a process with half of the clients needs, or with all of them."""

HALVES = (("cryptointel", "data-ws"), ("ara", "trading"))

pytestmark = [
    pytest.mark.launched,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the server's CPU from /proc"),
    pytest.mark.timeout(SECONDS + 240),
]


@attrs.frozen
class Half:
    """A process with the clients of some families."""

    process: subprocess.Popen[str]

    def tell(self, do: str, **details: float | str) -> dict[str, Any]:
        self.write(json.dumps({"do": do, **details}))
        return self.answer()

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@contextlib.contextmanager
def connecting(running: Running, root: Path, families: Sequence[str]) -> Iterator[Half]:
    """Start the clients of some families. They end with us."""
    words = [running.url("wss"), *families, "--clients", str(CLIENTS)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.four_families_clients", *words],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        half = Half(process)
        half.write(running.key)  # not in the command line, which all may read
        yield half


@pytest.fixture
def enough_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES:
        pytest.fail(f"{FILES:,} open files are needed, the hard limit is {most:,}", pytrace=False)


@pytest.fixture
def fed(start: Start) -> Running:
    """An appliance whose rows all come from outside."""
    options = (
        *(f"channels.{channel}.source=publish" for channel in CHANNELS),
        "channels.market.enabled=false",
        f"heartbeat.interval={SILENT:g}s",
        f"heartbeat.timeout={max(SILENT, 10):g}s",
        "stop.deadline=50s",  # a busy machine may take longer than usual to part from all of them
    )
    return start(*(word for option in options for word in ("--set", option)))


@pytest.fixture
def publisher(fed: Running) -> Iterator[Publisher]:
    with contextlib.closing(Publisher(fed)) as publisher:
        yield publisher


@pytest.mark.usefixtures("enough_files")
def test_2000_clients_of_four_families_have_everything_in_their_own_words_and_on_time(
    fed: Running, publisher: Publisher, root: Path, record_property: Callable[[str, object], None]
) -> None:
    server = Process(fed.process.pid)
    publisher.publish(prices=len(PRICED.symbols), others=0)  # so that every price is there from the beginning
    plans = Families(fed.url("wss"), fed.key, CLIENTS).plans()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        halves = {families: stack.enter_context(connecting(fed, root, families)) for families in HALVES}
        for families, half in halves.items():
            assert half.answer() == {"ready": len(families) * CLIENTS, "lost": {}}
        connected, cpu_connecting = time.monotonic() - began, server.cpu()

        _arrived(halves, plans, publisher)  # so that all are equally far when the count begins
        for half in halves.values():
            half.tell("reset")
        cpu = server.cpu()
        for _ in range(SECONDS):
            publisher.publish(prices=PRICES_A_TICK, others=OTHERS_A_TICK)
            time.sleep(1.0)  # the pace of the load, nothing that is waited for
        reports = _arrived(halves, plans, publisher)
        cpu = server.cpu() - cpu
        _, statistics = fed.get("/ws/stats")
    assert fed.stop() == 0

    deliveries = {family: sum(reports[plan.name]["deliveries"] for plan in plans[family]) for family in plans}
    total = sum(deliveries.values())
    for line in (
        f"{4 * CLIENTS:,} TLS clients ready after {connected:.1f} s, {cpu_connecting:.1f} s CPU of the server",
        *(f"{family}: {CLIENTS:,} clients, {count:,} deliveries" for family, count in deliveries.items()),
        f"{total:,} deliveries in {SECONDS} s, {cpu:.1f} s CPU of the server, {1e6 * cpu / total:.2f} µs each",
        *_beats(reports),
        f"longest answer to the application {1000 * publisher.longest:.0f} ms",
    ):
        record_property("measured", line)

    for plan in itertools.chain.from_iterable(plans.values()):
        report = reports[plan.name]
        assert (report["clients"], report["errors"], report["early"]) == (plan.clients, {}, 0), plan.name
        assert report["steady"] == attrs.asdict(Findings()), (plan.name, report["steady"])
        assert _read(report) == _expected(plan, publisher), plan.name
    _told_once_an_interval(reports)
    for name in ("ara predictions", "ara market data", "ara alerts"):
        assert reports[name]["messages"]["ping"] >= reports[name]["clients"]
    assert statistics["connections"] == {
        "total": 4 * CLIENTS,
        "channels": {
            "alerts": CLIENTS * 3 // 10,
            "cryptointel": CLIENTS,
            "data-ws": CLIENTS,
            "market-data": CLIENTS * 3 // 10,
            "predictions": CLIENTS * 4 // 10,
            "trading": CLIENTS,
        },
    }
    assert statistics["errors"] == {}


def _last(topic: str, publisher: Publisher) -> int:
    """Give the number of the last event of a topic."""
    channel, _, symbol = topic.partition(":")
    if channel == "price":
        return PRICED.count(PRICED.newest(publisher.prices, {symbol}))
    return publisher.rows if channel == "predictions" else publisher.others


def _topics(plan: Plan) -> dict[str, int]:
    """Give the topics that all clients of a plan together read, with the number of clients for each."""
    match plan.name:
        case "cryptointel":
            names = [*(f"price:{symbol}" for symbol in PRICED.symbols), "signals:all"]
        case "ara alerts":
            names = ["alerts:all"]
        case "trading, all":
            names = ["signals:all", "trades:all"]
        case "trading, some prices":
            names = ["signals:all"]
        case "trading, prices":
            names = []
        case _:  # one symbol each
            channel = "price" if plan.name == "ara market data" else "predictions"
            places = range(plan.clients)
            dealt = [place % len(PREDICTED) for place in places]
            return {f"{channel}:{PREDICTED[place]}": dealt.count(place) for place in set(dealt)}
    return dict.fromkeys(names, plan.clients)


def _expected(plan: Plan, publisher: Publisher) -> dict[str, Any]:
    """Say what the clients of a plan have read: of each topic every event, from the first to the last."""
    return {
        topic: {"clients": clients, "first": [1, 1], "last": [_last(topic, publisher)] * 2}
        for topic, clients in _topics(plan).items()
    }


def _read(report: Mapping[str, Any]) -> dict[str, Any]:
    return {topic: seen for topic, seen in report["topics"].items() if topic != "system:status"}


def _arrived(
    halves: Mapping[tuple[str, str], Half], plans: Mapping[str, Sequence[Plan]], publisher: Publisher
) -> dict[str, dict[str, Any]]:
    """Wait until all clients have the last of everything, and give the report of each plan."""
    return {
        plan.name: _report(half, plan, publisher)
        for families, half in halves.items()
        for plan in itertools.chain.from_iterable(plans[name] for name in families)
    }


def _report(half: Half, plan: Plan, publisher: Publisher) -> dict[str, Any]:
    topics = _topics(plan)
    ends = {topic: _last(topic, publisher) for topic, clients in topics.items() if clients == plan.clients}
    if stream := plan.streams.get(PRICES):
        ends[PRICES] = PRICED.newest(publisher.prices, stream.chosen or PRICED.symbols)
    if PORTFOLIO in plan.streams:
        ends[PORTFOLIO] = publisher.rows
    for topic, last in ends.items():
        if last == 0:
            continue
        done = half.tell("reach", party=plan.name, topic=topic, offset=last, seconds=PATIENCE)["done"]
        assert done, (topic, half.tell("report", party=plan.name))
    if not ends:  # a symbol each, whose first event came before the count
        events = sum(clients * (_last(topic, publisher) - 1) for topic, clients in topics.items())
        done = half.tell("await", party=plan.name, deliveries=events, seconds=PATIENCE)["done"]
        assert done, half.tell("report", party=plan.name)
    return half.tell("report", party=plan.name)


def _told_once_an_interval(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Each beat is there for each client, in one rendering for all; that none is late by half of an interval is in the
    findings already.
    """
    everything = reports["trading, all"]["streams"]
    for name, interval, report in _streams(reports):
        stream = report["streams"][name]
        beats = len(stream["at"])
        assert stream["clients"] == report["clients"]
        assert stream["beats"] == [beats, beats]
        assert stream["texts"] == beats
        assert beats >= SECONDS / interval - 1
    # Who has asked for all prices has made the choice that everybody has to begin with.
    assert reports["trading, prices"]["streams"][PRICES]["at"] == everything[PRICES]["at"]


def _streams(
    reports: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, float, Mapping[str, Any]]]:
    intervals = {PRICES: PRICE_INTERVAL, PORTFOLIO: PORTFOLIO_INTERVAL}
    for report in reports.values():
        for name in report["streams"]:
            yield name, intervals[name], report


def _beats(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, interval, report in _streams(reports):
        stream = report["streams"][name]
        yield (
            f"{name} of {report['clients']} trading clients: {len(stream['at'])} beats of {interval:g} s, "
            f"at most {1000 * stream['off']:.0f} ms off, {stream['texts']} texts"
        )
