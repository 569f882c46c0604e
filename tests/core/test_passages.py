"""Stretches of a history, joined, and the shelf that holds those that were asked for last."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import passages
from appliance.core.events import Entry, Mode
from appliance.core.history import Retention, Topic
from appliance.core.passages import PLACE, Passage, Shelf


def topic(entries: int, *, keeps: int = 10_000, size: int = 2) -> Topic:
    made = Topic("l:a", Mode.LOG, "m", "e", Retention(count=keeps, age=None, size=1 << 30))
    for _ in range(entries):
        made.append(b"x" * size, at=0, received=0)
    return made


def render(entry: Entry) -> bytes:
    return b"%d " % entry.offset


@given(entries=st.integers(1, 60), keeps=st.integers(1, 60), block=st.integers(1, 20), data=st.data())
def test_passages_in_a_row_are_the_history(entries: int, keeps: int, block: int, data: st.DataObject) -> None:
    read = topic(entries, keeps=keeps)
    first = begin = data.draw(st.integers(read.first, read.last))
    told, ends = b"", []
    while first <= read.last:
        passage = passages.read(read, first, render, block=block)
        assert passage.events == passage.last - first + 1 <= block
        told += passage.frame
        first = passage.last + 1
        ends.append(passage.last)
    assert told == b"".join(b"%d " % offset for offset in range(begin, read.last + 1))
    assert all(end % block == 0 for end in ends[:-1])  # so that those who began elsewhere share the next one


def test_large_entries_end_a_passage_before() -> None:
    read = topic(50, size=20_000)
    passage = passages.read(read, 1, lambda entry: entry.body)
    assert passage.last < 10
    assert passage.events == passage.last
    assert passages.read(topic(2, size=500_000), 1, lambda entry: entry.body).last == 1


def test_what_concerns_nobody_is_not_counted() -> None:
    passage = passages.read(topic(5), 1, lambda entry: b"" if entry.offset % 2 else render(entry))
    assert passage == Passage(last=5, frame=b"2 4 ", events=2)


class Counted:
    """Makes passages of ten bytes."""

    def __init__(self) -> None:
        self.made = count()

    def __call__(self) -> Passage:
        return Passage(next(self.made), b"0123456789", 1)


@pytest.mark.parametrize(
    ("asked", "made"),
    [("aaaa", 1), ("abcabc", 3), ("abcdabcd", 8), ("abcadaba", 5)],
    ids=["one", "as many as fit", "one too many", "the oldest goes, by when it was asked for"],
)
def test_it_holds_what_was_asked_for_last(asked: str, made: int) -> None:
    shelf, make = Shelf(most=3 * (PLACE + 10)), Counted()
    for name in asked:
        shelf.take(name, make)
    assert next(make.made) == made


def test_what_is_larger_than_the_shelf_is_given_all_the_same() -> None:
    shelf, make = Shelf(most=PLACE + 5), Counted()
    assert shelf.take("a", make).frame == shelf.take("a", make).frame == b"0123456789"
    assert next(make.made) == 2


def test_passages_in_which_nothing_is_told_do_not_gather() -> None:
    shelf, made = Shelf(most=3 * PLACE), count()
    for name in "abcda":
        shelf.take(name, lambda: Passage(next(made), b"", 0))
    assert next(made) == 5  # the first had gone
