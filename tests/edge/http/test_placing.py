"""Events with the place of who has read them."""

from __future__ import annotations

import re

import attrs

from appliance.access.seals import Seal
from appliance.core import places
from appliance.core.events import Entry, Mode
from appliance.core.history import Position, Retention, Topic
from appliance.core.places import Place
from appliance.edge.http.placing import Events, Opening

TOPIC = Topic("price:BTC", Mode.STATE, "price_update", "t", Retention(count=10, age=None, size=1000))
ENTRY = Entry(3, 0.0, 0.0, b'{"price":1}', serial=17, number=4)


def ids(events: bytes) -> list[str]:
    return re.findall(r"^id: (.*)$", events.decode(), re.MULTILINE)


def test_the_id_of_an_event_is_the_place_of_who_has_read_it() -> None:
    (shown,) = ids(Events(epoch="e", store=None).update(TOPIC, "price:BTC")(ENTRY))
    assert places.read(shown) == Place("e", 17)
    (shown,) = ids(Events(epoch="e", store="s").update(TOPIC, "price:BTC")(ENTRY))
    assert places.read(shown) == Place("e", 17, kept=Position("s", 4))


def test_who_must_not_count_is_given_a_place_that_says_nothing() -> None:
    seal = Seal()
    events = Events(epoch="running", store="keeping", seal=seal)
    entry = attrs.evolve(ENTRY, serial=1_700_000_017, number=1_600_000_004)
    frame = events.update(TOPIC, "price:BTC")(entry)
    (shown,) = ids(frame)
    assert not re.search(b"1700000017|1600000004|running|keeping", frame)
    assert places.read(seal.open(shown)) == Place(
        "running", 1_700_000_017, kept=Position("keeping", 1_600_000_004)
    )
    assert Events(epoch="running", store="keeping", seal=seal) == events
    assert Events(epoch="running", store="keeping") != events


def test_a_gap_has_no_place() -> None:
    gap = Events(epoch="e", store=None).gap(TOPIC, "price:BTC")(1, 2)
    assert ids(gap) == []
    assert b'"gap"' in gap


def test_what_is_older_than_the_stream_is_placed_where_that_begins() -> None:
    topic = attrs.evolve(TOPIC, last=ENTRY.offset)
    topic.restore(ENTRY)
    for seal in (None, Seal()):
        events = Events(epoch="e", store=None, seal=seal)
        old, new = (Opening(topic, "price:BTC", events=events, behind=behind) for behind in (20, 10))
        (shown,) = ids(old.frame(ENTRY))
        assert places.read(shown if seal is None else seal.open(shown)) == Place("e", 20, seen=17)
        (shown,) = ids(new.frame(ENTRY))
        assert places.read(shown if seal is None else seal.open(shown)) == Place("e", 17)
    assert old.passage(3).frame == old.frame(ENTRY)
