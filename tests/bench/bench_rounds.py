"""The rounds of the bench: every server up at once, each measured in turn while the others are quiet.

Must not know what is made of the figures. CPU is the server process's own, user and kernel, less what
it uses when nothing is sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from tests.bench.bench_servers import Clients, Recipe, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack
    from pathlib import Path

BURST = 10
MODES = {"single": 1, "burst": BURST}

_SPARE = 100
_SETTLE = 1.0
_LATE = 60.0
_SLOWER = 5
"""A burst takes that many times as long as a single event, so that no server is ever full."""


@attrs.frozen(kw_only=True)
class Effort:
    """How much is sent in each phase of each round."""

    clients: int
    rounds: int
    events: int
    every: float = 0.04
    """Seconds between single events."""

    def order(self, burst: int) -> tuple[int, int, float]:
        if burst == 1:
            return self.events, 1, self.every
        return max(1, self.events // _SLOWER) * burst, burst, self.every * _SLOWER

    @property
    def phase(self) -> float:
        return self.events * self.every


@attrs.define
class Measured:
    """One server with its clients, and what was found in each round."""

    server: Server
    clients: Clients
    memory: float
    """Bytes for each client that is connected and quiet."""
    ordered: int = 0
    idle: list[float] = attrs.Factory(list)
    """CPU seconds a second, with all clients connected and quiet."""
    costs: dict[str, list[float]] = attrs.Factory(lambda: {mode: [] for mode in MODES})
    """CPU seconds a delivery."""
    report: dict[str, Any] = attrs.Factory(dict)

    @property
    def name(self) -> str:
        name: str = self.server.recipe.name
        return name


def bring_up(recipe: Recipe, effort: Effort, folder: Path, stack: ExitStack) -> Measured:
    server = Server(recipe, folder, effort.clients + _SPARE, stack=stack)
    time.sleep(_SETTLE)
    before = server.process.resident()
    clients = Clients(server, effort.clients, folder, stack=stack)
    time.sleep(_SETTLE)
    return Measured(server, clients, (server.process.resident() - before) / effort.clients)


def run_rounds(all_measured: Sequence[Measured], effort: Effort, progress: Callable[[str], None]) -> None:
    for number in range(effort.rounds):
        _measure_idle(all_measured, effort.phase)
        turn = number % len(all_measured)
        for measured in (*all_measured[turn:], *all_measured[:turn]):
            for mode in MODES:
                _measure(measured, mode, effort)
        found = (
            f"{measured.name} {'/'.join(f'{costs[-1] * 1e6:.2f}' for costs in measured.costs.values())}"
            for measured in all_measured
        )
        progress(f"round {number + 1} of {effort.rounds}, µs a delivery: {'  '.join(found)}")
    for measured in all_measured:
        measured.report = measured.clients.tell("report")


def _measure_idle(all_measured: Sequence[Measured], seconds: float) -> None:
    start = time.monotonic()
    before = [measured.server.process.cpu() for measured in all_measured]
    time.sleep(seconds)
    passed = time.monotonic() - start
    for measured, cpu in zip(all_measured, before, strict=True):
        measured.idle.append((measured.server.process.cpu() - cpu) / passed)


def _measure(measured: Measured, mode: str, effort: Effort) -> None:
    order = effort.order(MODES[mode])
    deliveries = order[0] * effort.clients
    start, cpu = time.monotonic(), measured.server.process.cpu()
    measured.server.order(*order)
    measured.ordered += deliveries
    measured.clients.wait_deliveries(measured.ordered, _LATE)
    used = measured.server.process.cpu() - cpu
    quiet = measured.idle[-1] * (time.monotonic() - start)
    measured.costs[mode].append((used - quiet) / deliveries)
