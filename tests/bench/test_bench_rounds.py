from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.bench.bench_recipes import BenchError, Listener, Order, Recipe, recipes
from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, bring_up, run_rounds
from tests.bench.bench_servers import Server

if TYPE_CHECKING:
    from pathlib import Path

WITHIN = 20.0
EFFORT = Effort(clients=4, rounds=2, turns=2, events=5, every=0.01, settle=0.1)
RECIPES = recipes([sys.executable, "-m", "appliance.cli.main"])
PEERS = [recipe for recipe in RECIPES if recipe.configuration is None]
APPLIANCE = [recipe for recipe in RECIPES if recipe.configuration is not None]


def test_an_order_of_bursts_brings_ten_events_each_and_lasts_as_long() -> None:
    effort = Effort(clients=1, rounds=1, turns=5, events=10)
    assert effort.order("single", 7) == Order(first=7, events=10, burst=1, every=0.04)
    assert effort.order("burst") == Order(first=1, events=20, burst=10, every=0.2)
    assert effort.quiet == 2.0


def test_peers_are_measured_in_every_mode_and_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    with ExitStack() as stack:
        measured = [one for recipe in PEERS for one in bring_up(recipe, EFFORT, tmp_path, stack)]
        run_rounds(measured, EFFORT, lines.append)
        found = result(measured, EFFORT, "floor")
    for one in measured:
        with pytest.raises(ProcessLookupError):
            one.server.process.cpu()
    assert [line.split(",")[0] for line in lines[1:]] == ["round 1 of 2", "round 2 of 2"]
    assert found["servers"].keys() == {"floor", "floor TLS", "websockets", "fastapi"}
    for server in found["servers"].values():
        assert server["clients"]["deliveries"] == 4 * (1 + 2) * 2 * (5 + 10)
        assert server["message_bytes"] == 200
        assert all(len(costs) == 2 for costs in server["cpu_us_rounds"].values())
    assert right(found)
    show(found)
    assert "websockets" in capsys.readouterr().out


def test_one_appliance_has_both_kinds_of_clients_and_an_order_reaches_one_kind(tmp_path: Path) -> None:
    with ExitStack() as stack:
        plain, tls = (one for recipe in APPLIANCE for one in bring_up(recipe, EFFORT, tmp_path, stack))
        assert plain.server is tls.server
        for one, events in ((plain, 3), (tls, 2)):
            one.server.order(one.listener, Order(first=1, events=events, burst=1, every=0.01))
            one.clients.wait_offset(events, WITHIN)
        reports = [one.clients.tell("report") for one in (plain, tls)]
    seen = [
        {topic: at["last"] for topic, at in report["topics"].items() if topic.startswith("bench:")}
        for report in reports
    ]
    assert seen == [{"bench:tcp": [3, 3]}, {"bench:tls": [2, 2]}]
    assert all(report["clean"] for report in reports)


def test_a_server_that_fails_at_its_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such thing')")
    recipe = Recipe(name="broken", command=command, listeners=(Listener(name="broken"),))
    with ExitStack() as stack, pytest.raises(BenchError, match=r"(?s)broken: ended with 1.*no such thing"):
        Server(recipe, tmp_path, 1, stack=stack)
