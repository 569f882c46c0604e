"""What the bench found of a part: medians, the issue's bounds held against them, and a table.

Must not measure. Ratios are taken within a round, so that a machine that slows down for a while
slows both sides, and the median of the rounds counts.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.bench_dialects import OWN
from tests.bench.bench_rounds import BURST, Effort, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 110
_HEADINGS = {"single": "one at\na time", "burst": f"bursts\nof {BURST}"}


@attrs.frozen
class Cost:
    """That of a delivery by one server, in one mode."""

    server: str
    mode: str


@attrs.frozen
class Ratio:
    """One cost in times of another. What the issue asks has a bound; the rest is there to judge it by."""

    says: str
    cost: Cost
    other: Cost
    most: float = math.inf


_FLOOR, _FLOOR_BURST = Cost("floor", "single"), Cost("floor", "burst")
_FLOOR_TLS, _FLOOR_TLS_BURST = Cost("floor TLS", "single"), Cost("floor TLS", "burst")
_OWN, _OWN_BURST = Cost("appliance", "single"), Cost("appliance", "burst")
_OWN_TLS, _OWN_TLS_BURST = Cost("appliance TLS", "single"), Cost("appliance TLS", "burst")

RATIOS = (
    Ratio("one at a time, against the floor", _OWN, _FLOOR, 1.5),
    Ratio("one at a time, against websockets", _OWN, Cost("websockets", "single"), 1.0),
    Ratio("one at a time, against FastAPI", _OWN, Cost("fastapi", "single"), 1.0),
    Ratio("bursts, against the floor one at a time", _OWN_BURST, _FLOOR, 0.3),
    Ratio("bursts, against the floor's bursts", _OWN_BURST, _FLOOR_BURST),
    Ratio("TLS over plain, one at a time: ours", _OWN_TLS, _OWN, 1.35),
    Ratio("TLS over plain, one at a time: bare loop", _FLOOR_TLS, _FLOOR),
    Ratio("TLS over plain, bursts: ours", _OWN_TLS_BURST, _OWN_BURST),
    Ratio("TLS over plain, bursts: bare loop", _FLOOR_TLS_BURST, _FLOOR_BURST),
    *(
        Ratio(f"{name}, against the own protocol", Cost(name, "single"), Cost(OWN, "single"))
        for name in ("data-ws", "ara", "trading signals", "trading prices")
    ),
)


def result(all_measured: Sequence[Measured], effort: Effort, base: str) -> dict[str, Any]:
    """Give what is found of one part; costs stand beside those of the `base`, where that was measured too."""
    by_name = {measured.name: measured for measured in all_measured}
    return {
        "effort": attrs.asdict(effort),
        "base": base,
        "servers": {measured.name: _figures(measured, by_name.get(base)) for measured in all_measured},
        "ratios": [
            _judged(ratio, by_name)
            for ratio in RATIOS
            if {ratio.cost.server, ratio.other.server} <= by_name.keys()
        ],
    }


def right(found: dict[str, Any]) -> bool:
    clean = all(server["clients"]["clean"] for server in found["servers"].values())
    return clean and all(ratio["met"] for ratio in found["ratios"])


def _rounds(costs: Sequence[float], others: Sequence[float]) -> list[float]:
    return [cost / other for cost, other in zip(costs, others, strict=True)]


def _judged(ratio: Ratio, by_name: dict[str, Measured]) -> dict[str, Any]:
    costs, others = (by_name[cost.server].costs[cost.mode] for cost in (ratio.cost, ratio.other))
    rounds = _rounds(costs, others)
    middle = median(rounds)
    most = None if ratio.most == math.inf else ratio.most
    return {
        "says": ratio.says,
        "ratio": middle,
        "rounds": rounds,
        "most": most,
        "met": middle <= ratio.most,
    }


def _figures(measured: Measured, base: Measured | None) -> dict[str, Any]:
    return {
        "cpu_us": {mode: median(costs) * 1e6 for mode, costs in measured.costs.items()},
        "cpu_us_rounds": {mode: [cost * 1e6 for cost in costs] for mode, costs in measured.costs.items()},
        "times_base": {
            mode: median(_rounds(costs, base.costs[mode])) for mode, costs in measured.costs.items()
        }
        if base
        else {},
        "idle_percent": median(measured.idle) * 100,
        "memory_kib": measured.memory / 1024,
        "message_bytes": measured.report["bytes"] / max(1, measured.report["deliveries"]),
        "clients": measured.report,
    }


def show(found: dict[str, Any]) -> None:
    console = Console(width=_WIDTH)
    effort, modes = found["effort"], found["effort"]["modes"]
    table = Table(
        title=f"{effort['clients']} clients, {effort['rounds']} rounds, medians: server CPU µs a delivery",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("", no_wrap=True)
    for heading in (
        *(line for mode in modes for line in (_HEADINGS[mode], f"times\n{found['base']}")),
        "process\nidle %",
        "KiB a\nclient",
        "message\nbytes",
        "latency\np99 ms",
        "offsets",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, server in found["servers"].items():
        costs = [(server["cpu_us"][mode], server["times_base"].get(mode)) for mode in modes]
        latency = server["clients"]["latency_ms"].get("p99")
        table.add_row(
            name,
            *(f"{figure:.2f}" if figure is not None else "" for cost in costs for figure in cost),
            f"{server['idle_percent']:.2f}",
            f"{server['memory_kib']:.1f}",
            f"{server['message_bytes']:.0f}",
            "" if latency is None else f"{latency:.1f}",
            "all" if server["clients"]["clean"] else "WRONG",
        )
    console.print(table)
    for ratio in found["ratios"]:
        least, largest = min(ratio["rounds"]), max(ratio["rounds"])
        line = f"{ratio['says']:41}{ratio['ratio']:7.3f}  ({least:.2f} to {largest:.2f})"
        if ratio["most"] is not None:
            line += f", at most {ratio['most']:g}: {'met' if ratio['met'] else 'NOT MET'}"
        console.print(line)
