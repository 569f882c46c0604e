"""Frames in the order in which they go out, shared by who is sent the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.core import chain


def test_a_beginning_is_empty() -> None:
    root = chain.root()
    assert (root.joined, root.count, root.size) == (b"", 0, 0)


@given(st.lists(st.binary(), max_size=20))
def test_frames_are_joined_in_order(frames: list[bytes]) -> None:
    link = chain.root()
    for frame in frames:
        link = link.then(frame)
    assert link.joined == b"".join(frames)
    assert link.joined is link.joined
    assert (link.count, link.size) == (len(frames), sum(map(len, frames)))


def test_who_is_sent_the_same_holds_the_same_link() -> None:
    root, first, second = chain.root(), b"first", b"second"
    assert root.then(first).then(second) is root.then(first).then(second)


def test_equal_frames_of_others_are_not_the_same() -> None:
    root = chain.root()
    one, other = root.then(bytes([1, 2])), root.then(bytes([1, 2]))
    assert one.joined == other.joined
    assert one is not other


def test_a_branch_leaves_the_others_as_they_were() -> None:
    root, first = chain.root(), b"first"
    shared = root.then(first)
    one = shared.then(b"one")
    other = shared.then(b"other")
    assert one.joined == b"firstone"
    assert other.joined == b"firstother"
    assert shared.joined == b"first"
    assert one.then(b"!").joined == b"firstone!"


@given(st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=6))
def test_any_number_of_holders_read_what_they_were_given(orders: list[list[int]]) -> None:
    frames = [b"a", b"b", b"c", b"d"]
    root = chain.root()
    links = [root for _ in orders]
    for step in range(6):  # in turns, as the hub offers
        for holder, order in enumerate(orders):
            if step < len(order):
                links[holder] = links[holder].then(frames[order[step]])
    assert [link.joined for link in links] == [b"".join(frames[n] for n in order) for order in orders]
