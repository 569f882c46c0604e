"""How those who are let in are told: once in a while."""

from __future__ import annotations

from structlog.testing import capture_logs

from appliance.access.principals import Principal
from appliance.access.visits import EVERY, MOST, Visits

ANN = Principal("ann", credential="k-1")


def test_a_visitor_is_told_once_in_a_while() -> None:
    visits = Visits()
    with capture_logs() as log:
        for now in (0.0, 1.0, EVERY - 1, EVERY, EVERY + 1):
            visits.note(ANN, "192.0.2.1", "header", now)
    assert log == 2 * [
        {
            "event": "let in",
            "log_level": "info",
            "client": "192.0.2.1",
            "way": "header",
            "principal": "ann",
            "kind": "key",
            "credential": "k-1",
        }
    ]


def test_another_credential_address_or_way_is_another_visitor() -> None:
    visits = Visits()
    with capture_logs() as log:
        visits.note(ANN, "192.0.2.1", "header", 0.0)
        visits.note(ANN, "192.0.2.2", "header", 0.0)
        visits.note(ANN, "192.0.2.1", "query", 0.0)
        visits.note(Principal("ann", credential="k-2"), "192.0.2.1", "header", 0.0)
        visits.note(Principal("bob", credential="k-1"), "192.0.2.1", "header", 0.0)
    assert len(log) == 5


def test_those_told_longest_ago_are_forgotten_first() -> None:
    visits = Visits()
    with capture_logs() as log:
        for number in range(MOST + 1):
            visits.note(ANN, f"address {number}", "header", float(number) / MOST)
        visits.note(ANN, f"address {MOST}", "header", 2.0)
        visits.note(ANN, "address 0", "header", 2.0)
    assert len(log) == MOST + 2
