from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load_offsets import Findings, Positions, Reading


def read(message: Any) -> Any:
    return Reading().read(json.dumps(message).encode())


def checked(offsets: list[int], *, position: int | None = None) -> Findings:
    positions, findings = Positions(), Findings()
    if position is not None:
        positions.start("t:1", position)
    for offset in offsets:
        positions.event("t:1", offset, findings)
    return findings


def test_contiguous_offsets_from_anywhere_are_clean() -> None:
    assert checked([7, 8, 9]) == Findings()


def test_the_first_event_must_follow_the_position_of_the_answer() -> None:
    assert checked([8, 9], position=7) == Findings()
    assert checked([10], position=7) == Findings(gaps=2)
    assert checked([7, 8], position=7) == Findings(doubles=1)


def test_each_offset_that_never_came_is_a_gap() -> None:
    assert checked([1, 2, 6]) == Findings(gaps=3)


def test_a_late_offset_is_a_reordering_and_its_return_a_double() -> None:
    assert checked([1, 3, 2, 4]) == Findings(reorderings=1)
    assert checked([1, 3, 2, 2]) == Findings(reorderings=1, doubles=1)


def test_a_repeated_offset_is_a_double() -> None:
    assert checked([1, 2, 2, 1, 3]) == Findings(doubles=2)


@given(st.permutations(range(1, 30)))
def test_a_shuffled_log_has_no_gap_in_the_end(order: list[int]) -> None:
    findings = checked(order, position=0)
    assert (findings.gaps, findings.doubles) == (0, 0)
    assert findings.clean == (order == sorted(order))


@given(st.lists(st.integers(1, 40), min_size=1))
def test_gaps_are_what_is_missing_below_the_highest(order: list[int]) -> None:
    findings = checked(order, position=0)
    assert findings.gaps == max(order) - len(set(order))
    assert findings.doubles == len(order) - len(set(order))


def test_topics_do_not_mix() -> None:
    positions, findings = Positions(), Findings()
    for offset in (1, 2, 3):
        positions.event("t:1", offset, findings)
        positions.event("t:2", offset + 100, findings)
    assert findings == Findings()
    assert positions.due == {"t:1": 4, "t:2": 104}


def test_a_declared_gap_is_no_gap() -> None:
    positions, findings = Positions(), Findings()
    positions.event("t:1", 1, findings)
    positions.gap("t:1", 2, 5, findings)
    positions.event("t:1", 6, findings)
    assert findings == Findings(declared=4)
    assert findings.clean


def test_a_notice_that_leaves_something_out_is_found() -> None:
    positions, findings = Positions(), Findings()
    positions.event("t:1", 1, findings)
    positions.gap("t:1", 4, 5, findings)
    positions.event("t:1", 7, findings)
    assert findings == Findings(declared=2, gaps=3)


def test_messages_are_read_for_what_they_say_of_offsets() -> None:
    event = read({"type": "price_update", "channel": "price:BTC", "offset": 12, "data": {"sent_ns": 5}})
    assert (event.topic, event.offset, event.until, event.sent_ns) == ("price:BTC", 12, 0, 5)
    gap = read({"type": "gap", "channel": "price:BTC", "from": 3, "to": 9, "reason": "conflated"})
    assert (gap.topic, gap.offset, gap.until) == ("price:BTC", 3, 9)
    assert read({"type": "system_status", "data": {"status": "healthy"}}).topic is None
    assert read({"type": "error", "error": {"code": "RATE_LIMITED"}}).type == "error RATE_LIMITED"


def test_an_answer_gives_positions_with_a_state_topics_newest_event_to_come() -> None:
    channels = [
        {"channel": "trades:all", "mode": "log", "epoch": "e", "offset": 4},
        {"channel": "price:BTC", "mode": "state", "epoch": "e", "offset": 4},
        {"channel": "price:ETH", "mode": "state", "epoch": "e", "offset": 0},
    ]
    answer = read({"type": "subscribed", "channels": channels})
    assert dict(answer.start) == {"trades:all": 4, "price:BTC": 3, "price:ETH": 0}


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'"text"', b"{}", b'{"type": 1}', b'{"type": "gap"}'])
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Reading().read(payload)
