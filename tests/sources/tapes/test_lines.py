from __future__ import annotations

import datetime as dt
import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import digits
from appliance.sources.tapes import lines
from appliance.sources.tapes.lines import Taped
from tests.sources.tapes.reels import START, taped

LINE = (
    b'{"received":"2030-01-31T12:00:00Z","at":"2030-01-31T12:00:00Z","channel":"price","key":"BTC","data":%b}'
)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"price":43250.7500,"change":-0.5,"text":"Z\xc3\xbcrich \\u001f"}']
)
def test_the_data_of_an_event_is_the_same_bytes_again(body: bytes) -> None:
    read = lines.read(lines.write(taped(0, data=body)))
    assert bytes(read.data) == body
    assert digits.encode(read.content) == body


def test_a_line_is_an_object_with_the_times_first() -> None:
    line = lines.write(
        Taped(
            received=lines.moment(START + 0.25),
            at=lines.moment(START),
            channel="price",
            key="BTC",
            topic="price:BTC",
            epoch="1b86",
            offset=6,
            data=msgspec.Raw(b'{"price":1.50}'),
        )
    )
    assert line == (
        b'{"received":"2030-03-17T17:46:40.250000Z","at":"2030-03-17T17:46:40Z","channel":"price","key":"BTC",'
        b'"topic":"price:BTC","epoch":"1b86","offset":6,"data":{"price":1.50}}\n'
    )


def test_what_is_not_known_does_not_stand_there() -> None:
    assert list(json.loads(lines.write(taped(0)))) == ["received", "at", "channel", "key", "data"]


def test_a_line_of_a_later_version_is_read_too() -> None:
    line = lines.write(taped(3)).replace(b'{"received"', b'{"later":[1],"received"')
    assert lines.read(line).channel == "price"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"at":"2030-01-31T12:00:00Z","channel":"price","key":"BTC","data":{}}', "`received`"),
        (b'{"received":"2030-01-31T12:00:00","at":"2030-01-31T12:00:00Z"}', "timezone"),
        (b'{"received":"today","at":"2030-01-31T12:00:00Z"}', "RFC3339"),
        (lines.write(taped(0)).replace(b'{"price":1}', b"5"), "`data` is no object"),
    ],
)
def test_what_is_no_event_is_told_of(line: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lines.read(line)


def test_an_event_nested_beyond_reason_is_none() -> None:
    with pytest.raises(ValueError, match="recursion"):
        lines.read(LINE % (b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}"))


@pytest.mark.parametrize("value", [b'"\xff"', b"1" + b"0" * 5_000, b"1e5555555555555555555555"])
def test_data_that_nobody_can_take_is_told_of(value: bytes) -> None:
    read = lines.read(LINE % (b'{"a":%b}' % value))
    with pytest.raises(ValueError, match=r"\w"):
        _ = read.content


@pytest.mark.parametrize(
    ("seconds", "year"), [(math.nan, 1), (-1e30, 1), (1e30, 9999), (math.inf, 9999), (START, 2030)]
)
def test_a_time_beyond_all_calendars_is_the_nearest_within(seconds: float, year: int) -> None:
    assert lines.moment(seconds).year == year


@given(st.floats(min_value=0, max_value=4e9))
def test_a_moment_is_kept_to_the_microsecond(seconds: float) -> None:
    moment = lines.moment(seconds)
    assert moment.tzinfo is dt.UTC
    assert abs(moment.timestamp() - seconds) <= 1e-6
