from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from appliance.ops.doctor import unit
from tests.ops.doctor.said import only, said

if TYPE_CHECKING:
    from collections.abc import Mapping

GOOD = {
    "LoadState": "loaded",
    "Type": "notify-reload",
    "Restart": "on-failure",
    "WatchdogUSec": "30s",
    "TimeoutStopUSec": "1min 30s",
    "LimitNOFILE": "65536",
    "MemoryMax": "infinity",
}


def facts(changes: Mapping[str, str] | None = None, deadline: float = 10.0) -> unit.Facts:
    return unit.Facts(name="appliance.service", properties={**GOOD, **(changes or {})}, deadline=deadline)


def test_a_good_one_is_told() -> None:
    assert said(unit.judge(facts())) == [("unit", "ok")]


@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        ({"Type": "simple"}, "has Type=simple", "Type=notify-reload"),
        ({"WatchdogUSec": "0"}, "has no watchdog", "WatchdogSec=30"),
        ({"WatchdogUSec": "infinity"}, "has no watchdog", "WatchdogSec=30"),
        ({"WatchdogUSec": "500ms"}, "has a watchdog of 0.5 s", "WatchdogSec=30"),
        ({"Restart": "no"}, "has Restart=no", "Restart=on-failure"),
        ({"TimeoutStopUSec": "5s"}, "is given 5 s to stop, and stop.deadline is 10 s", "TimeoutStopSec=15"),
    ],
)
def test_what_it_lacks_is_warned_of(changes: dict[str, str], words: str, remedy: str) -> None:
    found = only(unit.judge(facts(changes)))
    assert (found.kind, found.verdict) == ("unit", "warning")
    assert words in found.what
    assert remedy in found.remedy


def test_a_stop_without_an_end_is_long_enough() -> None:
    assert said(unit.judge(facts({"TimeoutStopUSec": "infinity"}, 600.0))) == [("unit", "ok")]


def test_one_that_is_not_there_is_noted() -> None:
    absent = facts({"LoadState": "not-found"})
    assert not absent.is_there
    assert only(unit.judge(absent)).verdict == "note"
    assert absent.number("LimitNOFILE") is None


def test_without_systemd_there_is_none() -> None:
    without = unit.Facts(name="appliance.service", properties=None, deadline=10.0)
    assert said(unit.judge(without)) == [("unit", "ok")]
    assert without.number("LimitNOFILE") is None


def test_its_limits_are_numbers() -> None:
    assert facts().number("LimitNOFILE") == 65_536
    assert facts().number("MemoryMax") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90.0),
        ("500ms", 0.5),
        ("1h 2min", 3720.0),
        ("2.5s", 2.5),
        ("0", 0.0),
        ("infinity", math.inf),
        ("", None),
        ("soon", None),
    ],
)
def test_times_are_read_as_systemd_writes_them(text: str, seconds: float | None) -> None:
    assert unit.span(text) == seconds
