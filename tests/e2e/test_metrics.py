"""`/metrics` and `/ready` of the built file, with real traffic, slow clients and a disk that takes no more."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import resource
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.e2e.running import ANY_PORT, PATIENCE, Running
from tests.e2e.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client.core import Metric

    from tests.e2e.conftest import Start

OPEN = "application/openmetrics-text"
SETTINGS = (
    "sources.simulated.interval=100ms",
    "channels.big.source=publish",
    "channels.big.mode=state",
    "channels.trades.history.durable=true",
    "channels.price.required=true",
)
NAMED = re.compile(r"^\| `([a-z_]+)` \| (\w+) \|", re.MULTILINE)
PLAIN_LISTENER = 1
BIG = 200_000


@pytest.fixture
def running(start: Start) -> Running:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return start("--listen", ANY_PORT, "--listen", "tcp://127.0.0.1:0", *settings)


@contextlib.contextmanager
def asked(running: Running, method: str, path: str, body: Any = None, **headers: str) -> Iterator[Any]:
    client = http.client.HTTPConnection("127.0.0.1", running.port_of(PLAIN_LISTENER), timeout=PATIENCE)
    content = {} if body is None else {"body": json.dumps(body)}
    shown = {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json", **headers}
    try:
        client.request(method, path, headers=shown, **content)  # type: ignore[arg-type]
        yield client.getresponse()
    finally:
        client.close()


def families(running: Running, accept: str = "text/plain") -> dict[str, Metric]:
    """Scrape: the families by the name that a Prometheus knows them by."""
    with asked(running, "GET", "/metrics", Accept=accept) as answer:
        assert answer.status == 200
        assert answer.getheader("content-type").startswith(accept)
        text = answer.read().decode()
    read: Callable[[str], Any] = read_openmetrics if accept == OPEN else read_plain
    return {metric.name: metric for metric in read(text)}


def values(running: Running) -> dict[tuple[str, ...], float]:
    """The values of all samples, by name and values of labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in families(running).values()
        for sample in metric.samples
    }


def wait_for(running: Running, fits: Callable[[dict[tuple[str, ...], float]], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fits(found := values(running)):
        told = {name: value for name, value in found.items() if "bucket" not in name[0]}
        assert time.monotonic() < deadline, told
        time.sleep(0.1)


def publish(running: Running, *events: dict[str, Any], key: str = "") -> int:
    headers = {"Idempotency-Key": key} if key else {}
    with asked(running, "POST", "/api/v1/publish", list(events), **headers) as answer:
        return int(answer.status)


def big(number: int) -> dict[str, Any]:
    return {"channel": "big", "key": "a", "data": {"number": number, "filler": "x" * BIG}}


@contextlib.contextmanager
def slow(running: Running) -> Iterator[Wire]:
    """A client that takes little at a time, and reads only when the test does."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", running.port_of(PLAIN_LISTENER)))
    with Wire(sock) as wire:
        wire.upgrade(running.key)
        wire.say({"type": "subscribe", "channels": ["big:a"]})
        wire.message("subscribed")
        yield wire


def test_every_metric_is_there_once_there_was_something_of_each(running: Running, root: Path) -> None:
    before = families(running)
    with running.connect() as client:
        client.send(json.dumps({"type": "subscribe", "channels": ["price:BTC", "nowhere:at-all"]}))
        position = subscribe_again(client)
        assert publish(running, big(0), key="one") == 200
        assert publish(running, big(0), key="one") == 200
        assert publish(running, {"channel": "nowhere", "key": "a", "data": {}}) == 422
        with (
            asked(running, "GET", "/sse?channels=price:BTC") as stream,
            polling(running, "big:nothing"),
            slow(running) as behind,
        ):
            assert stream.readline()
            for number in range(20):
                assert publish(running, big(number)) == 200
            wait_for(
                running,
                lambda found: (
                    found["appliance_sessions_behind",] >= 1
                    and found["appliance_outbox_events",] >= found["appliance_outbox_events_max",] >= 1
                    and all(found.get(("appliance_sessions", "cryptointel", how)) for how in ("sse", "poll"))
                ),
            )
            while behind.message()["type"] != "gap":
                pass
    with running.connect() as client:
        client.send(json.dumps({"type": "subscribe", "channels": ["price:BTC"], "recover": position}))
        subscribe_again(client)
        found = values(running)
        at_least = {
            ("appliance_sessions", "cryptointel", "websocket"): 1,
            ("appliance_sessions_opened_total",): 5,
            ("appliance_deliveries_total",): 5,
            ("appliance_delivery_latency_seconds_count",): 5,
            ("appliance_sent_bytes_total",): BIG,
            ("appliance_received_bytes_total",): 200,
            ("appliance_received_messages_total",): 3,
            ("appliance_conflated_events_total",): 1,
            ("appliance_gaps_total",): 1,
            ("appliance_resumptions_total", "recovered"): 1,
            ("appliance_errors_total", "INVALID_CHANNEL"): 1,
            ("appliance_publish_requests_total", "accepted"): 21,
            ("appliance_publish_requests_total", "repeated"): 1,
            ("appliance_publish_requests_total", "refused"): 1,
            ("appliance_publish_events_total",): 21,
            ("appliance_channel_events_total", "big"): 21,
            ("appliance_channel_topics", "price"): 6,
            ("appliance_channel_healthy", "price"): 1,
            ("appliance_store_kept_events",): 1,
            ("appliance_store_write_seconds_count",): 1,
            ("appliance_store_file_bytes",): 4_096,
            ("appliance_loop_delay_seconds_count",): 1,
            ("appliance_certificate_expiry_timestamp_seconds",): time.time(),
            ("appliance_plugins", "loaded"): 5,
            ("appliance_ready",): 1,
            ("appliance_store_mode", "disk"): 1,
        }
        assert {
            name: found.get(name) for name, least in at_least.items() if found.get(name, -1) < least
        } == {}
        for when in ("source", "received"):
            assert 0 <= time.time() - found[f"appliance_channel_{when}_timestamp_seconds", "price"] < PATIENCE
        assert_complete(running, root)
        assert_only_more(before, families(running))


def subscribe_again(client: Any) -> dict[str, Any]:
    """Read to the answer, and on to an event; gives where to go on."""
    while (message := json.loads(client.recv(PATIENCE)))["type"] != "subscribed":
        pass
    [topic] = message["channels"]
    while json.loads(client.recv(PATIENCE))["type"] != "price_update":
        pass
    return {topic["channel"]: {"epoch": topic["epoch"], "offset": topic["offset"]}}


@contextlib.contextmanager
def polling(running: Running, topic: str) -> Iterator[None]:
    """Wait for what does not come, until the block ends."""
    client = http.client.HTTPConnection("127.0.0.1", running.port_of(PLAIN_LISTENER), timeout=PATIENCE)
    path = f"/api/v1/topics/{topic}/events?wait=30"
    thread = threading.Thread(
        target=client.request, args=("GET", path), kwargs={"headers": {"X-API-Key": running.key}}, daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
        client.close()


def assert_complete(running: Running, root: Path) -> None:
    """All that is documented is told, with a value and in both forms, and nothing else is."""
    documented = dict(NAMED.findall((root / "docs" / "metrics.md").read_text(encoding="utf-8")))
    for accept in ("text/plain", OPEN):
        told = families(running, accept)
        named = {
            next(iter({sample.name for sample in metric.samples} & documented.keys()), metric.name): metric
            for metric in told.values()
        }
        assert named.keys() == documented.keys()
        assert [name for name, metric in named.items() if not metric.samples] == []
        kinds = {name: metric.type for name, metric in named.items()}
        # The older text has no such thing as an info.
        assert kinds == {
            name: "gauge" if kind == "info" and accept != OPEN else kind for name, kind in documented.items()
        }


def assert_only_more(before: dict[str, Metric], after: dict[str, Metric]) -> None:
    """No counter has fallen, with sessions that came and went."""
    for name, metric in before.items():
        if metric.type in {"counter", "histogram"}:
            now = {(sample.name, *sample.labels.values()): sample.value for sample in after[name].samples}
            for sample in metric.samples:
                assert now[sample.name, *sample.labels.values()] >= sample.value, sample


def test_a_disk_that_takes_no_more_shows_and_that_it_takes_again(running: Running) -> None:
    wait_for(running, lambda found: found["appliance_store_kept_events",] > 0)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    wait_for(
        running,
        lambda found: (
            found["appliance_store_mode", "memory"] == 1 and found["appliance_store_behind_events",] > 0
        ),
    )
    status, told = running.get("/ready")
    assert (status, told["ready"]) == (200, True)
    assert told["reasons"][0].startswith("nothing can be kept, streaming goes on in memory: ")
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    wait_for(
        running,
        lambda found: (
            found["appliance_store_mode", "disk"] == 1 and found["appliance_store_behind_events",] == 0
        ),
    )
    assert running.get("/ready") == (200, {"ready": True, "reasons": []})


def test_it_is_not_ready_while_a_required_channel_is_stale(start: Start) -> None:
    settings = (
        "channels.news.source=publish",
        "channels.news.required=true",
        "channels.news.stale_after=1s",
        "producers.silences=0",
        "restart.first=50ms",
        "restart.most=100ms",
    )
    words = [word for setting in settings for word in ("--set", setting)]
    running = start("--listen", ANY_PORT, "--listen", "tcp://127.0.0.1:0", *words)
    wait_for_ready(running, ready=False)
    [reason] = running.get("/ready")[1]["reasons"]
    assert reason.startswith("channel news: ")
    with asked(running, "GET", "/ready", Authorization="") as balancer:
        assert (balancer.status, json.loads(balancer.read())) == (503, {"ready": False})
    news = {"channel": "news", "key": "a", "data": {}}
    wait_for_ready(running, ready=True, meanwhile=lambda: publish(running, news))
    wait_for(running, lambda found: found["appliance_ready",] == 0)


def wait_for_ready(running: Running, *, ready: bool, meanwhile: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := running.get("/ready"))[0] != (200 if ready else 503):
        assert time.monotonic() < deadline, found
        meanwhile()
        time.sleep(0.02)
