from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.sources.postgres.rows import Head
from appliance.sources.postgres.seen import Comparison, Seen

SPAN = 60


def head(time: int, number: int | str) -> Head:
    identity = json.dumps([number])
    return Head(str(time), time, identity, hash((time, identity)), "key", 2)


def rows(*pairs: tuple[int, int]) -> list[Head]:
    return [head(*pair) for pair in pairs]


def seen(edge: int = 0) -> Seen:
    return Seen({"edge": edge}, span=SPAN)


def merged(state: dict[str, Any], note: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**state, **note}.items() if value is not None}


def test_a_row_that_was_told_is_known() -> None:
    one = seen()
    one.tell(rows((1, 1)))
    assert head(1, 1) in one
    assert head(1, 2) not in one


def test_a_row_with_another_time_is_another() -> None:
    one = seen()
    one.tell(rows((1, 1)))
    assert head(2, 1) not in one


def test_long_identities_are_told_apart() -> None:
    one = seen()
    one.tell([head(1, "a" * 5_000 + "b")])
    assert head(1, "a" * 5_000 + "b") in one
    assert head(1, "a" * 5_000 + "c") not in one
    assert len(json.dumps(one.tell([head(1, "a" * 5_000)]))) < 200


def test_what_lies_before_the_edge_is_not_kept() -> None:
    one = seen(10)
    note = one.tell(rows((9, 1), (10, 2)))
    assert len(one) == 1
    assert note == {"edge": 10, "seen/0": ["10 [2]"]}


def test_the_edge_never_goes_back() -> None:
    one = seen(10)
    one.expire(5)
    assert one.edge == 10


def test_a_page_is_taken_away_when_the_edge_has_passed_it() -> None:
    one = seen()
    one.tell(rows((1, 1), (2, 2)))
    one.tell(rows((3, 3)))
    one.expire(2)
    assert one.tell([]) == {"edge": 2}
    one.expire(3)
    assert one.tell([]) == {"edge": 3, "seen/0": None}
    assert one.tell([]) == {"edge": 3}
    assert head(2, 2) not in one
    assert head(3, 3) in one


def test_a_row_of_the_far_future_does_not_keep_others() -> None:
    one = seen()
    note = one.tell(rows((1, 1), (1_000_000, 2), (2, 3)))
    assert note == {"edge": 0, "seen/0": ["1 [1]", "2 [3]"], "seen/1": ["1000000 [2]"]}
    one.tell(rows((4, 4)))
    one.expire(10)
    assert one.tell([]) == {"edge": 10, "seen/0": None, "seen/2": None}


def test_many_rows_are_noted_in_pages() -> None:
    note = seen().tell([head(1, number) for number in range(25_000)])
    assert [len(page) for name, page in note.items() if name != "edge"] == [10_000, 10_000, 5_000]


def test_a_row_is_noted_once() -> None:
    one = seen()
    one.tell(rows((1, 1)))
    assert one.tell(rows((1, 1))) == {"edge": 0}


def test_after_a_restart_the_rows_are_known_and_the_pages_numbered_on() -> None:
    one = seen()
    state = merged({"edge": 0}, one.tell(rows((1, 1), (5, 2))))
    again = Seen(state, span=SPAN)
    assert head(1, 1) in again
    assert again.tell(rows((6, 3))) == {"edge": 0, "seen/1": ["6 [3]"]}
    again.expire(6)
    assert again.tell([]) == {"edge": 6, "seen/0": None}


def test_after_a_restart_it_is_not_known_what_the_table_still_has() -> None:
    state = merged({"edge": 0}, seen().tell(rows((1, 1))))
    again = Seen(state, span=SPAN)
    assert again.digest == (0, 0)
    comparison = Comparison(again)
    assert comparison.missing(rows((1, 1), (2, 2))) == rows((2, 2))
    comparison.finish()
    assert again.digest == (1, head(1, 1).hash)


def test_a_row_that_was_deleted_is_expected_no_more_and_yet_known() -> None:
    one = seen()
    one.tell(rows((1, 1), (2, 2)))
    comparison = Comparison(one)
    assert comparison.missing(rows((2, 2))) == []
    comparison.finish()
    assert one.digest == (1, head(2, 2).hash)
    assert head(1, 1) in one
    one.expire(3)
    assert one.digest == (0, 0)


def test_late_rows_are_expected_once_they_are_told() -> None:
    one = seen()
    one.tell(rows((2, 2)))
    comparison = Comparison(one)
    late = comparison.missing(rows((1, 1), (2, 2)))
    one.tell(late)
    comparison.finish()
    assert one.digest == (2, head(1, 1).hash + head(2, 2).hash)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3))), st.integers(0, 500))
def test_the_digest_is_that_of_the_rows_from_the_edge_on(pairs: list[tuple[int, int]], edge: int) -> None:
    one = seen()
    one.tell(rows(*pairs))
    one.expire(edge)
    left = {pair for pair in pairs if pair[0] >= edge}
    assert one.digest == (len(left), sum(head(*pair).hash for pair in left))


class Window(RuleBasedStateMachine):
    """Whatever is told, expired and taken up again from its notes: what was told from the edge on is known."""

    def __init__(self) -> None:
        super().__init__()
        self.state: dict[str, Any] = {"edge": 0}
        self.seen = Seen(self.state, span=SPAN)
        self.told: set[tuple[int, int]] = set()

    @rule(pairs=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2))))
    def tell(self, pairs: list[tuple[int, int]]) -> None:
        self.state = merged(self.state, self.seen.tell(rows(*pairs)))
        self.told |= set(pairs)

    @rule(edge=st.integers(0, 300))
    def expire(self, edge: int) -> None:
        self.seen.expire(edge)

    @rule()
    def restart(self) -> None:
        self.seen = Seen(json.loads(json.dumps(self.state)), span=SPAN)

    @invariant()
    def those_from_the_edge_on_are_known(self) -> None:
        kept = {(time, number) for time, number in self.told if time >= self.seen.edge}
        # What was told before it was let go of may have come after the edge that was noted.
        assert all(head(*pair) in self.seen for pair in kept)
        assert len(self.seen) == len([1 for pair in self.told if head(*pair) in self.seen])

    @invariant()
    def what_is_noted_stays_in_proportion(self) -> None:
        pages = [name for name in self.state if name != "edge"]
        assert len(pages) <= len(self.told)


TestWindow = Window.TestCase
