from __future__ import annotations

import pytest
import trio

from appliance.core.conduct import Offence
from appliance.loading.ledger import PluginState, Standing
from appliance.ops.metrics.channels import CHANNELS
from appliance.runtime.intake import Outcome
from appliance.runtime.status import Health
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import Settings
from tests.ops.metrics.panel import panel, scraped, value, values
from tests.runtime.intaking import Scene


@pytest.mark.parametrize(
    ("health", "healthy", "stale", "quarantined"),
    [
        (Health(running=True), 1, 0, 0),
        (Health(), 0, 0, 0),
        (Health(running=True, failing=True), 0, 0, 0),
        (Health(running=True, stale=True), 0, 1, 0),
        (Health(quarantined="it floods"), 0, 0, 1),
    ],
)
async def test_how_a_channel_is(health: Health, healthy: float, stale: float, quarantined: float) -> None:
    instruments = panel()
    instruments.status.health["price"] = health
    assert await values(instruments, "appliance_channel_healthy") == {("price",): healthy}
    assert await values(instruments, "appliance_channel_stale") == {("price",): stale}
    assert await values(instruments, "appliance_channel_quarantined") == {("price",): quarantined}


async def test_when_its_newest_event_happened_and_came() -> None:
    instruments = panel()
    health = instruments.status.health
    health["price"], health["silent"] = Health(), Health()
    health["price"].updated(1_000.5, 998.0)
    assert await values(instruments, "appliance_channel_received_timestamp_seconds") == {("price",): 1_000.5}
    assert await values(instruments, "appliance_channel_source_timestamp_seconds") == {("price",): 998.0}
    assert await values(instruments, "appliance_channel_lag_seconds") == {("price",): 2.5}
    assert await values(instruments, "appliance_channel_events") == {("price",): 1, ("silent",): 0}


async def test_what_went_wrong_with_its_producer() -> None:
    instruments = panel()
    health = instruments.status.health["price"] = Health(errors=3, recovery_attempts=2, refused=7)
    health.offences[Offence.FLOODS] += 4
    assert await values(instruments, "appliance_producer_failures") == {("price",): 3}
    assert await values(instruments, "appliance_producer_restarts") == {("price",): 2}
    assert await values(instruments, "appliance_channel_refused_rows") == {("price",): 7}
    assert await values(instruments, "appliance_producer_offences") == {
        ("price", "blocks"): 0,
        ("price", "floods"): 4,
        ("price", "lingers"): 0,
        ("price", "is_silent"): 0,
    }


async def test_how_many_topics_there_are_and_may_be() -> None:
    scene = Scene()
    scene.hub.declare("price", ["BTC", "ETH"])
    instruments = panel(scene, settings=lambda: Settings(limits=LimitSettings(topics=50)))
    assert (await values(instruments, "appliance_channel_topics"))["price",] == 2
    assert await value(instruments, "appliance_channel_topics_limit") == 50


async def test_the_threads_of_producers() -> None:
    instruments = panel()
    async with instruments.threads:
        assert await value(instruments, "appliance_producer_threads") == 1
    assert await value(instruments, "appliance_producer_threads") == 0
    assert await value(instruments, "appliance_producer_threads_limit") == 4
    assert isinstance(instruments.threads, trio.CapacityLimiter)


async def test_plugins_by_how_they_fare() -> None:
    def plugin(state: Standing) -> PluginState:
        return PluginState(name="p", file="p.py", origin="folder", state=state)

    instruments = panel(plugins=lambda: [plugin("loaded"), plugin("refused"), plugin("loaded")])
    assert await values(instruments, "appliance_plugins") == {
        ("loaded",): 2,
        ("refused",): 1,
        ("incomplete",): 0,
        ("quarantined",): 0,
    }


async def test_what_became_of_what_was_sent_to_be_published() -> None:
    scene = Scene()
    scene.intake.outcomes.update({Outcome.ACCEPTED: 5, Outcome.REFUSED: 1})
    scene.intake.events = 50
    instruments = panel(scene)
    assert await values(instruments, "appliance_publish_requests") == {
        ("accepted",): 5,
        ("repeated",): 0,
        ("refused",): 1,
    }
    assert await value(instruments, "appliance_publish_events") == 50


async def test_a_channel_that_has_gone_is_told_of_no_more() -> None:
    instruments = panel()
    instruments.status.health["price"] = Health()
    instruments.status.health.clear()
    found = await scraped(instruments)
    assert [sample for sample in found["appliance_channel_healthy"].samples if sample.labels] == []


def test_no_label_has_a_value_for_each_client_or_topic() -> None:
    assert {label for family in CHANNELS for label in family.labels} == {
        *("channel", "offence", "state", "outcome"),
    }
