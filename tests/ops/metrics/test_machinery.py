from __future__ import annotations

import platform

import pytest

import appliance
from appliance.core.history import Retention
from appliance.loading.configured import Configured
from appliance.runtime.journal import Journal
from appliance.runtime.readiness import Readiness
from appliance.settings.keeping import StoreSettings
from appliance.settings.tree import Settings
from tests.ops.metrics.panel import buckets, observed, panel, scraped, value, values
from tests.runtime.intaking import PRICE, Scene


async def test_which_build_it_is() -> None:
    [sample] = (await scraped(panel()))["appliance_build_info"].samples
    assert sample.labels == {"version": appliance.__version__, "python": platform.python_version()}
    assert sample.value == 1


@pytest.mark.parametrize("able", [True, False])
async def test_whether_it_is_ready(*, able: bool) -> None:
    assert await value(panel(readiness=lambda: Readiness(able)), "appliance_ready") == able


async def test_how_late_the_loop_is() -> None:
    instruments = panel()
    observed(instruments.watchman.delays, 0.0001, 0.0001, 2.5)
    edges, count, total = await buckets(instruments, "appliance_loop_delay_seconds")
    assert (edges["0.000128"], edges["2.09715"], edges["4.1943"], count) == (2, 2, 3, 3)
    assert total == pytest.approx(2.5002)


async def test_when_the_certificate_ends() -> None:
    name = "appliance_certificate_expiry_timestamp_seconds"
    assert await value(panel(certificate=lambda: 1_800_000_000.0), name) == 1_800_000_000
    assert (await scraped(panel()))[name].samples == []


async def mode(journal: Journal) -> str:
    found = await values(panel(journal=journal), "appliance_store_mode")
    [(name,)] = [labels for labels, told in found.items() if told]
    assert len(found) == 3
    return name


async def test_where_durable_channels_are_kept() -> None:
    scene = Scene()
    assert await mode(Journal(scene.hub)) == "none"
    without = Journal(scene.hub, unusable="the disk is full")
    assert await mode(without) == "none"
    durable = Configured(PRICE, None, Retention(count=1, age=None, size=1_000), None, durable=True)
    await without.adopt(durable, lambda: None)
    assert await mode(without) == "memory"


async def test_what_waits_for_the_disk_and_may() -> None:
    instruments = panel(settings=lambda: Settings(store=StoreSettings(waiting=7)))
    assert await value(instruments, "appliance_store_waiting_events_limit") == 7
    for family in ("kept", "waiting", "behind"):
        assert await value(instruments, f"appliance_store_{family}_events") == 0


async def test_how_long_a_batch_takes() -> None:
    instruments = panel()
    observed(instruments.journal.writes, 0.01)
    edges, count, total = await buckets(instruments, "appliance_store_write_seconds")
    assert (edges["0.008192"], edges["0.016384"], count, total) == (0, 1, 1, 0.01)


async def test_how_large_its_files_are() -> None:
    instruments = panel(files=lambda: (4_096, 32))
    assert await value(instruments, "appliance_store_file_bytes") == 4_096
    assert await value(instruments, "appliance_store_log_bytes") == 32
    for family in ("file", "log"):
        assert (await scraped(panel()))[f"appliance_store_{family}_bytes"].samples == []
