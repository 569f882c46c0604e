from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.core import chain
from appliance.core.errors import ErrorCode
from appliance.core.events import Mode
from appliance.core.history import Retention, Topic
from appliance.core.outbox import Outbox
from appliance.ops.metrics.clients import CLIENTS
from appliance.runtime.census import Usage
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import Settings
from tests.ops.metrics.panel import Session, buckets, observed, panel, scraped, value, values

if TYPE_CHECKING:
    from appliance.runtime.status import Traffic

OUTER, INNER = "tls://0.0.0.0:8443", "unix:/run/appliance.sock"


def owing(events: int) -> Outbox:
    topic = Topic("t:a", Mode.LOG, "m", "e", Retention(count=1000, age=None, size=1 << 30))
    outbox = Outbox(lambda _: None, chain.root(), burst=1000)
    outbox.shut()
    for _ in range(events):
        outbox.offer(topic, topic.append(b"{}", at=0, received=0).offset, b"")
    return outbox


async def test_who_is_connected_where_and_how_many_more_could_be() -> None:
    instruments = panel(
        listeners=lambda: {OUTER: Usage(70, 60, 12_000, 10_000), INNER: Usage(2, 1, 5, 4)},
        settings=lambda: Settings(limits=LimitSettings(connections=12_000, sessions=10_000)),
    )
    assert await value(instruments, "appliance_connections") == 72
    assert await value(instruments, "appliance_connections_limit") == 12_000
    assert await value(instruments, "appliance_sessions_limit") == 10_000
    for family, wanted in {
        "appliance_listener_connections": (70, 2),
        "appliance_listener_connections_limit": (12_000, 5),
        "appliance_listener_sessions": (60, 1),
        "appliance_listener_sessions_limit": (10_000, 4),
    }.items():
        assert await values(instruments, family) == dict(zip([(OUTER,), (INNER,)], wanted, strict=True))


async def test_sessions_by_what_they_are_and_what_they_are_owed() -> None:
    instruments = panel()
    traffic = instruments.status.traffic
    sessions = [
        Session(traffic, unaccounted=5, outbox=owing(3)),
        Session(traffic, unaccounted=7, transport="sse", outbox=owing(4)),
        Session(traffic, "trading"),
    ]
    instruments = panel(status=instruments.status, sessions=lambda: sessions)
    assert await values(instruments, "appliance_sessions") == {
        ("cryptointel", "websocket"): 1,
        ("cryptointel", "sse"): 1,
        ("trading", "websocket"): 1,
    }
    assert await value(instruments, "appliance_outbox_events") == 7
    assert await value(instruments, "appliance_outbox_events_max") == 4
    assert await value(instruments, "appliance_sent_bytes") == 12


def fill(traffic: Traffic) -> None:
    traffic.opened, traffic.closed, traffic.received_messages = 11, 4, 99
    traffic.add((1_000, 2_000, 30, 5), beyond=(0, 0, 0, 0))
    for recovered in (True, True, False):
        traffic.resumed(recovered)


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("appliance_sessions_opened", 11),
        ("appliance_sessions_closed", 4),
        ("appliance_received_messages", 99),
        ("appliance_received_bytes", 1_000),
        ("appliance_sent_bytes", 2_000),
        ("appliance_conflated_events", 30),
        ("appliance_gaps", 5),
    ],
)
async def test_what_clients_did_is_counted(family: str, wanted: float) -> None:
    instruments = panel()
    fill(instruments.status.traffic)
    assert (await scraped(instruments))[family].type == "counter"
    assert await value(instruments, family) == wanted


async def test_who_came_back_is_counted_by_what_it_got() -> None:
    instruments = panel()
    fill(instruments.status.traffic)
    assert await values(instruments, "appliance_resumptions") == {("recovered",): 2, ("unrecovered",): 1}


async def test_what_the_flusher_did_is_counted() -> None:
    instruments = panel()
    instruments.flusher.deliveries = 12_345
    instruments.flusher.dropped["stalled"] += 2
    observed(instruments.flusher.latency, 0.001, 0.002, 0.5)
    assert await value(instruments, "appliance_deliveries") == 12_345
    assert await value(instruments, "appliance_sessions_behind") == 0
    instruments.relief.ended["memory"] += 4
    assert await values(instruments, "appliance_sessions_dropped") == {
        ("stalled",): 2,
        ("history",): 0,
        ("owed",): 0,
        ("memory",): 4,
    }
    edges, count, total = await buckets(instruments, "appliance_delivery_latency_seconds")
    assert (edges["0.002048"], edges["+Inf"], count) == (2, 3, 3)
    assert total == pytest.approx(0.503)


async def test_errors_are_counted_by_code_each_of_the_protocol_from_the_start() -> None:
    instruments = panel()
    assert await values(instruments, "appliance_errors") == {(code.value,): 0 for code in ErrorCode}
    instruments.status.traffic.errors[ErrorCode.RATE_LIMITED] += 3
    instruments.status.traffic.errors["slow_head"] += 2
    found = await values(instruments, "appliance_errors")
    assert (found["RATE_LIMITED",], found["slow_head",], found["UNAUTHORIZED",]) == (3, 2, 0)


def test_no_label_has_a_value_for_each_client_or_topic() -> None:
    assert {label for family in CLIENTS for label in family.labels} == {
        *("dialect", "transport", "listener", "reason", "outcome", "code"),
    }
