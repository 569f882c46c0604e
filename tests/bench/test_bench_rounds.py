from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.bench.bench_report import result, right, show
from tests.bench.bench_rounds import Effort, bring_up, run_rounds
from tests.bench.bench_servers import BenchError, Recipe, Server, recipes

if TYPE_CHECKING:
    from pathlib import Path

EFFORT = Effort(clients=4, rounds=2, events=5, every=0.01)
PEERS = {recipe.name: recipe for recipe in recipes(["appliance"]) if not recipe.configured}


def test_an_order_of_bursts_brings_ten_events_each_and_lasts_as_long() -> None:
    effort = Effort(clients=1, rounds=1, events=50)
    assert effort.order(1) == (50, 1, 0.04)
    assert effort.order(10) == (100, 10, 0.2)
    assert effort.phase == 2.0


def test_peers_are_measured_in_every_mode_and_leave_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    with ExitStack() as stack:
        measured = [bring_up(recipe, EFFORT, tmp_path, stack) for recipe in PEERS.values()]
        run_rounds(measured, EFFORT, lines.append)
        found = result(measured, EFFORT)
    for one in measured:
        with pytest.raises(ProcessLookupError):
            one.server.process.cpu()
    assert [line.split(",")[0] for line in lines] == ["round 1 of 2", "round 2 of 2"]
    assert found["servers"].keys() == PEERS.keys()
    for server in found["servers"].values():
        assert server["clients"]["deliveries"] == 4 * 2 * (5 + 10)
        assert server["message_bytes"] == 200
        assert all(len(costs) == 2 for costs in server["cpu_us_rounds"].values())
    assert right(found)
    assert not right({**found, "bounds": [{"met": False}]})
    show(found)
    assert "websockets" in capsys.readouterr().out


def test_a_server_that_fails_at_its_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    recipe = Recipe(name="broken", command=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    with ExitStack() as stack, pytest.raises(BenchError, match=r"(?s)broken: ended with 1.*no such thing"):
        Server(recipe, tmp_path, 1, stack=stack)
