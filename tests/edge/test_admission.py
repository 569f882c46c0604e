from __future__ import annotations

from typing import Any

import pytest

from appliance.access.principals import Kind, Principal
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode
from appliance.edge.admission import MOST_TOLD, Admission, Place
from appliance.edge.policy import Policy
from appliance.runtime.census import Usage
from appliance.settings.limits import LimitSettings, ListenLimits
from appliance.settings.tree import ListenSettings


def policy(general: LimitSettings | None = None, **own: Any) -> Policy:
    listen = ListenSettings(url="tcp://127.0.0.1:0", limits=ListenLimits(**own))
    limits = general or LimitSettings()
    return Policy(lambda: listen, lambda: limits)


def come(door: Admission, policy: Policy, address: str = "192.0.2.1") -> Place:
    """Connect from an address, and be told where there is no room."""
    place = door.connect(policy)
    assert place is not None
    assert door.settle(place, policy.origin(address))
    return place


def test_a_listener_has_its_most_connections() -> None:
    door, gate, narrow = Admission(), policy(), policy(connections=2)
    places = [come(door, narrow) for _ in range(3)]
    assert [place.refusal is None for place in places] == [True, True, False]
    refusal = places[2].refusal
    assert refusal is not None
    assert (refusal.code, refusal.limit) == (ErrorCode.CONNECTION_FULL, "connections")
    assert "limits.connections" in refusal.message
    assert refusal.retry_after > 0
    assert come(door, gate).refusal is None
    assert door.connections == 3
    door.disconnect(places[2])
    assert door.connections == 3
    door.disconnect(places[0])
    assert door.connections == 2
    assert come(door, narrow).refusal is None


def test_all_listeners_together_have_their_most_connections() -> None:
    limits = LimitSettings(connections=3)
    door, first, second = Admission(), policy(limits), policy(limits, connections=100)
    places = [come(door, each) for each in (first, second, first, second)]
    assert [place.refusal is None for place in places] == [True, True, True, False]
    door.disconnect(places[0])
    assert come(door, second).refusal is None


def test_an_address_has_its_most_connections() -> None:
    door, gate = Admission(), policy(connections_per_address=2)
    places = [come(door, gate, "2001:db8::1"), come(door, gate, "2001:db8::2")]
    refusal = come(door, gate, "2001:db8::3").refusal
    assert refusal is not None
    assert (refusal.code, refusal.limit) == (ErrorCode.CONNECTION_FULL, "connections_per_address")
    assert "limits.connections_per_address" in refusal.message
    assert come(door, gate, "2001:db8:0:1::1").refusal is None
    assert (door.connections, door.origins, door.most_of_an_origin) == (3, 2, 2)
    door.disconnect(places[0])
    assert come(door, gate, "2001:db8::3").refusal is None


def test_how_much_of_an_address_counts_is_a_setting() -> None:
    limits = LimitSettings(ipv4_prefix=24, ipv6_prefix=128, connections_per_address=1)
    door, gate = Admission(), policy(limits)
    assert come(door, gate, "192.0.2.1").refusal is None
    assert come(door, gate, "192.0.2.200").refusal is not None
    assert come(door, gate, "192.0.3.1").refusal is None
    assert [come(door, gate, each).refusal for each in ("2001:db8::1", "2001:db8::2")] == [None, None]


def test_of_those_who_have_gone_nothing_is_left() -> None:
    door, gate = Admission(), policy()
    for place in [come(door, gate, f"192.0.2.{number}") for number in range(100)]:
        door.disconnect(place)
    assert (door.connections, door.origins, door.most_of_an_origin) == (0, 0, 0)


def test_only_so_many_are_told_at_once_that_there_is_no_room() -> None:
    door, narrow = Admission(), policy(connections=1, connections_per_address=1)
    held = come(door, narrow)
    told = [door.connect(narrow) for _ in range(MOST_TOLD + 1)]
    assert [place is None for place in told] == [False] * MOST_TOLD + [True]
    door.disconnect(held)
    assert come(door, narrow).refusal is None


def test_an_address_over_its_bound_is_closed_where_as_many_are_told_as_may_be() -> None:
    door, narrow = Admission(), policy(connections_per_address=1)
    come(door, narrow)
    for _ in range(MOST_TOLD):
        assert come(door, narrow).refusal is not None
    place = door.connect(narrow)
    assert place is not None
    assert not door.settle(place, "192.0.2.1")
    assert door.connections == 2
    door.disconnect(place)
    assert door.connections == 1


def test_an_address_has_its_connections_of_all_kinds_a_minute() -> None:
    door, gate = Admission(), policy(handshakes_per_minute=2)
    assert [door.knock(gate, "2001:db8::/64", 0) for _ in range(3)] == [True, True, False]
    assert door.knock(gate, "192.0.2.1", 0)
    assert [door.knock(gate, "2001:db8::/64", now) for now in (29, 30)] == [False, True]


def test_an_address_has_its_requests_a_minute() -> None:
    door, gate = Admission(), policy(requests_per_minute=2)
    assert [door.request(gate, "2001:db8::/64", 0) for _ in range(2)] == [None, None]
    refusal = door.request(gate, "2001:db8::/64", 0)
    assert refusal is not None
    assert (refusal.code, refusal.retry_after) == (ErrorCode.RATE_LIMITED, 30)
    assert refusal.limit == "requests_per_minute"
    assert "limits.requests_per_minute" in refusal.message
    assert door.request(gate, "192.0.2.1", 0) is None
    assert door.request(gate, "2001:db8::/64", 30) is None


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


def test_before_a_restart_nobody_is_let_in_and_all_are_told_to_come_back_at_different_times() -> None:
    door, gate = Admission(), policy()
    assert door.open(gate) is None
    door.turn_away(4.0)
    refusals = [door.open(gate) for _ in range(50)]
    assert {refusal.code for refusal in refusals if refusal} == {ErrorCode.SERVER_RESTART}
    waits = [refusal.retry_after for refusal in refusals if refusal]
    assert len(waits) == 50
    assert 0 <= min(waits) < 2 < max(waits) <= 4
    assert door.sessions == 1


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


def test_it_says_how_much_of_a_listener_is_used() -> None:
    door, narrow, gate = Admission(), policy(connections=3, sessions=2), policy()
    place = come(door, narrow)
    come(door, narrow)
    door.open(narrow)
    come(door, gate)
    assert door.usage(narrow) == Usage(connections=2, sessions=1, most_connections=3, most_sessions=2)
    general = LimitSettings()
    assert door.usage(gate) == Usage(1, 0, general.connections, general.sessions)
    door.disconnect(place)
    door.close(narrow)
    assert door.usage(narrow) == Usage(1, 0, 3, 2)


def principal(name: str = "ann", *, kind: Kind = "key", sessions: int | None = None) -> Principal:
    return Principal(name, Entitlements(sessions=sessions), kind=kind)


def test_a_principal_has_its_most_sessions_whichever_way_they_come() -> None:
    door, gate = Admission(), policy()
    ann = principal(sessions=2)
    assert door.open(gate, ann) is None
    assert door.enter(principal(sessions=2)) is None
    refused = door.open(gate, ann)
    assert refused is not None
    assert (refused.code, refused.message) == (
        ErrorCode.CONNECTION_FULL,
        "At most 2 sessions of 'ann' at once",
    )
    assert refused.retry_after > 0
    assert door.sessions == 1
    door.close(gate, ann)
    assert door.open(gate, ann) is None
    door.leave(ann)
    assert door.enter(ann) is None


def test_principals_are_counted_apart() -> None:
    door = Admission()
    assert door.enter(principal(sessions=1)) is None
    assert door.enter(principal("bob", sessions=1)) is None
    assert door.enter(principal(kind="token", sessions=1)) is None
    assert door.enter(principal(sessions=1)) is not None


def test_who_has_no_limit_is_counted_too() -> None:
    """A reload may give it one."""
    door = Admission()
    for _ in range(3):
        assert door.enter(principal()) is None
    assert door.enter(principal(sessions=3)) is not None


def test_a_session_that_the_listener_has_no_room_for_is_none_of_its_principal() -> None:
    door, narrow = Admission(), policy(sessions=1)
    assert door.open(narrow, principal("bob")) is None
    assert door.open(narrow, principal(sessions=1)) is not None
    assert door.enter(principal(sessions=1)) is None


def test_while_memory_is_short_no_session_is_let_in() -> None:
    door, gate = Admission(), policy()
    assert door.open(gate) is None
    door.press(pressed=True)
    refused = door.open(gate)
    assert refused is not None
    assert (refused.code, refused.limit) == (ErrorCode.CONNECTION_FULL, "memory")
    assert refused.retry_after > 0
    door.press(pressed=False)
    assert door.open(gate) is None
