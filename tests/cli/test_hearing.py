from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.cli.hearing import Hearing
from appliance.core.errors import SourceError
from tests.sources.tapes.reels import START

if TYPE_CHECKING:
    from appliance.sources.tapes.lines import Taped


@attrs.define
class Ear:
    """A hearing, and what it has told."""

    told: list[str] = attrs.field(factory=list)
    hearing: Hearing = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.hearing = Hearing(self.told.append, ("trades:all",))

    def hear(self, **message: Any) -> Taped | None:
        return self.hearing.hear(json.dumps(message).encode(), START)

    def join(self, topic: str = "price:BTC", *, epoch: str = "e1", offset: int = 0, **more: Any) -> None:
        joined = {"channel": topic, "mode": "log", "epoch": epoch, "offset": offset, **more}
        assert self.hear(type="subscribed", channels=[joined]) is None

    def event(self, topic: str, offset: int, **more: Any) -> Taped | None:
        fields = {"data": {"n": offset}, "at": "2030-03-17T17:46:41Z", "received": "2030-03-17T17:46:42Z"}
        return self.hear(type="event", channel=topic, offset=offset, **{**fields, **more})


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_an_event_is_on_the_tape_with_all_that_is_known(ear: Ear) -> None:
    ear.join("price:EUR:USD", offset=6)
    taped = ear.event("price:EUR:USD", 7)
    assert taped is not None
    assert (taped.channel, taped.key, taped.topic) == ("price", "EUR:USD", "price:EUR:USD")
    assert (taped.epoch, taped.offset) == ("e1", 7)
    assert (taped.at.timestamp(), taped.received.timestamp()) == (START + 1, START + 2)
    assert bytes(taped.data) == b'{"n": 7}'


def test_data_is_what_was_sent_byte_for_byte(ear: Ear) -> None:
    taped = ear.hearing.hear(b'{"type":"x","channel":"price:BTC","offset":1,"data":{"p":1.50}}', START)
    assert taped is not None
    assert bytes(taped.data) == b'{"p":1.50}'


def test_without_its_times_an_event_is_of_now(ear: Ear) -> None:
    taped = ear.hear(type="event", channel="price:BTC", offset=1, data={})
    assert taped is not None
    assert taped.at.timestamp() == taped.received.timestamp() == START


def test_what_was_there_before_counts_as_if_it_came_at_the_beginning(ear: Ear) -> None:
    ear.hearing.since = START + 100
    taped = ear.event("price:BTC", 1)
    assert taped is not None
    assert (taped.at.timestamp(), taped.received.timestamp()) == (START + 1, START + 100)


def test_other_messages_are_no_events(ear: Ear) -> None:
    assert ear.hear(type="status", channel="price", stale=True) is None
    assert ear.hear(type="something new", channels=[]) is None
    assert (ear.told, ear.hearing.gaps, ear.hearing.events) == ([], 0, 0)


def test_what_is_left_out_is_neither_taped_nor_missed(ear: Ear) -> None:
    ear.join("trades:all")
    assert ear.event("trades:all", 1) is None
    ear.hear(type="gap", channel="trades:all", **{"from": 2, "to": 9})
    assert ear.event("trades:all", 15) is None
    ear.join("trades:all", epoch="e2")
    assert (ear.told, ear.hearing.gaps, ear.hearing.events) == ([], 0, 0)


def test_a_gap_that_is_announced_is_told(ear: Ear) -> None:
    ear.join()
    ear.event("price:BTC", 1)
    ear.hear(type="gap", channel="price:BTC", **{"from": 2, "to": 1001})
    ear.event("price:BTC", 1002)
    assert ear.told == ["gap in price:BTC: 1,000 events are missing"]
    assert ear.hearing.gaps == 1


def test_a_hole_that_nobody_announced_is_told(ear: Ear) -> None:
    ear.join()
    ear.event("price:BTC", 1)
    ear.event("price:BTC", 3)
    assert ear.told == ["gap in price:BTC: 1 event is missing"]


def test_where_a_topic_is_joined_nothing_is_missing(ear: Ear) -> None:
    ear.join(offset=500)
    ear.event("price:BTC", 480)  # the history that a log gives first
    ear.event("price:BTC", 481)
    assert ear.told == []


@pytest.mark.parametrize(
    ("again", "told"),
    [
        ({"offset": 9, "recovered": True}, []),
        ({"offset": 1, "recovered": False}, []),
        ({"offset": 9, "gap": {"from": 2, "to": 5}}, ["gap in price:BTC: 4 events are missing"]),
        ({"epoch": "e2"}, ["gap in price:BTC: whether events are missing, and how many, is not known"]),
        ({"offset": 9}, ["gap in price:BTC: whether events are missing, and how many, is not known"]),
    ],
)
def test_what_is_missing_after_a_break_is_told(ear: Ear, again: dict[str, Any], told: list[str]) -> None:
    ear.join()
    ear.event("price:BTC", 1)
    ear.join(**{"recovered": False, **again})
    assert ear.told == told
    assert ear.hearing.gaps == len(told)


def test_gaps_of_many_topics_are_told_in_one_line(ear: Ear) -> None:
    for epoch in ("e1", "e2"):
        channels = [{"channel": f"price:S{n}", "epoch": epoch, "offset": n} for n in range(5)]
        ear.hear(type="subscribed", channels=channels)
    [line] = ear.told
    assert line.startswith("gap in price:S0, price:S1, price:S2 and 2 more topics: ")
    assert ear.hearing.gaps == 5


def test_what_the_appliance_complains_of_is_told(ear: Ear) -> None:
    ear.hear(type="error", error={"code": "SLOW_CLIENT", "message": "it is too much"})
    assert ear.told == ["the appliance says SLOW_CLIENT: it is too much"]


def test_topics_that_have_the_same_events_are_told_once(ear: Ear) -> None:
    for offset in (1, 2, 3):
        for topic in ("signals:all", "signals:high"):
            ear.event(topic, offset)
    assert ear.told == [
        "signals:high has events of signals:all again, and so has the tape: leave one out with --except"
    ]
    assert ear.hearing.events == 6


def test_events_that_are_only_alike_are_no_doubles(ear: Ear) -> None:
    ear.event("price:BTC", 1, data={"price": 1})
    ear.event("price:ETH", 1, data={"price": 2})
    ear.event("price:SOL", 1, data={"price": 2}, at="2030-03-17T17:46:43Z")
    ear.event("trades:SOL", 1, data={"price": 2}, at="2030-03-17T17:46:43Z")
    assert ear.told == []


@pytest.mark.parametrize("text", [b"<html>", b"[]", b'{"type":5}', b'{"type":"event","offset":"first"}'])
def test_what_is_no_appliance_is_told_of(ear: Ear, text: bytes) -> None:
    with pytest.raises(SourceError, match="this is no appliance, or one that is too old or too new"):
        ear.hearing.hear(text, START)
