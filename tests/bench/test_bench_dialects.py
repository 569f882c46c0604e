from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench.bench_dialects import dialects
from tests.bench.bench_report import result, right
from tests.bench.bench_rounds import Effort, bring_up, run_rounds

if TYPE_CHECKING:
    from pathlib import Path

EFFORT = Effort(clients=4, rounds=2, turns=2, events=5, every=0.02, settle=0.3, modes=("single",))
WARM = 1
DIALECTS = dialects([sys.executable, "-m", "appliance.cli.main"])


def test_each_dialects_clients_get_their_own_events_and_all_of_them(tmp_path: Path) -> None:
    with ExitStack() as stack:
        all_measured = bring_up(DIALECTS, EFFORT, tmp_path, stack)
        run_rounds(all_measured, EFFORT, lambda _: None)
    reports = {measured.name: measured.report for measured in all_measured}
    events = (EFFORT.rounds + WARM) * EFFORT.turns * EFFORT.events
    topics = {
        "own protocol": {"predictions:OWN": [1, events]},
        "data-ws": {"predictions:ROW": [1, events]},
        "ara": {"predictions:ARA": [1, events]},
        "trading signals": {"signals:all": [1, events]},
        "trading prices": {},
    }
    assert {
        name: {
            topic: [seen["first"][0], seen["last"][0]]
            for topic, seen in report["topics"].items()
            if topic != "system:status"
        }
        for name, report in reports.items()
    } == topics
    prices = reports["trading prices"]["streams"]["prices"]
    assert prices["told"] == [events * 10] * 2
    assert prices["clients"] == EFFORT.clients
    assert right(result(all_measured, EFFORT, "own protocol"))
