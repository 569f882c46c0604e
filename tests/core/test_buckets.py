"""The token bucket: never more than its size and what time has brought, and as much as that."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.buckets import Bucket


def test_so_many_at_once() -> None:
    bucket = Bucket.per_minute(3, now=100)
    assert [bucket.take(100) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100) == pytest.approx(20)


def test_the_wait_shrinks_with_time() -> None:
    bucket = Bucket(rate=1, size=1, updated=0)
    assert bucket.take(0) == 0
    assert bucket.take(0.25) == pytest.approx(0.75)
    assert bucket.take(1) == 0


def test_it_holds_no_more_than_its_size() -> None:
    bucket = Bucket(rate=10, size=2, updated=0)
    bucket.take(0)
    assert bucket.spent(0.05)
    assert not bucket.spent(1000)
    assert [bucket.take(1000) == 0 for _ in range(3)] == [True, True, False]


def test_who_waits_as_told_is_served() -> None:
    bucket = Bucket(rate=0.5, size=4, updated=0)
    now = 0.0
    while not (wait := bucket.take(now)):
        pass
    assert bucket.take(now + wait) == 0


@given(
    rate=st.floats(0.01, 100),
    size=st.integers(1, 50),
    steps=st.lists(st.floats(-5, 5), max_size=80),
)
def test_it_never_gives_more_than_size_and_rate(rate: float, size: int, steps: list[float]) -> None:
    bucket = Bucket(rate=rate, size=size, updated=0)
    latest = 0.0
    given_away = 0
    for now in itertools.accumulate(steps):  # also a clock that goes back brings nothing
        latest = max(latest, now)
        given_away += bucket.take(now) == 0
        assert given_away <= size + rate * latest + 1e-6


@given(
    rate=st.floats(0.01, 100),
    size=st.integers(1, 50),
    steps=st.lists(st.floats(0, 5), max_size=80),
)
def test_it_gives_all_that_there_is(rate: float, size: int, steps: list[float]) -> None:
    bucket = Bucket(rate=rate, size=size, updated=0)
    tokens = float(size)
    now = 0.0
    for step in steps:
        now += step
        tokens = min(size, tokens + step * rate)
        wait = bucket.take(now)
        if wait == 0:
            tokens -= 1
            assert tokens >= -1e-6
        else:
            assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)


def test_a_large_piece_may_be_spent_as_long_as_there_is_anything() -> None:
    bucket = Bucket(rate=10, size=20, updated=0)
    assert bucket.lacking(0) == 0
    bucket.take_all(100, 0)
    assert bucket.lacking(0) == pytest.approx(8.1)
    assert bucket.lacking(8) > 0
    assert bucket.lacking(8.1) == 0


def test_it_tells_what_part_of_it_is_gone() -> None:
    bucket = Bucket(rate=1, size=10, updated=0)
    assert bucket.spent(0) == 0
    for _ in range(5):
        bucket.take(0)
    assert bucket.spent(0) == pytest.approx(0.5)
    assert bucket.spent(5) == 0
