from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from appliance.ops.doctor import clock
from tests.ops.doctor.said import only, said

NOW = 1_900_000_000.0
GOOD = clock.Facts(now=NOW, newest=NOW - 100, synchronised=True, source="tsc")


def test_a_good_one_is_told() -> None:
    assert said(clock.judge(GOOD)) == [("clock", "ok"), ("clock-source", "ok")]


@pytest.mark.parametrize(
    ("change", "kind", "verdict", "words"),
    [
        ({"newest": NOW + 86_400}, "clock", "problem", "it says 2030-03-17 17:46 UTC"),
        ({"synchronised": False}, "clock", "warning", "nothing keeps it synchronised"),
        ({"synchronised": None}, "clock", "note", "does not tell"),
        ({"source": "hpet"}, "clock-source", "warning", "hpet"),
        ({"source": "acpi_pm"}, "clock-source", "warning", "acpi_pm"),
    ],
)
def test_what_is_not_well_is_told(change: dict[str, Any], kind: str, verdict: str, words: str) -> None:
    found = only(clock.judge(attrs.evolve(GOOD, **change)))
    assert (found.kind, found.verdict) == (kind, verdict)
    assert words in found.what


def test_files_of_this_minute_and_none_at_all_are_good() -> None:
    for newest in (NOW + 60, None):
        assert said(clock.judge(attrs.evolve(GOOD, newest=newest)))[0] == ("clock", "ok")


def test_of_a_source_that_is_not_told_nothing_is_said() -> None:
    assert said(clock.judge(attrs.evolve(GOOD, source=None))) == [("clock", "ok")]


def test_a_clock_that_went_back_is_seen_by_files(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.touch()
    now = time.time()
    assert said(clock.judge(clock.gather(now, [file])))[0][1] != "problem"
    os.utime(file, (now + 1000, now + 1000))
    found = clock.judge(clock.gather(now, [file, tmp_path / "nothing"]))
    assert said(found)[0] == ("clock", "problem")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells")
def test_the_kernel_tells_of_this_one() -> None:
    facts = clock.gather(time.time(), [])
    assert facts.synchronised is not None
    assert (
        facts.source
        == Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    )
