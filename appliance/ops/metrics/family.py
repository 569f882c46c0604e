"""A family of metrics: what it is called, what it means, and how its values are read.

Must not know which families there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs
from prometheus_client.core import Metric

from appliance.core.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from appliance.ops.metrics.instruments import Reading

    Labelled: TypeAlias = Mapping[tuple[str, ...], float]
    """Values by the values of the labels, in the order of the family's labels."""
    Read: TypeAlias = Callable[[Reading], float | Labelled | Histogram | None]
    """Gives a value, none where there is none at the moment, values by labels, or a histogram."""

Kind = Literal["counter", "gauge", "histogram", "info"]

_SUFFIXES: dict[Kind, str] = {"counter": "_total", "info": "_info"}
_SHORTEST, _LONGEST = 60e-6, 70.0
"""Seconds between which the buckets of a histogram lie, each twice as long as the one before."""


@attrs.frozen
class Family:
    """`name` is how its samples are called."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...]
    read: Read

    def metric(self, reading: Reading) -> Metric:
        """Give the family with its values of the moment, for Prometheus' own library to write."""
        metric = Metric(self.name.removesuffix(_SUFFIXES.get(self.kind, "")), self.meaning, self.kind)
        found = self.read(reading)
        if isinstance(found, Histogram):
            for edge, count in _buckets(found):
                metric.add_sample(f"{self.name}_bucket", {"le": edge}, count)
            metric.add_sample(f"{self.name}_count", {}, found.count)
            metric.add_sample(f"{self.name}_sum", {}, found.total)
        elif isinstance(found, int | float):
            metric.add_sample(self.name, {}, found)
        elif found is not None:
            for values, value in found.items():
                metric.add_sample(self.name, dict(zip(self.labels, values, strict=True)), value)
        return metric


def gauge(name: str, meaning: str, read: Read, *labels: str) -> Family:
    """Make a family of what goes up and down."""
    return Family(name, "gauge", meaning, labels, read)


def counter(name: str, meaning: str, read: Read, *labels: str) -> Family:
    """Make a family of what only grows until the next start."""
    return Family(name, "counter", meaning, labels, read)


def histogram(name: str, meaning: str, read: Callable[[Reading], Histogram]) -> Family:
    """Make a family of how long something takes."""
    return Family(name, "histogram", meaning, (), read)


def info(name: str, meaning: str, read: Callable[[Reading], Labelled], *labels: str) -> Family:
    """Make a family of what is told by its labels alone."""
    return Family(name, "info", meaning, labels, read)


def _buckets(histogram: Histogram) -> Iterator[tuple[str, int]]:
    for edge, count in histogram.doublings():
        if _SHORTEST <= edge <= _LONGEST:
            yield f"{edge:.6g}", count
    yield "+Inf", histogram.count
