from __future__ import annotations

from typing import Any

import pytest

from appliance.core.errors import ErrorCode
from appliance.edge import admission
from appliance.edge.admission import Admission
from appliance.edge.policy import Policy
from appliance.settings.tree import LimitSettings, ListenLimits, ListenSettings


def policy(general: LimitSettings | None = None, **own: Any) -> Policy:
    listen = ListenSettings(url="tcp://127.0.0.1:0", limits=ListenLimits(**own))
    limits = general or LimitSettings()
    return Policy(lambda: listen, lambda: limits)


def test_a_listener_has_its_most_connections() -> None:
    door, gate, narrow = Admission(), policy(), policy(connections=2)
    assert [door.connect(narrow) for _ in range(3)] == [True, True, False]
    assert door.connect(gate)
    assert door.connections == 3
    door.disconnect(narrow)
    assert door.connections == 2
    assert door.connect(narrow)


def test_all_listeners_together_have_their_most_connections() -> None:
    limits = LimitSettings(connections=3)
    door, first, second = Admission(), policy(limits), policy(limits, connections=100)
    assert [door.connect(each) for each in (first, second, first, second)] == [True, True, True, False]
    door.disconnect(first)
    assert door.connect(second)


def test_one_session_too_many_is_told_when_to_come_back() -> None:
    door, narrow, gate = Admission(), policy(sessions=1), policy()
    assert door.open(narrow) is None
    refusal = door.open(narrow)
    assert refusal is not None
    assert refusal.code is ErrorCode.CONNECTION_FULL
    assert "limits.sessions" in refusal.message
    assert refusal.retry_after > 0
    assert door.open(gate) is None
    assert door.sessions == 2
    door.close(narrow)
    assert door.open(narrow) is None


def test_all_listeners_together_have_their_most_sessions() -> None:
    limits = LimitSettings(sessions=2)
    door, first, second = Admission(), policy(limits), policy(limits)
    assert [door.open(each) is None for each in (first, second, first, second)] == [True, True, False, False]


def test_an_address_has_its_connections_a_minute() -> None:
    door, gate = Admission(), policy(connections_per_minute=2)
    assert [door.greet(gate, "192.0.2.1", now) for now in (0, 0)] == [None, None]
    refusal = door.greet(gate, "192.0.2.1", 0)
    assert refusal is not None
    assert refusal.code is ErrorCode.RATE_LIMITED
    assert refusal.retry_after == pytest.approx(30)
    assert "limits.connections_per_minute" in refusal.message
    assert door.greet(gate, "192.0.2.2", 0) is None
    assert door.greet(policy(connections_per_minute=2), "192.0.2.1", 0) is None
    assert door.greet(gate, "192.0.2.1", 29) is not None
    assert door.greet(gate, "192.0.2.1", 30) is None


def test_a_reload_changes_the_rate() -> None:
    settings = [ListenSettings(url="tcp://127.0.0.1:0", limits=ListenLimits(connections_per_minute=1))]
    limits = LimitSettings()
    door, gate = Admission(), Policy(lambda: settings[-1], lambda: limits)
    assert door.greet(gate, "192.0.2.1", 0) is None
    assert door.greet(gate, "192.0.2.1", 0) is not None
    settings.append(ListenSettings(url="tcp://127.0.0.1:0", limits=ListenLimits(connections_per_minute=5)))
    assert [door.greet(gate, "192.0.2.1", 0) is None for _ in range(6)] == [True] * 5 + [False]


def test_addresses_that_have_been_quiet_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_REMEMBERED", 4)
    door, gate = Admission(), policy(connections_per_minute=1)
    for number in range(3):
        assert door.greet(gate, f"quiet {number}", 0) is None
    assert door.greet(gate, "busy", 50) is None
    assert door.greet(gate, "new", 61) is None
    assert door.greet(gate, "busy", 61) is not None
    assert door.greet(gate, "quiet 0", 61) is None


def test_who_asks_has_its_requests_a_minute() -> None:
    door, gate = Admission(), policy(messages_per_minute=2, connections_per_minute=1)
    alice, bob = ("alice", "192.0.2.1"), ("bob", "192.0.2.1")
    assert [door.ask(gate, alice, now) for now in (0, 0)] == [None, None]
    refusal = door.ask(gate, alice, 0)
    assert refusal is not None
    assert refusal.code is ErrorCode.RATE_LIMITED
    assert refusal.retry_after == pytest.approx(30)
    assert "limits.messages_per_minute" in refusal.message
    assert door.ask(gate, bob, 0) is None
    assert door.ask(policy(messages_per_minute=2), alice, 0) is None
    assert door.ask(gate, alice, 30) is None


def test_requests_are_no_connections() -> None:
    door, gate = Admission(), policy(messages_per_minute=1, connections_per_minute=1)
    assert door.ask(gate, "192.0.2.1", 0) is None
    assert door.greet(gate, "192.0.2.1", 0) is None
    assert door.ask(gate, "192.0.2.1", 0) is not None


def test_no_number_of_those_who_ask_is_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_REMEMBERED", 4)
    door, gate = Admission(), policy(messages_per_minute=1)
    for number in range(50):
        assert door.ask(gate, f"busy {number}", 0) is None
    assert door.ask(gate, "busy 49", 0) is not None
    assert door.ask(gate, "busy 0", 0) is None


def test_no_number_of_busy_addresses_is_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MOST_REMEMBERED", 4)
    door, gate = Admission(), policy(connections_per_minute=1)
    for number in range(50):
        assert door.greet(gate, f"busy {number}", 0) is None
    assert door.greet(gate, "busy 49", 0) is not None
    assert door.greet(gate, "busy 0", 0) is None
