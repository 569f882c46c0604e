"""The frames of HTTP/2 as far as their heads tell, cut anywhere."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.edge.http.frames import (
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    LARGEST,
    PREFACE,
    FloodError,
    Frames,
)

MOST = 8_192
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION, UNKNOWN = range(11)


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + (1).to_bytes(4, "big") + payload


def frames() -> Frames:
    return Frames(most_headers=MOST, now=0.0)


FREE = [frame(DATA, b"x" * 100), frame(DATA, flags=1), frame(HEADERS, b"x" * 50, flags=4)]


@given(st.lists(st.sampled_from(FREE), max_size=40), st.lists(st.integers(1, 60), max_size=40))
def test_requests_and_their_data_are_free_however_they_are_cut(sent: list[bytes], cuts: list[int]) -> None:
    follows, data, at = frames(), PREFACE + b"".join(sent * 50), 0
    for step in itertools.chain(cuts, (len(data),)):
        follows.receive(data[at : at + step], 0.0)
        at += step


@pytest.mark.parametrize(
    "kind", [PRIORITY, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION, UNKNOWN, DATA]
)
def test_what_is_no_request_is_limited(kind: int) -> None:
    follows = frames()
    follows.receive(PREFACE + frame(kind) * 1000, 0.0)
    with pytest.raises(FloodError) as caught:
        follows.receive(frame(kind), 0.0)
    assert caught.value.code == ENHANCE_YOUR_CALM


def test_requests_that_are_taken_back_are_limited_sooner() -> None:
    follows = frames()
    follows.receive(PREFACE + (frame(HEADERS, b"x", flags=5) + frame(RESET, bytes(4))) * 100, 0.0)
    with pytest.raises(FloodError):
        follows.receive(frame(RESET, bytes(4)), 0.0)


def test_what_comes_in_time_is_not_limited() -> None:
    follows = frames()
    follows.receive(PREFACE, 0.0)
    for second in range(1000):
        follows.receive(frame(PING, bytes(8)) * 20, float(second))


def test_who_is_answered_may_open_windows() -> None:
    follows = frames()
    follows.receive(PREFACE, 0.0)
    for _ in range(10_000):
        follows.sent(1, 0.0)
        follows.receive(frame(WINDOW, bytes(4)) * 2, 0.0)


def test_a_large_frame_is_told_before_it_is_there() -> None:
    follows = frames()
    follows.receive(PREFACE + frame(DATA, b"x" * LARGEST), 0.0)
    with pytest.raises(FloodError) as caught:
        follows.receive(frame(DATA, length=LARGEST + 1), 0.0)
    assert caught.value.code == FRAME_SIZE_ERROR


def test_many_headers_are_told_before_they_are_there() -> None:
    follows = frames()
    follows.receive(PREFACE + frame(HEADERS, b"x" * 4_000) + frame(CONTINUATION, b"x" * 4_000), 0.0)
    with pytest.raises(FloodError) as caught:
        follows.receive(frame(CONTINUATION, length=193), 0.0)
    assert caught.value.code == ENHANCE_YOUR_CALM


@given(st.lists(st.binary(max_size=80)))
def test_garbage_is_a_flood_or_nothing(chunks: list[bytes]) -> None:
    follows = frames()
    with contextlib.suppress(FloodError):
        for chunk in (PREFACE, *chunks):
            follows.receive(chunk, 0.0)
