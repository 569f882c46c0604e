from __future__ import annotations

import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import instants


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1734609600.25, "2024-12-19T12:00:00.250Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
        (math.inf, "9999-12-31T23:59:59.000Z"),
        (-math.inf, "0001-01-01T00:00:00.000Z"),
        (math.nan, "0001-01-01T00:00:00.000Z"),
    ],
)
def test_a_moment_is_written_in_utc(moment: float, text: str) -> None:
    assert instants.timestamp(moment) == text


@given(st.floats(allow_nan=False).filter(lambda moment: abs(moment) < 50_000_000_000))
def test_the_text_is_the_moment_to_the_millisecond(moment: float) -> None:
    text = instants.timestamp(moment)
    assert abs(dt.datetime.fromisoformat(text).timestamp() - moment) < 0.001 + 1e-5


@given(st.floats())
def test_whatever_a_source_gives_as_its_time_can_be_written(moment: float) -> None:
    assert dt.datetime.fromisoformat(instants.timestamp(moment)).tzinfo == dt.UTC
