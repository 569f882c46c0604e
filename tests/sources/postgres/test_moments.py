from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import RequestError
from appliance.sources.postgres import moments


@given(st.integers(moments.EARLIEST, moments.LATEST))
def test_a_time_is_written_to_the_microsecond(moment: int) -> None:
    read = dt.datetime.fromisoformat(moments.text(moment))
    assert read - dt.datetime(1970, 1, 1, tzinfo=dt.UTC) == dt.timedelta(microseconds=moment)


def test_what_is_beyond_the_years_is_the_nearest_within() -> None:
    assert moments.text(10**30) == "9999-12-31 23:59:59.999999+00"
    assert moments.text(-(10**30)) == "0001-01-01 00:00:00+00"


def test_seconds_are_rounded_to_microseconds() -> None:
    assert moments.micros(1.0000004) == 1_000_000
    assert moments.micros(60) == 60_000_000


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("2030-01-31T12:00:00Z", "2030-01-31 12:00:00+00"),
        ("2030-01-31T12:00:00.25+02:00", "2030-01-31 10:00:00.250000+00"),
        ("2030-01-31T12:00:00", "2030-01-31 12:00:00+00"),
        ("2030-01-31", "2030-01-31 00:00:00+00"),
    ],
)
def test_a_client_may_give_a_time(shown: str, text: str) -> None:
    assert moments.read(shown, "since") == text


@pytest.mark.parametrize(
    "shown", ["", "yesterday", "12", "2030-13-01", "'; DROP TABLE a", "2030-01-31T12:00:00+99:00"]
)
def test_what_is_no_time_is_told(shown: str) -> None:
    with pytest.raises(RequestError, match="`since` is no time"):
        moments.read(shown, "since")
