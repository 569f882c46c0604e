"""What the appliance knows of itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest

from appliance.runtime.status import NOTHING, WINDOW, Health, Rates, Sample, Status, Traffic

START = Sample(at=0, deliveries=0, sent_bytes=0, received_bytes=0, opened=0, closed=0, errors={})


class Meter:
    """Counters that are set by hand."""

    def __init__(self) -> None:
        self.now = START

    def sample(self) -> Sample:
        return self.now

    def at(self, at: float, **counts: Any) -> None:
        self.now = attrs.evolve(self.now, at=at, **counts)


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def status(meter: Meter) -> Status:
    return Status(meter.sample)


def test_it_is_healthy_while_every_producer_runs(status: Status) -> None:
    assert status.healthy
    status.health["price"] = Health(running=True)
    status.health["signals"] = Health(running=True)
    assert status.healthy
    status.health["signals"].running = False
    assert not status.healthy


def test_uptime_is_the_share_of_healthy_looks(status: Status) -> None:
    assert status.uptime == 100
    health = status.health["price"] = Health(running=True)
    for running in (True, True, False, True):
        health.running = running
        status.look()
    assert status.uptime == 75


def test_an_update_is_counted() -> None:
    health = Health()
    health.updated(5.0, 5.0)
    health.updated(6.0, 6.0)
    assert (health.events, health.last_update) == (2, 6.0)


def test_no_rates_before_the_first_look(status: Status) -> None:
    assert status.rates() == Rates()
    status.look()
    assert status.rates() == Rates()


def test_rates_since_the_start(status: Status, meter: Meter) -> None:
    status.look()
    meter.at(10, deliveries=50, sent_bytes=1000, received_bytes=20, opened=5, closed=1)
    assert status.rates() == Rates(
        deliveries=5, sent_bytes=100, received_bytes=2, opened=0.5, closed=0.1, errors={}
    )


def test_rates_of_errors_by_kind(status: Status, meter: Meter) -> None:
    meter.now = attrs.evolve(START, errors=Counter(RATE_LIMITED=5))
    status.look()
    meter.now = attrs.evolve(START, at=10, errors=Counter(RATE_LIMITED=25, INVALID_MESSAGE=10))
    assert status.rates().errors == {"RATE_LIMITED": 2, "INVALID_MESSAGE": 1}


def test_rates_forget_what_is_older_than_the_window(status: Status, meter: Meter) -> None:
    for second in range(300):
        # A burst in the beginning, then one delivery a second.
        meter.at(second, deliveries=10_000 + second if second else 0)
        status.look()
    assert status.rates().deliveries == pytest.approx(1)
    assert WINDOW < 300


def test_a_window_without_looks_keeps_the_last(status: Status, meter: Meter) -> None:
    status.look()
    meter.at(10 * WINDOW, deliveries=600)
    status.look()
    meter.at(10 * WINDOW + 1, deliveries=601)
    assert status.rates().deliveries == pytest.approx(1)


def test_what_sessions_have_counted_is_added_once() -> None:
    traffic = Traffic()
    traffic.add((1, 20, 0, 0), beyond=NOTHING)
    traffic.add((3, 25, 7, 1), beyond=(1, 20, 0, 0))
    assert (traffic.received_bytes, traffic.sent_bytes, traffic.conflated, traffic.gaps) == (3, 25, 7, 1)


def test_readers_that_came_back_are_counted_by_what_they_got() -> None:
    traffic = Traffic()
    for recovered in (True, False, True):
        traffic.resumed(recovered)
    assert (traffic.recovered, traffic.unrecovered) == (2, 1)


def test_a_channel_that_has_published_is_able_to() -> None:
    health = Health(running=True)
    assert not health.able
    health.updated(2.0, 1.0)
    assert health.able
