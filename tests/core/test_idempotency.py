"""Answers under idempotency keys."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.idempotency import Answers, Bounds, KeyReusedError

ROOMY = Bounds(count=100, age=1_000.0, weight=1_000)


def answers(bounds: Bounds = ROOMY) -> Answers[str]:
    return Answers(lambda: bounds)


def test_a_key_that_never_came_is_not_known() -> None:
    assert answers().recall("alice", "k", b"1", 0.0) is None


def test_the_same_request_gets_the_same_answer() -> None:
    given = answers()
    given.remember("alice", "k", b"1", "done", now=5.0)
    assert given.recall("alice", "k", b"1", 6.0) == "done"
    assert given.recall("alice", "k", b"1", 7.0) == "done"


def test_a_key_stands_for_one_request() -> None:
    given = answers()
    given.remember("alice", "k", b"1", "done", now=5.0)
    with pytest.raises(KeyReusedError, match="another request"):
        given.recall("alice", "k", b"2", 6.0)
    assert given.recall("alice", "k", b"1", 6.0) == "done"


def test_a_key_is_its_owners_alone() -> None:
    given = answers()
    given.remember("alice", "k", b"1", "done", now=5.0)
    assert given.recall("bob", "k", b"2", 6.0) is None


def test_an_answer_is_forgotten_at_its_age() -> None:
    given = answers(attrs.evolve(ROOMY, age=10.0))
    given.remember("alice", "k", b"1", "done", now=5.0)
    assert given.recall("alice", "k", b"1", 14.9) == "done"
    assert given.recall("alice", "k", b"2", 15.0) is None
    assert len(given) == 0


def test_bounds_of_the_moment_hold() -> None:
    bounds = [ROOMY]
    given: Answers[str] = Answers(lambda: bounds[0])
    for n in range(5):
        given.remember("alice", str(n), b"1", "done", now=5.0)
    bounds[0] = attrs.evolve(ROOMY, count=2)
    assert given.recall("alice", "0", b"1", 5.0) is None
    assert given.recall("alice", "3", b"1", 5.0) == "done"
    assert len(given) == 2


@given(
    weights=st.lists(st.integers(1, 20), max_size=40),
    count=st.integers(1, 10),
    weight=st.integers(20, 60),
)
def test_the_newest_are_kept_and_no_more_than_the_bounds(weights: list[int], count: int, weight: int) -> None:
    kept = answers(Bounds(count=count, age=1_000.0, weight=weight))
    for n, each in enumerate(weights):
        kept.remember("alice", str(n), b"1", str(n), now=float(n), weight=each)
    now = float(len(weights))
    known = [n for n in range(len(weights)) if kept.recall("alice", str(n), b"1", now) is not None]
    assert known == list(range(len(weights) - len(known), len(weights)))
    assert len(known) <= count
    assert sum(weights[n] for n in known) <= weight
    missed = weights[: len(weights) - len(known)]
    if missed:
        assert len(known) == count or sum(weights[n] for n in known) + missed[-1] > weight
