"""Whether a silent client still lives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.liveness import Liveness, Verdict

INTERVAL = 30.0
TIMEOUT = 10.0


@pytest.fixture
def liveness() -> Liveness:
    return Liveness(heard=0.0, received=5)


def judge(liveness: Liveness, received: int, now: float) -> Verdict:
    return liveness.judge(received, now, interval=INTERVAL, timeout=TIMEOUT)


def test_a_client_may_be_silent_for_the_interval(liveness: Liveness) -> None:
    assert judge(liveness, 5, 29.9) is Verdict.ALIVE
    assert judge(liveness, 5, 30) is Verdict.PING


def test_it_is_asked_once_and_has_the_timeout_to_answer(liveness: Liveness) -> None:
    assert judge(liveness, 5, 31) is Verdict.PING
    assert judge(liveness, 5, 32) is Verdict.ALIVE
    assert judge(liveness, 5, 40.9) is Verdict.ALIVE
    assert judge(liveness, 5, 41) is Verdict.GONE


def test_any_byte_is_life(liveness: Liveness) -> None:
    assert judge(liveness, 5, 30) is Verdict.PING
    assert judge(liveness, 6, 39) is Verdict.ALIVE
    assert judge(liveness, 6, 68.9) is Verdict.ALIVE
    assert judge(liveness, 6, 69) is Verdict.PING


def test_a_late_answer_is_still_one(liveness: Liveness) -> None:
    assert judge(liveness, 5, 30) is Verdict.PING
    assert judge(liveness, 7, 100) is Verdict.ALIVE


@given(st.lists(st.tuples(st.floats(0.1, 60), st.integers(0, 2)), max_size=60))
def test_only_who_was_asked_and_stayed_silent_is_gone(steps: list[tuple[float, int]]) -> None:
    liveness = Liveness(heard=0.0)
    now, received, asked = 0.0, 0, None
    for step, size in steps:
        now += step
        received += size
        verdict = judge(liveness, received, now)
        if size:
            assert verdict is Verdict.ALIVE
            asked = None
        elif verdict is Verdict.PING:
            assert asked is None
            asked = now
        elif verdict is Verdict.GONE:
            assert asked is not None
            assert now - asked >= TIMEOUT
