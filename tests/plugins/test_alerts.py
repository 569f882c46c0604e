from __future__ import annotations

from typing import Any

import msgspec
import pytest

from appliance.api import Event, Mode
from appliance.testing import RecordingFeed
from tests.plugins.built_in import assert_refused, assert_taken, channel, events, topics


def alert(**data: Any) -> Event:
    return Event("alerts", "BTC", {"type": "price_alert", "message": "Price exceeded $150", **data}, 0.0)


def test_every_alert_counts_for_a_day() -> None:
    alerts = channel("alerts")
    assert (alerts.mode, alerts.message) == (Mode.LOG, "alert")
    assert alerts.topics == ("all", "symbol:*", "severity:*", "type:*")
    assert alerts.history.age == 86_400


def test_the_market_fits() -> None:
    schema = channel("alerts").schema
    assert schema is not None
    for event in events("alerts"):
        known: Any = msgspec.convert(event.data, schema, strict=True)
        assert None not in msgspec.structs.astuple(known)


def test_an_alert_is_in_the_topics_of_all_that_it_is() -> None:
    assert topics(alert(symbol="AAPL", severity="high")) == [
        "all",
        "symbol:AAPL",
        "severity:high",
        "type:price_alert",
    ]


@pytest.mark.parametrize("data", [{}, {"symbol": None, "severity": None}, {"symbol": ""}])
def test_an_alert_without_symbol_and_severity_is_in_no_topic_of_those(data: dict[str, Any]) -> None:
    assert topics(alert(**data)) == ["all", "type:price_alert"]


def test_a_row_needs_a_type_and_a_message() -> None:
    row = {"type": "price_alert", "symbol": "AAPL", "message": "Price exceeded $150", "severity": "high"}
    assert_taken("alerts", row)
    assert_refused("alerts", {"type": "price_alert"}, "message")
    assert_refused("alerts", {"message": "Price exceeded $150"}, "type")
    assert_refused("alerts", {**row, "severity": "urgent"}, "severity")
    assert_refused("alerts", {**row, "symbol": 5}, "symbol")


async def test_fields_that_nobody_knows_reach_clients() -> None:
    feed = RecordingFeed(channel("alerts"))
    data = {"type": "outage", "message": "Feed lost", "id": 7, "where": {"exchange": "X"}}
    await feed.publish(data, key="outage")
    assert [event.data for event in feed.events] == [data]
