"""The metrics of the process, beside what Prometheus' own collector says of it."""

from __future__ import annotations

import os
import resource
import sys
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client import ProcessCollector

from appliance.ops.metrics import process
from appliance.ops.metrics.footprint import PROCESS
from tests.ops.metrics.panel import panel, scraped, value

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


async def test_it_says_what_prometheus_own_collector_says() -> None:
    theirs = {metric.name: metric for metric in ProcessCollector(registry=None).collect()}
    found = await scraped(panel())
    ours = {name: metric for name, metric in found.items() if name.startswith("process_")}
    assert ours.keys() == theirs.keys()
    for name, metric in theirs.items():
        assert ours[name].type == metric.type
        [own], [other] = ours[name].samples, metric.samples
        assert own.name == other.name
        assert own.value == pytest.approx(other.value, rel=0.1, abs=3)


async def test_open_files_are_counted_as_they_come_and_go() -> None:
    before = await value(panel(), "process_open_fds")
    ends = [os.pipe() for _ in range(50)]
    assert await value(panel(), "process_open_fds") == before + 100
    for end in (end for pair in ends for end in pair):
        os.close(end)
    assert await value(panel(), "process_open_fds") == before
    assert await value(panel(), "process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def test_time_and_memory() -> None:
    assert time.time() - 86_400 < await value(panel(), "process_start_time_seconds") <= time.time()
    spent = await value(panel(), "process_cpu_seconds_total".removesuffix("_total"))
    assert 0 < spent <= time.process_time()
    memory = await value(panel(), "process_resident_memory_bytes")
    assert 1 << 20 < memory < await value(panel(), "process_virtual_memory_bytes")


async def test_where_there_is_no_proc_only_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_ITSELF", tmp_path / "self")
    found = await scraped(panel())
    told = {family.name for family in PROCESS if found[family.name.removesuffix("_total")].samples}
    assert told == {"process_cpu_seconds_total", "process_max_fds"}
