from __future__ import annotations

from typing import Any

import pytest

from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, Measured


class Named:
    """Stands for a server, its listener and its clients, of which a result only takes the name."""

    def __init__(self, name: str) -> None:
        self.name = name


EFFORT = Effort(clients=1, rounds=3, turns=1)
DIALECTS = Effort(clients=1, rounds=3, turns=1, modes=("single",))


def measured(name: str, single: list[float], burst: list[float], *, clean: bool = True) -> Measured:
    report = {"clean": clean, "bytes": 400, "deliveries": 2, "latency_ms": {}}
    named: Any = Named(name)
    costs = {"single": single, "burst": burst} if burst else {"single": single}
    return Measured(named, named, named, 2048.0, costs, idle=[0.01], report=report)


def ratios(found: dict[str, Any]) -> dict[str, tuple[float, float | None, bool]]:
    return {
        ratio["says"]: (round(ratio["ratio"], 6), ratio["most"], ratio["met"]) for ratio in found["ratios"]
    }


def test_ratios_are_medians_of_the_rounds() -> None:
    floor = measured("floor", [1e-6, 2e-6, 4e-6], [0.8e-6] * 3)
    own = measured("appliance", [1.2e-6, 3.2e-6, 4.8e-6], [0.4e-6] * 3)
    found = result([floor, own], EFFORT, "floor")
    assert ratios(found) == {
        "one at a time, against the floor": (1.2, 1.5, True),
        "bursts, against the floor one at a time": (0.2, 0.3, True),
        "bursts, against the floor's bursts": (0.5, None, True),
    }
    assert found["servers"]["appliance"]["memory_kib"] == 2.0
    assert found["servers"]["appliance"]["times_base"] == pytest.approx({"single": 1.2, "burst": 0.5})
    assert right(found)


def test_tls_is_held_against_our_plain_figure_with_what_it_costs_a_bare_loop_beside() -> None:
    names = ("floor", "floor TLS", "appliance", "appliance TLS")
    singles, bursts = (5e-6, 7e-6, 6e-6, 8.4e-6), (4e-6, 6e-6, 1e-6, 1.7e-6)
    every = [
        measured(*costs) for costs in zip(names, [[c] for c in singles], [[c] for c in bursts], strict=True)
    ]
    found = result(every, EFFORT, "floor")
    assert {says: judged for says, judged in ratios(found).items() if says.startswith("TLS")} == {
        "TLS over plain, one at a time: ours": (1.4, 1.35, False),
        "TLS over plain, one at a time: bare loop": (1.4, None, True),
        "TLS over plain, bursts: ours": (1.7, None, True),
        "TLS over plain, bursts: bare loop": (1.5, None, True),
    }
    assert not right(found)


def test_a_report_shows_each_ratio_with_its_range_and_its_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    floor = measured("floor", [1e-6, 1e-6], [1e-6, 1e-6])
    show(result([floor, measured("appliance", [1.6e-6, 1.8e-6], [0.2e-6, 0.2e-6])], EFFORT, "floor"))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "one at a time, against the floor 1.700 (1.60 to 1.80), at most 1.5: NOT MET" in lines
    assert "bursts, against the floor one at a time 0.200 (0.20 to 0.20), at most 0.3: met" in lines
    assert "bursts, against the floor's bursts 0.200 (0.20 to 0.20)" in lines


def test_a_bound_that_is_not_met_or_an_offset_that_is_wrong_is_not_right() -> None:
    floor = measured("floor", [1e-6], [1e-6])
    for own in (
        measured("appliance", [1.6e-6], [0.2e-6]),
        measured("appliance", [1e-6], [0.2e-6], clean=False),
    ):
        assert not right(result([floor, own], EFFORT, "floor"))


def test_dialects_are_held_against_the_own_protocol_without_a_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    own, rows = measured("own protocol", [4e-6, 5e-6, 6e-6], []), measured("data-ws", [5e-6, 5e-6, 9e-6], [])
    found = result([own, rows], DIALECTS, "own protocol")
    assert ratios(found) == {"data-ws, against the own protocol": (1.25, None, True)}
    assert right(found)
    show(found)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "data-ws 5.00 1.25 1.00 2.0 200 all" in lines
    assert "data-ws, against the own protocol 1.250 (1.00 to 1.50)" in lines
