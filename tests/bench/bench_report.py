"""What the bench found: medians, the issue's bounds held against them, and a table.

Must not measure. Ratios are taken within a round, so that a machine that slows down for a while
slows both sides, and the median of the rounds counts.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.bench_measure import machine
from tests.bench.bench_rounds import BURST, Effort, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 110


@attrs.frozen
class Bound:
    """What the issue asks: the cost a delivery of one server, in times that of another, in the same mode."""

    says: str
    server: str
    other: str
    mode: str
    most: float


BOUNDS = (
    Bound("one at a time, against the floor", "appliance", "floor", "single", 1.5),
    Bound("one at a time, against websockets", "appliance", "websockets", "single", 1.0),
    Bound("one at a time, against FastAPI", "appliance", "fastapi", "single", 1.0),
    Bound("TLS against plain, one at a time", "appliance TLS", "appliance", "single", 1.35),
    Bound("TLS against plain, bursts", "appliance TLS", "appliance", "burst", 1.35),
    Bound("bursts, against the floor", "appliance", "floor", "burst", 0.3),
)


def result(all_measured: Sequence[Measured], effort: Effort) -> dict[str, Any]:
    by_name = {measured.name: measured for measured in all_measured}
    return {
        "machine": machine(),
        "effort": attrs.asdict(effort),
        "servers": {measured.name: _figures(measured, by_name.get("floor")) for measured in all_measured},
        "bounds": [
            _held(bound, by_name[bound.server], by_name[bound.other])
            for bound in BOUNDS
            if {bound.server, bound.other} <= by_name.keys()
        ],
    }


def right(found: dict[str, Any]) -> bool:
    clean = all(server["clients"]["clean"] for server in found["servers"].values())
    return clean and all(bound["met"] for bound in found["bounds"])


def _ratio(measured: Measured, other: Measured, mode: str) -> float:
    return median(mine / its for mine, its in zip(measured.costs[mode], other.costs[mode], strict=True))


def _held(bound: Bound, measured: Measured, other: Measured) -> dict[str, Any]:
    ratio = _ratio(measured, other, bound.mode)
    return {"says": bound.says, "ratio": ratio, "most": bound.most, "met": ratio <= bound.most}


def _figures(measured: Measured, floor: Measured | None) -> dict[str, Any]:
    return {
        "cpu_us": {mode: median(costs) * 1e6 for mode, costs in measured.costs.items()},
        "cpu_us_rounds": {mode: [cost * 1e6 for cost in costs] for mode, costs in measured.costs.items()},
        "times_floor": {mode: _ratio(measured, floor, mode) for mode in measured.costs} if floor else {},
        "idle_percent": median(measured.idle) * 100,
        "memory_kib": measured.memory / 1024,
        "message_bytes": measured.report["bytes"] / max(1, measured.report["deliveries"]),
        "clients": measured.report,
    }


def show(found: dict[str, Any]) -> None:
    console = Console(width=_WIDTH)
    effort, machine_found = found["effort"], found["machine"]
    table = Table(
        title=f"{effort['clients']} clients, {effort['rounds']} rounds, medians: server CPU µs a delivery",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("server", no_wrap=True)
    for heading in (
        "one at\na time",
        "times\nfloor",
        f"bursts\nof {BURST}",
        "times\nfloor",
        "idle\n% core",
        "KiB a\nclient",
        "message\nbytes",
        "latency\np99 ms",
        "offsets",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, server in found["servers"].items():
        costs = [(server["cpu_us"][mode], server["times_floor"].get(mode)) for mode in server["cpu_us"]]
        table.add_row(
            name,
            *(f"{figure:.2f}" if figure is not None else "" for cost in costs for figure in cost),
            f"{server['idle_percent']:.2f}",
            f"{server['memory_kib']:.1f}",
            f"{server['message_bytes']:.0f}",
            f"{server['clients']['latency_ms'].get('p99', 0):.1f}",
            "all" if server["clients"]["clean"] else "WRONG",
        )
    console.print(table)
    for bound in found["bounds"]:
        verdict = "met" if bound["met"] else "NOT MET"
        console.print(f"{bound['says']:36}{bound['ratio']:6.2f}, at most {bound['most']:4g}: {verdict}")
    console.print(", ".join(f"{name} {value}" for name, value in machine_found.items()))
