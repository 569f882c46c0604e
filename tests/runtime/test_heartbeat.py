"""Finding clients that have gone without a word."""

# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from appliance.runtime.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio.testing import MockClock

INTERVAL = 64.0
TIMEOUT = 16.0
BEAT = INTERVAL / 64


@attrs.define(eq=False)
class Patient:
    """Notes when it was pinged and given up; one that `answers` sends a byte at each ping."""

    answers: bool = False
    received: int = 0
    pinged: list[float] = attrs.field(factory=list)
    given_up: list[float] = attrs.field(factory=list)

    def ping(self) -> None:
        self.pinged.append(trio.current_time())
        self.received += self.answers

    def gone(self) -> None:
        self.given_up.append(trio.current_time())


async def until(condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        await trio.sleep(BEAT)
    pytest.fail("it does not come")


@pytest.fixture
async def heartbeat(nursery: trio.Nursery) -> Heartbeat:
    made = Heartbeat(interval=INTERVAL, timeout=TIMEOUT)
    await nursery.start(made.run)
    return made


async def test_a_silent_client_is_pinged_and_then_given_up(
    autojump_clock: MockClock, heartbeat: Heartbeat
) -> None:
    patient = Patient()
    leave = heartbeat.watch(patient)
    await until(lambda: patient.given_up)
    leave()
    assert len(patient.pinged) == 1
    assert INTERVAL <= patient.pinged[0] <= 2 * INTERVAL
    assert TIMEOUT <= patient.given_up[0] - patient.pinged[0] <= TIMEOUT + BEAT


async def test_who_answers_is_asked_again_an_interval_later(
    autojump_clock: MockClock, heartbeat: Heartbeat
) -> None:
    patient = Patient(answers=True)
    heartbeat.watch(patient)
    await trio.sleep(20 * INTERVAL)
    assert patient.given_up == []
    assert len(patient.pinged) >= 9
    assert all(
        INTERVAL <= later - earlier <= 2 * INTERVAL for earlier, later in itertools.pairwise(patient.pinged)
    )


async def test_who_talks_is_left_alone(autojump_clock: MockClock, heartbeat: Heartbeat) -> None:
    patient = Patient()
    heartbeat.watch(patient)
    for _ in range(40):
        await trio.sleep(INTERVAL / 2)
        patient.received += 1
    assert (patient.pinged, patient.given_up) == ([], [])


async def test_a_last_word_within_the_timeout_saves(autojump_clock: MockClock, heartbeat: Heartbeat) -> None:
    patient = Patient()
    heartbeat.watch(patient)
    await until(lambda: patient.pinged)
    await trio.sleep(TIMEOUT - 2 * BEAT)
    patient.received += 1
    await trio.sleep(INTERVAL / 2)
    assert patient.given_up == []


async def test_who_has_left_is_forgotten(autojump_clock: MockClock, heartbeat: Heartbeat) -> None:
    before, after = Patient(), Patient()
    leave = heartbeat.watch(before)
    leave_late = heartbeat.watch(after)
    leave()
    leave()
    await until(lambda: after.pinged)
    leave_late()
    await trio.sleep(10 * INTERVAL)
    assert (before.pinged, before.given_up, after.given_up) == ([], [], [])


async def test_who_leaves_when_it_is_given_up_is_given_up_once(
    autojump_clock: MockClock, heartbeat: Heartbeat
) -> None:
    patient = Patient()
    leave = heartbeat.watch(patient)
    await until(lambda: patient.given_up)
    leave()
    await trio.sleep(10 * INTERVAL)
    assert len(patient.given_up) == 1


async def test_pings_are_spread_over_the_interval(autojump_clock: MockClock, heartbeat: Heartbeat) -> None:
    patients = [Patient(answers=True) for _ in range(640)]
    for patient in patients:
        heartbeat.watch(patient)
    await trio.sleep(2 * INTERVAL + BEAT)
    pinged: dict[float, int] = {}
    for patient in patients:
        pinged[patient.pinged[0]] = pinged.get(patient.pinged[0], 0) + 1
    assert set(pinged.values()) == {10}
    assert len(pinged) == 64
