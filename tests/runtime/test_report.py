"""What the appliance says of itself."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance.core.histogram import Histogram
from appliance.runtime.report import Report
from appliance.runtime.status import Health, Sample, Status
from appliance.settings.fields import Seconds
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import HeartbeatSettings, Settings, TradingSettings
from appliance.testing import RecordingFeed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio.testing import MockClock


@attrs.frozen(eq=False)
class Session:
    dialect: str
    details: Mapping[str, Any] = attrs.field(factory=dict)


SESSIONS = (
    Session("cryptointel"),
    Session("cryptointel", {"channel": "sse"}),
    Session("trading", {"client_id": "c1"}),
    Session("trading", {"client_id": "c1"}),
    Session("data-ws"),
    Session("ara", {"channel": "predictions", "symbol": "BTC", "connection_id": "1"}),
    Session("ara", {"channel": "predictions", "symbol": "ETH", "connection_id": "2"}),
    Session("ara", {"channel": "alerts", "connection_id": "3"}),
)


@pytest.fixture
def status() -> Status:
    samples = iter(range(0, 10_000, 10))

    def sample() -> Sample:
        """Ten seconds pass between two looks, and so many of each happen a second."""
        at = next(samples)
        return Sample(
            at=at,
            deliveries=3 * at,
            sent_bytes=100 * at,
            received_bytes=7 * at,
            opened=2 * at,
            closed=at,
            errors={"RATE_LIMITED": 4 * at},
        )

    return Status(sample)


@pytest.fixture
def report(status: Status) -> Report:
    status.look()
    return reporting(status)


def reporting(
    status: Status, settings: Settings | None = None, sessions: tuple[Session, ...] = SESSIONS
) -> Report:
    return Report(
        status=status,
        latency=Histogram(),
        sessions=lambda: sessions,
        connections=lambda: 9,
        settings=lambda: settings or Settings(),
    )


def test_the_status_of_the_protocol(report: Report) -> None:
    told = report.system_status()
    assert dt.datetime.fromisoformat(told.pop("timestamp")).utcoffset() == dt.timedelta(0)
    assert told == {
        "status": "healthy",
        "active_connections": 8,
        "messages_per_second": 3.0,
        "uptime": 100.0,
    }


def test_a_producer_that_does_not_run_degrades(report: Report, status: Status) -> None:
    status.health["price"] = Health(running=False, errors=2, last_error="OSError: away", events=7)
    status.look()
    told = report.statistics()
    assert told["status"] == "degraded"
    assert told["uptime"] == 50
    assert told["channels"].keys() == {"price"}
    wanted = {
        "is_healthy": False,
        "started_at": None,
        "last_update": None,
        "events": 7,
        "error_count": 2,
        "recovery_attempts": 0,
        "last_error": "OSError: away",
    }
    assert told["channels"]["price"].items() >= wanted.items()


def test_the_times_of_a_producer(report: Report, status: Status) -> None:
    status.health["price"] = Health(running=True, started_at=1_700_000_000.0, last_update=1_700_000_001.5)
    told = report.statistics()["channels"]["price"]
    assert (told["is_healthy"], told["started_at"], told["last_update"]) == (
        True,
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:21.500Z",
    )


def test_statistics_measure(report: Report, status: Status) -> None:
    report.latency.observe(0.002, 3)
    report.latency.observe(0.006)
    status.traffic.errors["RATE_LIMITED"] += 5
    told = report.statistics()
    assert told["open_connections"] == 9
    assert told["errors"] == {"RATE_LIMITED": 5}
    assert told["errors_per_minute"] == {"RATE_LIMITED": 240}
    assert told["bandwidth"]["sent_bytes_per_second"] == 100
    assert told["bandwidth"]["received_bytes_per_second"] == 7
    assert told["churn"]["opened_per_minute"] == 120
    assert told["churn"]["closed_per_minute"] == 60
    latency = told["delivery_latency_ms"]
    assert (latency["mean"], latency["max"]) == (3, 6)
    assert 2 <= latency["p50"] <= 2.4
    assert latency["p99"] == 6
    assert told["uptime_seconds"] >= 0


def test_all_of_it_is_json(report: Report, status: Status) -> None:
    status.health["price"] = Health(running=True)
    for told in (report.statistics(), report.socket_status()):
        assert json.loads(json.dumps(told)) == told


def test_sessions_are_counted_by_what_they_are_on(report: Report, status: Status) -> None:
    wanted = {
        "total": 8,
        "channels": {"alerts": 1, "cryptointel": 1, "data-ws": 1, "predictions": 2, "sse": 1, "trading": 2},
    }
    assert report.sessions_by_channel() == wanted
    assert report.statistics()["connections"] == wanted
    assert reporting(status, sessions=()).sessions_by_channel() == {"total": 0, "channels": {}}


def test_the_status_of_the_sockets_is_in_the_words_of_trading_stream(report: Report, status: Status) -> None:
    status.health["price"] = Health(running=True, started_at=1_700_000_000.0, last_update=1_700_000_001.5)
    status.health["signals"] = Health(errors=2, recovery_attempts=1, last_error="OSError: away")
    told = report.socket_status()
    health = told.pop("stream_health")
    assert told == {
        "enabled": True,
        "active_connections": 8,
        "max_connections": 10_000,
        "ping_interval": 30,
        "price_update_interval": 3,
        "portfolio_update_interval": 5,
        "clients": ["c1", "c1"],
    }
    assert [type(told[name]) for name in told if name.endswith("interval")] == [int, int, int]
    assert health.keys() == {"price_updates", "signals"}
    assert (
        health["price_updates"].items()
        >= {
            "is_healthy": True,
            "started_at": "2023-11-14T22:13:20.000Z",
            "last_update": "2023-11-14T22:13:21.500Z",
            "error_count": 0,
            "recovery_attempts": 0,
        }.items()
    )
    assert (
        health["signals"].items()
        >= {"is_healthy": False, "last_update": None, "error_count": 2, "recovery_attempts": 1}.items()
    )


def test_the_status_of_the_sockets_has_the_settings_of_the_moment(status: Status) -> None:
    settings = Settings(
        limits=LimitSettings(sessions=100),
        heartbeat=HeartbeatSettings(interval=Seconds(12.5)),
        trading=TradingSettings(enabled=False, price_interval=Seconds(0.5), portfolio_interval=Seconds(60.0)),
    )
    told = reporting(status, settings, ()).socket_status()
    assert (
        told.items()
        >= {
            "enabled": False,
            "active_connections": 0,
            "max_connections": 100,
            "ping_interval": 12.5,
            "price_update_interval": 0.5,
            "portfolio_update_interval": 60,
            "clients": [],
        }.items()
    )


async def test_it_is_a_channel_too(report: Report, autojump_clock: MockClock) -> None:  # noqa: ARG001 - time flies
    configured = report.channel("system:status", every=lambda: 10.0)
    assert (configured.channel.name, configured.channel.topics) == ("system", ("status",))
    assert not configured.publishable
    feed = RecordingFeed(configured.channel)
    assert configured.channel.produce is not None
    with trio.move_on_after(25):
        await configured.channel.produce(feed, configured.told)
    assert [event.key for event in feed.events] == ["status"] * 3
    assert feed.events[0].data.keys() == report.system_status().keys()


def test_a_line_says_what_there_is_to_do_and_what_fails(report: Report, status: Status) -> None:
    assert report.summary() == "8 sessions, 3 messages a second"
    status.health |= {"price": Health(running=False), "trades": Health(running=True), "alerts": Health()}
    failing = "8 sessions, 3 messages a second; channels that fail: alerts, price"
    assert report.summary() == failing
    assert (
        attrs.evolve(report, store=lambda: {"is_healthy": False}).summary() == f"{failing}; nothing is kept"
    )
