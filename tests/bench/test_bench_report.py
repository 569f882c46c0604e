from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.bench_report import result, right
from tests.bench.bench_rounds import Effort, Measured

if TYPE_CHECKING:
    from typing import Any


class Named:
    """Stands for a server and its clients, of which a result only takes the name."""

    def __init__(self, name: str) -> None:
        self.recipe = self
        self.name = name


def measured(name: str, single: list[float], burst: list[float], *, clean: bool = True) -> Measured:
    report: dict[str, Any] = {"clean": clean, "bytes": 400, "deliveries": 2, "latency_ms": {}}
    named: Any = Named(name)
    return Measured(
        named, named, 2048.0, idle=[0.01], costs={"single": single, "burst": burst}, report=report
    )


def test_ratios_are_medians_of_the_rounds() -> None:
    floor = measured("floor", [1e-6, 2e-6, 4e-6], [1e-6] * 3)
    own = measured("appliance", [1.2e-6, 3.2e-6, 4.8e-6], [0.2e-6] * 3)
    found = result([floor, own], Effort(clients=1, rounds=3, events=1))
    ratios = {bound["says"]: (round(bound["ratio"], 6), bound["met"]) for bound in found["bounds"]}
    assert ratios == {
        "one at a time, against the floor": (1.2, True),
        "bursts, against the floor": (0.2, True),
    }
    assert found["servers"]["appliance"]["memory_kib"] == 2.0
    assert right(found)


def test_a_bound_that_is_not_met_or_an_offset_that_is_wrong_is_not_right() -> None:
    effort = Effort(clients=1, rounds=1, events=1)
    floor = measured("floor", [1e-6], [1e-6])
    assert not right(result([floor, measured("appliance", [1.6e-6], [0.2e-6])], effort))
    assert not right(result([floor, measured("appliance", [1e-6], [0.2e-6], clean=False)], effort))
