"""A batch as rows, and what changes of the topics that are known."""

from __future__ import annotations

import pytest

from appliance.core.errors import StoreError
from appliance.core.kept import Batch
from appliance.store.draft import Topic, drafted
from appliance.store.sweeping import EVERYTHING, Departure
from tests.store.batches import batch, records


def known() -> dict[str, Topic]:
    return {"price:A": Topic(7, "price", "price:A", "e1", 2, 5)}


def test_what_is_known_does_not_change_before_it_is_written() -> None:
    topics = known()
    drafted(batch(records("price:A", [6]), firsts={"price:A": 5}), topics, next_id=8, number=5)
    assert topics == known()


def test_entries_go_to_the_topics_that_are_known_and_new_ones_get_new_places() -> None:
    given = batch(
        records("price:A", [6, 7], number=6), records("price:B", [1], number=8), firsts={"price:A": 5}
    )
    draft = drafted(given, known(), next_id=8, number=5)
    assert draft.topics == {
        "price:A": Topic(7, "price", "price:A", "e1", 4, 7),
        "price:B": Topic(8, "price", "price:B", "e1", 0, 1),
    }
    assert [row[:3] for row in draft.entries] == [(7, 6, 6), (7, 7, 7), (8, 1, 8)]
    assert draft.departures == [Departure(7, 2, 4)]
    assert (draft.next_id, draft.number) == (9, 8)


def test_nothing_to_write_changes_nothing() -> None:
    draft = drafted(Batch(), known(), next_id=8, number=5)
    assert (draft.topics, draft.entries, draft.departures, draft.notes) == ({}, [], [], [])
    assert (draft.next_id, draft.number) == (8, 5)


def test_a_topic_that_begins_anew_leaves_all_that_was_before() -> None:
    draft = drafted(batch(records("price:A", [1], epoch="e2")), known(), next_id=8, number=5)
    assert draft.departures == [Departure(7, 2, EVERYTHING)]
    assert draft.topics == {"price:A": Topic(8, "price", "price:A", "e2", 0, 1)}


def test_what_departs_is_there_and_has_not_departed_before() -> None:
    for first, departures in ((1, []), (3, []), (4, [Departure(7, 2, 3)]), (99, [Departure(7, 2, 5)])):
        draft = drafted(batch(firsts={"price:A": first}), known(), next_id=8, number=5)
        assert draft.departures == departures


def test_notes_are_set_or_taken_away() -> None:
    draft = drafted(batch(note={"a": None, "b": [1, "é"], "c": False}), {}, next_id=1, number=0)
    assert draft.taken_away == [("price", "a")]
    assert draft.notes == [("price", "b", '[1,"\\u00e9"]'), ("price", "c", "false")]


def test_a_note_that_is_no_json_is_told_with_its_channel_and_name() -> None:
    with pytest.raises(StoreError, match="note 'where' of channel price is no JSON"):
        drafted(batch(note={"where": object()}), {}, next_id=1, number=0)
