"""All who read a topic in the same words."""

from __future__ import annotations

from appliance.core.events import Entry, Mode
from appliance.core.history import Retention, Topic
from appliance.core.passages import BLOCK, Shelf
from appliance.runtime.audience import Audience
from tests.runtime.stage import Counting, Lines


def topic(entries: int = 0) -> Topic:
    made = Topic("price:BTC", Mode.STATE, "price_update", "e", Retention(1000, None, 100_000))
    for _ in range(entries):
        made.append(b"{}", at=1.0, received=1.0)
    return made


def test_an_entry_is_rendered_once_until_the_next() -> None:
    form, entries = Counting(), [Entry(n, 1.0, 1.0, b"{}") for n in (1, 2)]
    audience = Audience(topic(), form, "price:bitcoin", conflated=False, shelf=Shelf())
    frames = [audience.frame(entry) for entry in (entries[0], entries[0], entries[1], entries[1])]
    assert form.rendered == 2
    assert frames[0] == frames[1] != frames[2] == frames[3]


def test_who_asked_for_a_limit_is_told_of_no_gap() -> None:
    told = [
        Audience(topic(), Lines(), "BTC", conflated=conflated, shelf=Shelf()).gap(3, 5)
        for conflated in (True, False)
    ]
    assert told[0] == b""
    assert b"3" in told[1]


def test_it_finds_its_words_anew() -> None:
    form = Counting()
    audience = Audience(topic(), form, "BTC", conflated=False, shelf=Shelf())
    entry = Entry(1, 1.0, 1.0, b"{}")
    audience.frame(entry)
    audience.renew()
    audience.frame(entry)
    assert form.rendered == 2


def test_many_who_catch_up_have_each_entry_rendered_once() -> None:
    form, read = Counting(), topic(3 * BLOCK)
    audience = Audience(read, form, "BTC", conflated=False, shelf=Shelf())
    told = []
    for begin in [1] * 50:
        first = begin
        while first <= read.last:
            passage = audience.passage(first)
            told.append(passage)
            first = passage.last + 1
    assert form.rendered == read.last
    assert [passage.frame for passage in told[:3]] * 50 == [passage.frame for passage in told]
    assert sum(passage.events for passage in told) == 50 * read.last


def test_who_begins_elsewhere_shares_what_follows() -> None:
    form, read = Counting(), topic(2 * BLOCK)
    audience = Audience(read, form, "BTC", conflated=False, shelf=Shelf())
    audience.passage(BLOCK + 1)
    before = form.rendered
    (late,) = [audience.passage(first) for first in (BLOCK - 1,)]
    audience.passage(late.last + 1)
    assert (late.last, late.events) == (BLOCK, 2)
    assert form.rendered == before + 2


def test_a_passage_that_has_grown_is_told_with_what_is_new() -> None:
    read = topic(3)
    audience = Audience(read, Counting(), "BTC", conflated=False, shelf=Shelf())
    assert audience.passage(1).last == 3
    read.append(b"{}", at=1.0, received=1.0)
    assert (audience.passage(1).last, audience.passage(1).events) == (4, 4)


def test_passages_are_told_in_the_words_of_their_readers() -> None:
    read, shelf = topic(3), Shelf()
    one, other = (
        Audience(read, Lines(), label, conflated=False, shelf=shelf) for label in ("BTC", "bitcoin")
    )
    assert b"bitcoin" not in one.passage(1).frame
    assert b"bitcoin" in other.passage(1).frame
    form = Counting()
    renewed = Audience(read, form, "BTC", conflated=False, shelf=shelf)
    renewed.passage(1)
    renewed.renew()
    renewed.passage(1)
    assert form.rendered == 6
