"""A topic's log against a plain list of all that it was ever given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.core.events import Entry, Mode
from appliance.core.history import Position, Resumption, Retention, Span, Stretch, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDE = Retention(count=1000, age=None, size=1_000_000)


def topic(mode: Mode, retention: Retention = WIDE, *, bodies: Sequence[bytes] = ()) -> Topic:
    made = Topic("price:BTC", mode, "price_update", "e1", retention)
    for second, body in enumerate(bodies):
        made.append(body, at=second, received=second)
    return made


def offsets(made: Topic, after: int = 0) -> list[int]:
    return [entry.offset for entry in made.after(after)]


def test_an_empty_topic() -> None:
    made = topic(Mode.LOG)
    assert (made.first, made.last, made.latest, offsets(made)) == (1, 0, None, [])


def test_offsets_count_from_one() -> None:
    made = topic(Mode.LOG)
    assert made.append(b"{}", at=1.5, received=2.5) == Entry(1, 1.5, 2.5, b"{}")
    assert made.append(b"[]", at=1.5, received=2.5).offset == 2
    assert made.latest == Entry(2, 1.5, 2.5, b"[]")
    assert offsets(made) == [1, 2]


def test_the_count_bounds() -> None:
    assert offsets(topic(Mode.LOG, attrs.evolve(WIDE, count=3), bodies=[b"x"] * 5)) == [3, 4, 5]


def test_the_size_bounds() -> None:
    assert offsets(topic(Mode.LOG, attrs.evolve(WIDE, size=10), bodies=[b"x" * 4] * 5)) == [4, 5]


def test_the_age_bounds_when_told_the_time() -> None:
    made = topic(Mode.LOG, attrs.evolve(WIDE, age=10), bodies=[b"x"] * 5)
    made.expire(12)
    assert offsets(made) == [3, 4, 5]
    made.expire(1000)
    assert (offsets(made), made.first, made.last) == ([], 6, 5)


def test_without_an_age_nothing_expires() -> None:
    made = topic(Mode.LOG, bodies=[b"x"] * 5)
    made.expire(1e12)
    assert len(offsets(made)) == 5


def test_what_is_larger_than_all_that_is_kept_is_latest_all_the_same() -> None:
    made = topic(Mode.STATE, attrs.evolve(WIDE, size=3), bodies=[b"x", b"too large"])
    assert offsets(made) == []
    assert made.latest is not None
    assert made.latest.body == b"too large"
    assert made.append(b"x", at=0, received=0).offset == 3
    assert offsets(made) == [3]


FIVE = [b"x"] * 5
KEEPS_THREE = attrs.evolve(WIDE, count=3)


@pytest.mark.parametrize(
    ("mode", "position", "resumption"),
    [
        # What is kept is 3, 4 and 5.
        (Mode.LOG, Position("e1", 5), Resumption(after=5, recovered=True, gap=None)),
        (Mode.LOG, Position("e1", 2), Resumption(after=2, recovered=True, gap=None)),
        (Mode.LOG, Position("e1", 1), Resumption(after=2, recovered=False, gap=(2, 2))),
        (Mode.LOG, Position("e1", 0), Resumption(after=2, recovered=False, gap=(1, 2))),
        (Mode.LOG, Position("e1", 6), Resumption(after=2, recovered=False, gap=None)),
        (Mode.LOG, Position("e0", 4), Resumption(after=2, recovered=False, gap=None)),
        (Mode.STATE, Position("e1", 5), Resumption(after=5, recovered=True, gap=None)),
        (Mode.STATE, Position("e1", 2), Resumption(after=2, recovered=True, gap=None)),
        (Mode.STATE, Position("e1", 1), Resumption(after=4, recovered=False, gap=(2, 4))),
        (Mode.STATE, Position("e1", 9), Resumption(after=4, recovered=False, gap=None)),
        (Mode.STATE, Position("e0", 4), Resumption(after=4, recovered=False, gap=None)),
    ],
)
def test_how_a_reader_goes_on(mode: Mode, position: Position, resumption: Resumption) -> None:
    assert topic(mode, KEEPS_THREE, bodies=FIVE).resume(position) == resumption


@pytest.mark.parametrize("mode", Mode)
def test_how_a_reader_goes_on_in_an_empty_topic(mode: Mode) -> None:
    made = topic(mode)
    assert made.resume(Position("e1", 0)) == Resumption(after=0, recovered=True, gap=None)
    assert made.resume(Position("e0", 3)) == Resumption(after=0, recovered=False, gap=None)


def test_the_newest_of_a_state_outlives_its_history() -> None:
    made = topic(Mode.STATE, attrs.evolve(WIDE, age=1), bodies=FIVE)
    made.expire(1000)
    assert made.latest is not None
    assert made.resume(Position("e1", 4)) == Resumption(after=4, recovered=True, gap=None)
    assert made.resume(Position("e1", 3)) == Resumption(after=4, recovered=False, gap=(4, 4))
    assert made.resume(Position("e0", 9)) == Resumption(after=4, recovered=False, gap=None)


@given(
    st.sampled_from(Mode),
    st.integers(1, 4),
    st.integers(0, 8),
    st.booleans(),
    st.builds(Position, st.sampled_from(["e0", "e1"]), st.integers(0, 10)),
)
def test_what_a_reader_is_told_adds_up(
    mode: Mode,
    count: int,
    published: int,
    expired: bool,  # noqa: FBT001 - drawn
    position: Position,
) -> None:
    made = topic(mode, Retention(count=count, age=1, size=1000), bodies=[b"x"] * published)
    if expired:
        made.expire(1e9)
    told = made.resume(position)
    there = set(offsets(made)) | ({published} if mode is Mode.STATE and published else set())
    promised = set(range(told.after + 1, published + 1))
    assert promised <= there
    if told.recovered:
        assert (position.epoch, told.after, told.gap) == ("e1", position.offset, None)
    elif position.epoch == "e1" and position.offset <= published:
        assert told.gap == (position.offset + 1, told.after)
        missed = set(range(position.offset + 1, published + 1))
        assert not missed <= there
    else:
        assert told.gap is None
    if not told.recovered:
        assert promised == (set(offsets(made)) if mode is Mode.LOG else {published} - {0})


# By source time.


def timed(times: Sequence[float], *, mode: Mode = Mode.LOG, count: int = 1000, bodies: bytes = b"x") -> Topic:
    made = topic(mode, attrs.evolve(WIDE, count=count, age=10))
    for second, at in enumerate(times):
        made.append(bodies, at=at, received=second)
    return made


@pytest.mark.parametrize(
    ("moment", "after"),
    [(0, 0), (1, 0), (1.5, 1), (3, 2), (4, 4), (5, 4), (6, 5), (1e12, 5)],
)
def test_who_wants_a_time_begins_with_the_first_entry_of_it_or_later(moment: float, after: int) -> None:
    """The fourth entry is late: it comes with what was there when it did."""
    made = timed([1, 2, 3, 2.5, 5])
    assert made.resume_since(moment) == Resumption(after=after, recovered=True, gap=None)


def test_who_wants_a_time_gets_a_states_newest_entry_in_any_case() -> None:
    made = timed([1, 2, 3], mode=Mode.STATE)
    assert [made.resume_since(moment).after for moment in (0, 2, 3, 4)] == [0, 1, 2, 2]
    assert timed([], mode=Mode.STATE).resume_since(0).after == 0


@pytest.mark.parametrize("mode", Mode)
def test_who_wants_a_time_is_told_of_which_something_may_be_missing(mode: Mode) -> None:
    made = timed([1, 9, 3, 4, 5], mode=mode, count=3)
    assert offsets(made) == [3, 4, 5]
    assert made.resume_since(2) == Resumption(after=2, recovered=False, gap=None, missing=(2, 9))
    assert made.resume_since(9.5).recovered
    assert made.missing_since(9) == (9, 9)
    assert made.missing_since(9.5) is None


def test_what_was_let_go_of_before_a_restart_is_taken_for_older_than_what_is_kept() -> None:
    made = topic(Mode.LOG)
    made.last = 6
    assert made.missing_since(1) == (1, math.inf)
    made.restore(Entry(7, 20.0, 0.0, b"x"))
    made.restore(Entry(8, 30.0, 0.0, b"x"))
    assert made.missing_since(19) == (19, 20)
    assert made.missing_since(21) is None
    assert made.resume_since(19) == Resumption(after=6, recovered=False, gap=None, missing=(19, 20))


SOME = Span(count=2, size=1000)
ALL = Span(count=1000, size=1_000_000)


def test_stretches_follow_each_other_forwards() -> None:
    made = timed([1, 2, 3, 4, 5])
    first = made.forwards(0, SOME)
    assert (first.start, first.end, [entry.offset for entry in first.entries]) == (0, 2, [1, 2])
    assert [entry.offset for entry in made.forwards(4, SOME).entries] == [5]
    assert made.forwards(5, SOME) == Stretch(5, 5, [])
    assert [entry.offset for entry in made.forwards(1, ALL, to=3).entries] == [2, 3]
    assert made.forwards(3, ALL, to=1) == Stretch(3, 3, [])


def test_stretches_follow_each_other_backwards() -> None:
    made = timed([1, 2, 3, 4, 5], count=4)
    last = made.backwards(99, SOME)
    assert (last.start, last.end, [entry.offset for entry in last.entries]) == (3, 5, [4, 5])
    first = made.backwards(last.start, SOME)
    assert (first.start, first.end, [entry.offset for entry in first.entries]) == (1, 3, [2, 3])
    assert made.backwards(first.start, SOME) == Stretch(1, 1, [])
    assert made.backwards(0, SOME) == Stretch(0, 0, [])


def test_a_stretch_has_the_times_that_are_asked_for_however_late_they_came() -> None:
    made = timed([1, 3, 2, 4, 2.5])
    span = attrs.evolve(ALL, since=2, until=4)
    assert [entry.at for entry in made.forwards(0, span).entries] == [3, 2, 2.5]
    assert [entry.at for entry in made.backwards(5, span).entries] == [3, 2, 2.5]
    assert (
        made.forwards(0, attrs.evolve(span, count=2)).end == 3
    )  # what is behind it is still to be looked at
    assert made.backwards(5, attrs.evolve(span, count=2)).start == 2


def test_a_stretch_that_has_nothing_of_what_is_asked_for_tells_how_far_it_goes() -> None:
    made = timed([1, 2, 3])
    never = attrs.evolve(ALL, since=10)
    assert made.forwards(1, never) == Stretch(1, 3, [])
    assert made.backwards(2, never) == Stretch(0, 2, [])


def test_a_stretch_has_its_most_bytes_and_one_entry_at_the_least() -> None:
    made = timed([1, 2, 3], bodies=b"x" * 10)
    for size, count in ((1, 1), (10, 1), (11, 2), (21, 3)):
        assert len(made.forwards(0, attrs.evolve(ALL, size=size)).entries) == count
        assert len(made.backwards(3, attrs.evolve(ALL, size=size)).entries) == count


def test_the_newest_of_a_state_is_in_a_stretch_when_its_history_is_empty() -> None:
    made = timed([1, 2], mode=Mode.STATE)
    made.expire(1000)
    assert [entry.offset for entry in made.forwards(1, ALL).entries] == [2]
    assert [entry.offset for entry in made.backwards(2, ALL).entries] == [2]
    assert made.backwards(1, ALL) == Stretch(1, 1, [])
    log = timed([1, 2])
    log.expire(1000)
    assert log.backwards(2, ALL) == Stretch(2, 2, [])
    assert log.forwards(2, ALL) == Stretch(2, 2, [])


@given(
    times=st.lists(st.integers(0, 9), max_size=12),
    kept=st.integers(1, 12),
    since=st.integers(0, 9),
    until=st.integers(0, 10),
    count=st.integers(1, 4),
    onwards=st.booleans(),
)
def test_page_after_page_gives_all_that_is_kept_of_a_time_once(
    times: list[int],
    kept: int,
    since: int,
    until: int,
    count: int,
    onwards: bool,  # noqa: FBT001 - drawn
) -> None:
    made = timed(times, count=kept)
    span = Span(count=count, size=1000, since=since, until=until)
    pages: list[list[int]] = []
    place = made.resume_since(since).after if onwards else made.last
    while (found := made.forwards(place, span) if onwards else made.backwards(place, span)).entries:
        pages.append([entry.offset for entry in found.entries])
        place = found.end if onwards else found.start
    got = [offset for page in (pages if onwards else pages[::-1]) for offset in page]
    assert got == [entry.offset for entry in made.after(0) if since <= entry.at < until]


@given(times=st.lists(st.integers(0, 9), max_size=12), kept=st.integers(1, 12), since=st.integers(0, 9))
def test_nothing_that_is_wanted_is_lost_without_a_word(times: list[int], kept: int, since: int) -> None:
    made = timed(times, count=kept)
    wanted = {offset for offset, at in enumerate(times, 1) if at >= since}
    resumption = made.resume_since(since)
    lost = wanted - set(offsets(made, resumption.after))
    assert resumption.recovered == (not lost)
    if resumption.missing is not None:
        assert resumption.missing == (since, max(times[offset - 1] for offset in lost))


class Ring(RuleBasedStateMachine):
    """Against a list of all entries, and how many of its first have gone."""

    @initialize(
        mode=st.sampled_from(Mode),
        retention=st.builds(
            Retention,
            count=st.integers(1, 6),
            age=st.none() | st.floats(1, 20),
            size=st.integers(1, 30),
        ),
    )
    def begin(self, mode: Mode, retention: Retention) -> None:
        self.topic = topic(mode, retention)
        self.entries: list[Entry] = []
        self.gone = 0
        self.now = 0.0

    @property
    def kept(self) -> list[Entry]:
        return self.entries[self.gone :]

    @rule(body=st.binary(max_size=12), at=st.floats(0, 100))
    def append(self, body: bytes, at: float) -> None:
        entry = Entry(len(self.entries) + 1, at, self.now, body)
        assert self.topic.append(body, at=at, received=self.now) == entry
        self.entries.append(entry)
        retention = self.topic.retention
        while (
            len(self.kept) > retention.count or sum(len(entry.body) for entry in self.kept) > retention.size
        ):
            self.gone += 1

    @rule(seconds=st.floats(0, 30))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def expire(self) -> None:
        self.topic.expire(self.now)
        age = self.topic.retention.age
        while age is not None and self.kept and self.kept[0].received < self.now - age:
            self.gone += 1

    @precondition(lambda self: hasattr(self, "topic"))
    @invariant()
    def is_the_same(self) -> None:
        last = len(self.entries)
        assert self.topic.last == last
        assert self.topic.first == (self.kept[0].offset if self.kept else last + 1)
        assert self.topic.latest == (self.entries[-1] if self.entries else None)
        for offset in range(last + 2):
            expected = [entry for entry in self.kept if entry.offset > offset]
            assert list(self.topic.after(offset)) == expected


TestRing = Ring.TestCase


@given(
    mode=st.sampled_from(Mode),
    steps=st.lists(st.integers(1, 3), max_size=30),
    seen=st.integers(0, 90),
    kept=st.integers(1, 10),
)
def test_who_has_seen_all_up_to_a_serial_gets_all_behind_it(
    mode: Mode, steps: list[int], seen: int, kept: int
) -> None:
    """Serials count the entries of all topics, so those of one have holes."""
    made = topic(mode, Retention(count=kept, age=None, size=1_000_000))
    serial, owed = 0, []
    for step in steps:
        serial += step
        entry = made.append(b"{}", at=0, received=0, serial=serial)
        if serial > seen:
            owed.append(entry.offset)
    resumption = made.resume_behind(seen)
    there = offsets(made, resumption.after)
    if resumption.recovered:
        assert there == owed
    else:
        assert len(owed) > kept
        assert there == ([made.last] if mode is Mode.STATE else owed[-kept:])
