from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.core.histogram import Histogram
from appliance.ops.metrics.family import Family, counter, gauge, histogram, info
from tests.ops.metrics.panel import panel

if TYPE_CHECKING:
    from appliance.ops.metrics.instruments import Reading


@pytest.fixture
async def reading() -> Reading:
    return await panel().read()


def samples(family: Family, reading: Reading) -> list[tuple[str, dict[str, str], float]]:
    return [(each.name, each.labels, each.value) for each in family.metric(reading).samples]


async def test_a_family_has_one_value(reading: Reading) -> None:
    made = gauge("appliance_depth", "How deep", lambda at: at.settings.limits.sessions)
    metric = made.metric(reading)
    assert (metric.name, metric.type, metric.documentation) == ("appliance_depth", "gauge", "How deep")
    assert samples(made, reading) == [("appliance_depth", {}, 10_000)]


async def test_a_family_has_values_by_labels(reading: Reading) -> None:
    made = gauge("a", "A", lambda _: {("x", "y"): 1, ("x", "z"): 2.5}, "first", "second")
    assert samples(made, reading) == [
        ("a", {"first": "x", "second": "y"}, 1),
        ("a", {"first": "x", "second": "z"}, 2.5),
    ]


async def test_a_family_may_have_nothing_to_tell(reading: Reading) -> None:
    assert samples(gauge("a", "A", lambda _: None), reading) == []
    assert samples(gauge("a", "A", lambda _: {}, "first"), reading) == []


async def test_nothing_and_no_are_something_to_tell(reading: Reading) -> None:
    assert samples(gauge("a", "A", lambda _: 0), reading) == [("a", {}, 0)]
    assert samples(gauge("a", "A", lambda _: False), reading) == [("a", {}, 0)]


async def test_a_value_for_each_label_is_a_must(reading: Reading) -> None:
    with pytest.raises(ValueError, match="zip"):
        gauge("a", "A", lambda _: {("x",): 1}, "first", "second").metric(reading)


async def test_a_counter_is_known_without_its_end(reading: Reading) -> None:
    made = counter("appliance_gaps_total", "Gaps", lambda _: 3)
    assert (made.metric(reading).name, made.metric(reading).type) == ("appliance_gaps", "counter")
    assert samples(made, reading) == [("appliance_gaps_total", {}, 3)]


async def test_an_info_is_told_by_its_labels(reading: Reading) -> None:
    made = info("appliance_build_info", "Build", lambda _: {("1.0",): 1}, "version")
    assert (made.metric(reading).name, made.metric(reading).type) == ("appliance_build", "info")
    assert samples(made, reading) == [("appliance_build_info", {"version": "1.0"}, 1)]


async def test_a_histogram_counts_up_to_each_edge(reading: Reading) -> None:
    times = Histogram()
    for seconds in (0.0, 1e-5, 0.001, 0.001, 3.0, 1e6):
        times.observe(seconds)
    made = histogram("appliance_delay_seconds", "Delay", lambda _: times)
    *found, count, total = samples(made, reading)
    assert (count[0], total[0]) == ("appliance_delay_seconds_count", "appliance_delay_seconds_sum")
    assert count[2] == 6
    assert total[2] == pytest.approx(1_000_003.00201)
    assert {name for name, _, _ in found} == {"appliance_delay_seconds_bucket"}
    edges = {float(labels["le"]): value for _, labels, value in found}
    assert list(edges) == sorted(edges)
    assert edges[6.4e-05] == 2
    assert edges[0.000512] == 2
    assert edges[0.001024] == 4
    assert edges[2.09715] == 4
    assert edges[4.1943] == 5
    assert max(edge for edge in edges if edge != float("inf")) == 67.1089
    assert edges[float("inf")] == 6
