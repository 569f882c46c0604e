"""The histogram: constant memory, and quantiles within a bucket's width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.histogram import Histogram

WIDTH = 2 ** (1 / 4)
"""Four buckets to a doubling."""

seconds = st.floats(1e-6, 1e5)


def test_nothing_observed() -> None:
    histogram = Histogram()
    assert (histogram.count, histogram.mean, histogram.longest, histogram.quantile(0.5)) == (0, 0, 0, 0)


def test_a_value_counts_as_often_as_told() -> None:
    histogram = Histogram()
    histogram.observe(1.0, 3)
    histogram.observe(5.0)
    assert histogram.count == 4
    assert histogram.mean == 2
    assert histogram.longest == 5
    assert 1 <= histogram.quantile(0.75) <= WIDTH
    assert histogram.quantile(1) == 5


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e-6])
def test_less_than_a_microsecond_is_one_at_most(value: float) -> None:
    histogram = Histogram()
    histogram.observe(value)
    assert histogram.quantile(0.5) == value


def test_more_than_days_stays_in_the_last_bucket() -> None:
    histogram = Histogram()
    histogram.observe(1e9)
    histogram.observe(1e12)
    assert histogram.count == 2
    assert histogram.longest == 1e12
    assert histogram.quantile(0.5) > 86_400


@given(st.lists(seconds, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_its_bucket(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    exact = next(value for rank, value in enumerate(sorted(values), 1) if rank >= share * len(values))
    assert exact * (1 - 1e-9) <= histogram.quantile(share) <= exact * WIDTH * (1 + 1e-9)


@given(st.lists(seconds, min_size=1, max_size=200))
def test_quantiles_do_not_fall(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    quantiles = [histogram.quantile(share / 20) for share in range(21)]
    assert quantiles == sorted(quantiles)
    assert quantiles[-1] == pytest.approx(max(values))
    assert histogram.mean == pytest.approx(sum(values) / len(values))


@given(st.lists(seconds | st.floats(0, 1e12), max_size=200))
def test_doublings_count_what_is_up_to_their_edges(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    told = list(histogram.doublings())
    assert [edge for edge, _ in told] == [1e-6 * 2**step for step in range(len(told))]
    assert told[-1][0] > 86_400
    for edge, count in told:
        # What lies on an edge may be counted on either side of it.
        assert sum(value < edge * (1 - 1e-9) for value in values) <= count
        assert count <= sum(value <= edge * (1 + 1e-9) for value in values)
