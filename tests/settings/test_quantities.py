"""Times and sizes as text, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.settings import quantities


@pytest.mark.parametrize(
    ("text", "value"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("1.5h", 5400), ("30 s", 30)],
)
def test_a_time_has_a_unit(text: str, value: float) -> None:
    assert quantities.seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("12B", 12), ("64KiB", 65_536), ("4MiB", 4_194_304), ("1GiB", 1 << 30), ("2kB", 2000), ("1 MB", 10**6)],
)
def test_a_size_has_a_unit(text: str, value: int) -> None:
    assert quantities.size(text) == value


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "5 minutes", "1h30m", "5S", "٣s", f"{10**399}d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        quantities.seconds(text)


@pytest.mark.parametrize("text", ["", "64", "KiB", "-1B", "1.5MiB", "64kb", "1" * 19 + "B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a size"):
        quantities.size(text)


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False) | st.integers(0, 10**9).map(float))
def test_each_time_comes_back_from_its_text(value: float) -> None:
    assert quantities.seconds(quantities.time_text(value)) == value


@given(st.integers(0, 10**17))
def test_each_size_comes_back_from_its_text(value: int) -> None:
    assert quantities.size(quantities.size_text(value)) == value


def test_text_takes_the_largest_whole_unit() -> None:
    assert [quantities.time_text(v) for v in (0, 0.5, 10, 60, 90, 86_400)] == [
        "0s",
        "500ms",
        "10s",
        "1m",
        "90s",
        "1d",
    ]
    assert [quantities.size_text(v) for v in (0, 125, 1024, 1536, 1 << 20)] == [
        "0B",
        "125B",
        "1KiB",
        "1536B",
        "1MiB",
    ]
