"""What the appliance says of itself is as it is described."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.core.histogram import Histogram
from appliance.core.scope import Scope
from appliance.edge.description import schemas
from appliance.edge.http import bodies
from appliance.loading.ledger import PluginState
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.report import Part, Report
from appliance.runtime.status import Health, Sample, Status
from appliance.settings.tree import Settings
from tests.edge.description.described import misfits

SAMPLE = Sample(
    at=0, deliveries=1, sent_bytes=2, received_bytes=3, opened=4, closed=5, errors={"RATE_LIMITED": 6}
)
OWN = Part(Scope(read=("price:*",)), is_own=lambda _: True)


@pytest.fixture
def report() -> Report:
    status = Status(lambda: SAMPLE)
    status.health["price"] = Health(running=True, started_at=1.0, last_update=2.0, lag=0.5)
    status.health["broken"] = Health(errors=2, last_error="OSError: away", quarantined="floods")
    status.traffic.errors["INVALID_CHANNEL"] += 1
    status.look()
    return Report(
        status=status,
        latency=Histogram(),
        sessions=tuple,
        connections=lambda: 9,
        settings=Settings,
        store=Journal(Hub(epoch="e", most_topics=1, most_bytes=1_024)).statistics,
        plugins=lambda: (
            PluginState(
                name="price", file="price.py", origin="built-in", state="loaded", channels=("price",)
            ),
        ),
    )


def described(kind: type, told: Any) -> list[str]:
    (schema,), parts = schemas.made([kind])
    return misfits({"components": {"schemas": parts}}, schema, json.loads(json.dumps(told)))


@pytest.mark.parametrize("part", [None, OWN])
def test_the_statistics(report: Report, part: Part | None) -> None:
    told = report.statistics(part)
    assert described(bodies.Statistics, told) == []
    assert ("errors" in told) is (part is None)
    assert described(bodies.Statistics, {**told, "more": 1}) != []


@pytest.mark.parametrize("part", [None, OWN])
def test_the_status_of_the_trading_stream_system(report: Report, part: Part | None) -> None:
    assert described(bodies.SocketStatus, report.socket_status(part)) == []


def test_an_idempotency_key_is_visible() -> None:
    for key, right in (("a-b.c", True), ("", False), ("a b", False), ("é", False), ("x" * 256, False)):
        event = {"channel": "price", "key": "BTC", "data": {}, "idempotency_key": key}
        assert (described(bodies.LoneEvent, event) == []) is right
