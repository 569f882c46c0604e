from __future__ import annotations

import json
import math
from typing import Any

import pytest

from plugins.alerts.notes import Known, key_name, window_name
from plugins.alerts.track import Track
from plugins.alerts.windows import Window

PLACE = ("price", "BTC")


def track() -> Track:
    made = Track(PLACE, {"price": Window(60.0, 100)})
    for at, price in ((5.0, 1), (6.0, 2)):
        made.take({"price": price}, at)
        made.windows["price"].add(at, price)
    return made


def notes(made: Track, **asked: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {"begun": None, "waits": True, "compares": False}
    return dict(made.notes("r", **{**usual, **asked}))


def test_an_event_knows_where_it_comes_from() -> None:
    made = track()
    assert made.event == {"price": 2, "key": "BTC", "channel": "price", "at": 6.0, "data": {"price": 2}}
    assert made.before is not None
    assert made.before["at"] == 5.0


def test_windows_are_noted_as_far_as_they_changed() -> None:
    made = track()
    window = window_name("r", PLACE, "price", 0)
    assert notes(made) == {key_name("r", PLACE): {"at": 6.0}, window: "[5.0,1.0,6.0,2.0]"}
    assert notes(made) == {key_name("r", PLACE): {"at": 6.0}}
    assert set(made.names("r")) == {key_name("r", PLACE), window}


@pytest.mark.parametrize(
    ("asked", "noted"),
    [
        ({}, {}),
        ({"begun": 7.0}, {"begun": 7.0, "data": {"price": 2}}),
        ({"compares": True}, {"data": {"price": 2}}),
        (
            {"begun": 7.0, "compares": True},
            {"begun": 7.0, "data": {"price": 2}, "before": {"at": 5.0, "data": {"price": 1}}},
        ),
    ],
    ids=["neither", "waits for its time", "compares", "both"],
)
def test_of_its_events_it_notes_what_is_needed(asked: dict[str, Any], noted: dict[str, Any]) -> None:
    assert notes(track(), **asked)[key_name("r", PLACE)] == {"at": 6.0, **noted}


def test_it_goes_on_as_it_was_noted() -> None:
    made = track()
    made.since, made.held, made.raised, made.told, made.again = 3.0, True, True, 4.0, 2
    again = Track(PLACE, {})
    noted = json.loads(json.dumps(notes(made, begun=3.5, compares=True)[key_name("r", PLACE)]))
    again.recall(Known(**{**noted, "before": None}), waits=True)
    assert (again.at, again.event) == (made.at, made.event)
    assert again.standing(waits=True) == made.standing(waits=True)


def test_when_a_condition_began_is_nothing_to_a_rule_that_does_not_wait() -> None:
    made = track()
    before = made.standing(waits=False)
    made.since, made.held = 5.0, True
    assert made.standing(waits=False) == before != made.standing(waits=True)
    assert notes(made, waits=False)[key_name("r", PLACE)] == {"at": 6.0}
    again = Track(PLACE, {})
    again.recall(Known(at=6.0, since=5.0, held=True), waits=False)
    assert (again.since, again.held, again.told) == (None, False, -math.inf)
