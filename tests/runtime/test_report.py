"""What the appliance says of itself."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from appliance.core.histogram import Histogram
from appliance.runtime.report import Report, timestamp
from appliance.runtime.status import Health, Sample, Status


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
    return Report(status=status, latency=Histogram(), sessions=lambda: 3, connections=lambda: 4)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_a_time_is_in_utc_with_milliseconds(moment: float, text: str) -> None:
    assert timestamp(moment) == text


def test_the_status_of_the_protocol(report: Report) -> None:
    told = report.system_status()
    assert dt.datetime.fromisoformat(told.pop("timestamp")).utcoffset() == dt.timedelta(0)
    assert told == {
        "status": "healthy",
        "active_connections": 3,
        "messages_per_second": 3.0,
        "uptime": 100.0,
    }


def test_a_producer_that_does_not_run_degrades(report: Report, status: Status) -> None:
    status.health["price"] = Health(running=False, errors=2, last_error="OSError: away", events=7)
    status.look()
    told = report.statistics()
    assert told["status"] == "degraded"
    assert told["uptime"] == 50
    assert told["channels"] == {
        "price": {
            "is_healthy": False,
            "started_at": None,
            "last_update": None,
            "events": 7,
            "error_count": 2,
            "recovery_attempts": 0,
            "last_error": "OSError: away",
        }
    }


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
    assert told["open_connections"] == 4
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
    told = report.statistics()
    assert json.loads(json.dumps(told)) == told
