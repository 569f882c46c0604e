"""The rounds of the bench: every server up at once, each measured in turn while the others are quiet.

Must not know what is made of the figures. CPU is the server process's own, user and kernel, less what
it uses when nothing is sent. Turns are short and every other one goes backwards, so that what slows the
machine for a while slows all alike; a round is the sum of its turns.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs

from tests.bench.bench_recipes import Listener, Order, Recipe
from tests.bench.bench_servers import Clients, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack
    from pathlib import Path

BURST = 10
MODES = {"single": 1, "burst": BURST}

_SPARE = 100
_LATE = 60.0
_SLOWER = 5
"""A burst takes that many times as long as a single event, so that no server is ever full."""


@attrs.frozen(kw_only=True)
class Effort:
    """How much is sent in each turn of each round."""

    clients: int
    rounds: int
    turns: int
    events: int = 10
    """Single events of a turn."""
    every: float = 0.04
    """Seconds between single events."""
    settle: float = 1.0
    """Seconds until memory is looked at, once a server has started or its clients are there."""
    modes: tuple[str, ...] = tuple(MODES)

    def order(self, mode: str, first: int = 1) -> Order:
        burst = MODES[mode]
        if burst == 1:
            return Order(first=first, events=self.events, burst=1, every=self.every)
        events = max(1, self.events // _SLOWER) * burst
        return Order(first=first, events=events, burst=burst, every=self.every * _SLOWER)

    @property
    def quiet(self) -> float:
        """Seconds without an event at the start of a round: as long as all its single events."""
        return self.turns * self.events * self.every


@attrs.define
class Measured:
    """One kind of clients of a server, and what was found in each round."""

    server: Server
    listener: Listener
    clients: Clients
    memory: float
    """Bytes for each client that is connected and quiet."""
    costs: dict[str, list[float]]
    """CPU seconds a delivery, by mode."""
    ordered: int = 0
    """Events so far."""
    delivered: int = 0
    idle: list[float] = attrs.Factory(list)
    """CPU seconds a second of the server's process, with all clients connected and quiet."""
    report: dict[str, Any] = attrs.Factory(dict)

    @property
    def name(self) -> str:
        name: str = self.listener.name
        return name


@attrs.define
class Round:
    """What one kind of clients cost in one round."""

    idle: float
    used: Counter[str] = attrs.Factory(Counter)
    deliveries: Counter[str] = attrs.Factory(Counter)


def bring_up(recipe: Recipe, effort: Effort, folder: Path, stack: ExitStack) -> list[Measured]:
    """Start a server and connect its clients, one kind after the other, so that each kind's memory shows."""
    server = Server(recipe, folder, effort.clients * len(recipe.listeners) + _SPARE, stack=stack)
    time.sleep(effort.settle)
    found = []
    for listener in recipe.listeners:
        before = server.process.resident()
        clients = Clients(server, listener, effort.clients, folder, stack=stack)
        time.sleep(effort.settle)
        memory = (server.process.resident() - before) / effort.clients
        costs: dict[str, list[float]] = {mode: [] for mode in effort.modes}
        found.append(Measured(server, listener, clients, memory, costs))
    return found


def run_rounds(all_measured: Sequence[Measured], effort: Effort, progress: Callable[[str], None]) -> None:
    progress("warming up: one round that does not count")
    _run_round(all_measured, effort)
    for number in range(effort.rounds):
        for measured, found in zip(all_measured, _run_round(all_measured, effort), strict=True):
            measured.idle.append(found.idle)
            for mode, costs in measured.costs.items():
                costs.append(found.used[mode] / found.deliveries[mode])
        costs_found = (
            f"{measured.name} {'/'.join(f'{costs[-1] * 1e6:.2f}' for costs in measured.costs.values())}"
            for measured in all_measured
        )
        progress(f"round {number + 1} of {effort.rounds}, µs a delivery: {'  '.join(costs_found)}")
    for measured in all_measured:
        measured.report = measured.clients.tell("report")


def _run_round(all_measured: Sequence[Measured], effort: Effort) -> list[Round]:
    rounds = [Round(idle) for idle in _measure_idle(all_measured, effort.quiet)]
    forwards = list(zip(all_measured, rounds, strict=True))
    for turn in range(effort.turns):
        for mode in effort.modes:
            for measured, found in reversed(forwards) if turn % 2 else forwards:
                _measure(measured, mode, effort, found)
    return rounds


def _measure_idle(all_measured: Sequence[Measured], seconds: float) -> list[float]:
    start = time.monotonic()
    before = [measured.server.process.cpu() for measured in all_measured]
    time.sleep(seconds)
    passed = time.monotonic() - start
    return [
        (measured.server.process.cpu() - cpu) / passed
        for measured, cpu in zip(all_measured, before, strict=True)
    ]


def _measure(measured: Measured, mode: str, effort: Effort, found: Round) -> None:
    order, listener = effort.order(mode, measured.ordered + 1), measured.listener
    start, cpu = time.monotonic(), measured.server.process.cpu()
    measured.server.order(listener, order)
    measured.ordered += order.events
    delivered = measured.clients.wait_offset(listener.last(measured.ordered), _LATE)
    used = measured.server.process.cpu() - cpu
    found.used[mode] += used - found.idle * (time.monotonic() - start)  # type: ignore[assignment]  # seconds
    found.deliveries[mode] += delivered - measured.delivered
    measured.delivered = delivered
