"""What a batch says of its events is what they are when they enter the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.api import Channel, Event, Mode
from appliance.core.history import Retention
from appliance.runtime.hub import Hub
from appliance.runtime.numbering import Numbering

if TYPE_CHECKING:
    from appliance.runtime.hub import Prepared

KEYS = ("a", "b", "a", "both", "b")


def hub() -> Hub:
    made = Hub(epoch="e1", most_topics=50, most_bytes=1000, store="s", number=7)
    channel = Channel(
        name="kept",
        mode=Mode.LOG,
        message="m",
        route=lambda event, _: ("a", "b") if event.key == "both" else (event.key,),
    )
    made.open(channel, None, Retention(count=100, age=None, size=10_000))
    return made


def event(made: Hub, key: str, n: int) -> Prepared:
    return made.prepare(Event("kept", key, {"n": n}, 50.0 + n))


def test_events_have_the_places_that_they_were_given() -> None:
    made = hub()
    made.enter(event(made, "a", 0), 100.0, kept=True)
    numbering = Numbering(made, 101.0)
    events = [event(made, key, n) for n, key in enumerate(KEYS)]
    given = [numbering.add(each) for each in events]
    for each in events:
        made.enter(each, 101.0, kept=True)
    assert [[(record.topic, record.entry.offset) for record in records] for records in given] == [
        [("kept:a", 2)],
        [("kept:b", 1)],
        [("kept:a", 3)],
        [("kept:a", 4), ("kept:b", 2)],
        [("kept:b", 3)],
    ]
    assert [record.entry.number for record in numbering.records] == list(range(9, 15))
    assert [topic.name for topic in numbering.topics] == ["kept:a", "kept:b"]
    entered = {
        (topic.name, topic.epoch): [
            (entry.offset, entry.at, entry.received, entry.body, entry.number) for entry in topic.after(0)
        ]
        for topic in numbering.topics
    }
    assert entered.pop(("kept:a", "e1"))[1:] == told(numbering, "kept:a")
    assert entered.pop(("kept:b", "e1")) == told(numbering, "kept:b")


def told(numbering: Numbering, topic: str) -> list[tuple[int, float, float, bytes, int]]:
    return [
        (entry.offset, entry.at, entry.received, entry.body, entry.number)
        for entry in [record.entry for record in numbering.records if record.topic == topic]
    ]
