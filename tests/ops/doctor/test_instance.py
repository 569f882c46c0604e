from __future__ import annotations

from pathlib import Path

from appliance.ops.doctor import instance
from appliance.ops.doctor.processes import Process
from tests.ops.doctor.said import only, said

STATE = Path("/var/lib/appliance")


def facts(holder: Process | None, told: int | None) -> instance.Facts:
    return instance.Facts(folder=STATE, holder=holder, told=told)


def test_an_appliance_that_runs_is_told_by_its_number() -> None:
    running = facts(Process(4711, "python3"), 4711)
    assert running.appliance == 4711
    [found] = instance.judge(running)
    assert (found.verdict, found.what) == ("ok", "process 4711 runs with /var/lib/appliance")


def test_one_that_ran_before_does_not_run() -> None:
    ended = facts(None, 4711)
    assert ended.appliance is None
    assert said(instance.judge(ended)) == [("instance", "ok")]


def test_another_process_with_the_store_is_warned_of() -> None:
    for told in (4711, None):
        found = only(instance.judge(facts(Process(812, "sqlite3"), told)))
        assert (found.kind, found.verdict) == ("instance", "warning")
        assert "sqlite3 (process 812)" in found.what
        assert "kill 812" in found.remedy
