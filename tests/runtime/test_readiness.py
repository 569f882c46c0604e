"""Whether the appliance is able, and what it says is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.runtime.readiness import Bearings, Phase, Readiness
from appliance.runtime.status import Health
from appliance.settings.keeping import StoreSettings
from appliance.settings.tree import ChannelSettings, Settings

KEPT: dict[str, Any] = {"is_healthy": True, "reason": None, "channels": ["trades"]}
FULL: dict[str, Any] = {"is_healthy": False, "reason": "store.db: the disk is full", "channels": ["trades"]}
IN_MEMORY = "nothing can be kept, streaming goes on in memory: store.db: the disk is full"


def well() -> Health:
    return Health(running=True, able=True)


def judged(
    store: dict[str, Any] | None = None,
    *,
    required: tuple[str, ...] = (),
    store_required: bool = False,
    phase: Phase = Phase.SERVING,
    **health: Health,
) -> Readiness:
    settings = Settings(
        channels={name: ChannelSettings(required=True) for name in required},
        store=StoreSettings(required=store_required),
    )
    return Bearings(
        health=health, store=lambda: store or KEPT, settings=lambda: settings, phase=phase
    ).readiness()


def test_all_is_well() -> None:
    assert judged(price=well(), required=("price",)) == Readiness(able=True, reasons=())


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (Phase.STARTING, "the listeners do not serve yet"),
        (Phase.STOPPING, "the appliance is stopping"),
    ],
)
def test_only_who_serves_is_able_and_that_is_all_there_is_to_say(phase: Phase, reason: str) -> None:
    assert judged(FULL, phase=phase, price=Health()) == Readiness(able=False, reasons=(reason,))


def test_it_begins_as_not_able() -> None:
    bearings = Bearings(health={}, store=lambda: KEPT, settings=Settings)
    assert not bearings.readiness().able
    bearings.phase = Phase.SERVING
    assert bearings.readiness().able


def test_a_store_that_is_not_required_is_told_of() -> None:
    assert judged(FULL) == Readiness(able=True, reasons=(IN_MEMORY,))


def test_a_store_that_is_required_is_decisive() -> None:
    assert judged(FULL, store_required=True) == Readiness(able=False, reasons=(IN_MEMORY,))


def test_where_nothing_is_to_be_kept_nothing_is_missing() -> None:
    assert judged({**FULL, "channels": []}) == Readiness(able=True)
    assert not judged({**FULL, "channels": []}, store_required=True).able


@pytest.mark.parametrize(
    ("health", "problem"),
    [
        (
            Health(running=True, able=True, failing=True, last_error="OSError: away"),
            "its producer fails: OSError: away",
        ),
        (Health(able=True), "its producer fails: it does not run"),
        (
            Health(running=True, able=True, stale=True, stale_after=60.0),
            "it has published nothing for 60 s (stale_after)",
        ),
        (
            Health(able=True, quarantined="it floods, too often"),
            "its producer is quarantined: it floods, too often",
        ),
    ],
)
def test_a_channel_that_is_not_healthy_is_told_of_and_decisive_where_required(
    health: Health, problem: str
) -> None:
    told = (f"channel price: {problem}",)
    assert judged(price=health, trades=well()) == Readiness(able=True, reasons=told)
    assert judged(price=health, trades=well(), required=("trades",)).able
    assert judged(price=health, trades=well(), required=("price",)) == Readiness(able=False, reasons=told)


def test_a_required_channel_that_is_not_there() -> None:
    found = judged(required=("price",))
    assert not found.able
    assert found.reasons == ("channel price is not there: its plugin is missing, or was refused",)


def test_a_channel_that_is_switched_off_is_not_required() -> None:
    settings = Settings(channels={"price": ChannelSettings(required=True, enabled=False)})
    bearings = Bearings(health={}, store=lambda: KEPT, settings=lambda: settings, phase=Phase.SERVING)
    assert bearings.readiness() == Readiness(able=True)


def test_a_required_channel_has_to_be_able_to_give_something_first() -> None:
    health = Health(running=True)
    assert judged(price=health).able
    assert not judged(price=health, required=("price",)).able
    assert "nothing yet" in judged(price=health, required=("price",)).reasons[0]
    health.updated(2.0, 1.0)
    assert judged(price=health, required=("price",)) == Readiness(able=True)


def test_all_that_is_wrong_is_told() -> None:
    found = judged(FULL, trades=Health(), price=Health(), required=("market",))
    assert [reason.partition(":")[0] for reason in found.reasons] == [
        "nothing can be kept, streaming goes on in memory",
        "channel market is not there",
        "channel price",
        "channel trades",
    ]


def test_while_memory_is_short_new_clients_are_not_well_served() -> None:
    bearings = Bearings(
        health={"price": well()},
        store=lambda: KEPT,
        settings=Settings,
        pressure=lambda: "memory is short",
        phase=Phase.SERVING,
    )
    assert bearings.readiness() == Readiness(able=False, reasons=("memory is short",))


def test_what_else_is_wrong_can_be_borne() -> None:
    bearings = Bearings(health={}, store=lambda: KEPT, settings=Settings, phase=Phase.SERVING)
    bearings.concerns += [tuple, lambda: ["the audit log loses lines"]]
    assert bearings.readiness() == Readiness(able=True, reasons=("the audit log loses lines",))
