"""A topic's log against a plain list of all that it was ever given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.core.events import Entry, Mode
from appliance.core.history import Position, Resumption, Retention, Topic

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
