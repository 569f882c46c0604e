"""How much somebody may publish: a rate of events and of bytes, over all requests, told with when to come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Bytes, Seconds, Secret
from appliance.settings.tree import PublishSettings
from tests.edge.stage import Stage, configuration, plain_http, playing

if TYPE_CHECKING:
    import httpx

ANN, BOB = "sk_of-ann", "sk_of-bob"


def limited(events: float = 1e9, size: int = 2**30, burst: float = 10.0) -> Any:
    keys = [KeySettings(name=key[-3:], key=Secret(key), publish=("price",)) for key in (ANN, BOB)]
    publish = PublishSettings(
        events_per_second=events, bytes_per_second=Bytes(size), burst=Seconds(burst), body_bytes=Bytes(5_000)
    )
    return attrs.evolve(configuration(), auth=AuthSettings(keys=tuple(keys)), publish=publish)


async def publish(stage: Stage, count: int = 1, *, key: str = ANN, wide: int = 0) -> httpx.Response:
    events = [{"channel": "price", "key": "BTC", "data": {"text": "x" * wide}}] * count
    async with plain_http(stage.port) as http:
        headers = {"authorization": f"Bearer {key}"}
        return await http.post("/api/v1/publish", json=events, headers=headers)


async def test_a_rate_of_events_is_that_of_all_requests_together() -> None:
    async with playing(limited(events=0.5)) as stage:
        assert [(await publish(stage, 3)).status_code for _ in range(2)] == [200, 200]
        refused = await publish(stage)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        assert "publish.events_per_second" in refused.json()["error"]
        assert (await publish(stage, key=BOB)).status_code == 200
        assert stage.traffic.limits == {"publish.events_per_second": 1}
        assert stage.errors == {"RATE_LIMITED": 1}


async def test_a_rate_of_bytes_holds_for_few_large_ones() -> None:
    async with playing(limited(size=1024, burst=1.0)) as stage:
        assert (await publish(stage, wide=4_000)).status_code == 200
        refused = await publish(stage)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 4
        assert "publish.bytes_per_second" in refused.json()["error"]


async def test_what_is_wrong_costs_as_much_as_what_is_right() -> None:
    async with playing(limited(events=0.2)) as stage:
        async with plain_http(stage.port) as http:
            codes = [
                (
                    await http.post(
                        "/api/v1/publish",
                        json=[{"channel": "price", "key": 5}] * 3,
                        headers={"authorization": f"Bearer {ANN}"},
                    )
                ).status_code
                for _ in range(2)
            ]
        assert codes == [422, 429]


async def test_another_rate_holds_at_once() -> None:
    async with playing(limited(events=0.5)) as stage:
        await publish(stage, 6)
        assert (await publish(stage)).status_code == 429
        settings = stage.held.settings
        stage.held.settings = attrs.evolve(
            settings, publish=attrs.evolve(settings.publish, events_per_second=1e6)
        )
        assert (await publish(stage, 6)).status_code == 200
