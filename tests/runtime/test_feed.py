"""A producer's handle for publishing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
import trio

from appliance.api import Channel, Mode
from appliance.core.errors import PublishError
from appliance.core.history import Retention
from appliance.runtime.feed import HubFeed
from appliance.runtime.hub import Hub
from appliance.runtime.status import Health

if TYPE_CHECKING:
    from trio.testing import MockClock

    from appliance.core.events import Entry


class Quote(msgspec.Struct):
    price: float


class Scene:
    def __init__(self, schema: type | None = None) -> None:
        self.hub = Hub(epoch="e", most_topics=100, most_bytes=10_000)
        self.health = Health()
        channel = Channel(name="price", mode=Mode.STATE, message="price_update", schema=schema)
        self.hub.open(channel, None, Retention(count=1000, age=None, size=1_000_000))
        self.log = structlog.get_logger().bind(channel="price")
        self.feed = HubFeed(channel, self.hub, self.health, self.log)

    def topics(self) -> set[str]:
        return {topic.name for topic in self.hub.matching("*")}

    def entries(self, key: str) -> list[Entry]:
        return list(self.hub.topic(f"price:{key}").after(0))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_it_names_its_channel_and_has_its_log(scene: Scene) -> None:
    assert scene.feed.channel == "price"
    assert scene.feed.log is scene.log


async def test_an_event_reaches_its_topic(scene: Scene) -> None:
    before = time.time()
    await scene.feed.publish({"price": 1.5}, key="BTC", at=5.0)
    [entry] = scene.entries("BTC")
    assert (entry.offset, entry.at, entry.body) == (1, 5.0, b'{"price":1.5}')
    assert before <= entry.received <= time.time()
    assert scene.health.events == 1
    assert scene.health.last_update == entry.received


async def test_without_a_time_it_is_now(scene: Scene) -> None:
    await scene.feed.publish({}, key="BTC")
    [entry] = scene.entries("BTC")
    assert entry.at == entry.received


def test_declared_topics_are_there_before_their_first_event(scene: Scene) -> None:
    scene.feed.declare("BTC", "ETH")
    assert scene.topics() == {"price:BTC", "price:ETH"}
    assert scene.entries("BTC") == []


@pytest.mark.parametrize("data", [{"price": "high"}, {}, {"price": None}])
async def test_data_must_fit_the_schema(data: dict[str, Any]) -> None:
    scene = Scene(Quote)
    with pytest.raises(PublishError, match=r"^price: the event of 'BTC' does not fit its schema: .*price"):
        await scene.feed.publish(data, key="BTC")
    assert scene.topics() == set()
    assert scene.health.events == 0


async def test_data_that_fits_is_published_whole() -> None:
    scene = Scene(Quote)
    await scene.feed.publish({"price": 1, "currency": "USD"}, key="BTC")
    assert [entry.body for entry in scene.entries("BTC")] == [b'{"price":1,"currency":"USD"}']


async def test_what_is_no_json_is_refused(scene: Scene) -> None:
    with pytest.raises(PublishError, match="no JSON"):
        await scene.feed.publish({"price": object()}, key="BTC")
    assert scene.topics() == set()


async def test_who_publishes_without_end_lets_others_run(scene: Scene, nursery: trio.Nursery) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    for _ in range(1_000_000):
        if turns >= 5:
            break
        await scene.feed.publish({}, key="BTC")
    assert turns >= 5
    nursery.cancel_scope.cancel()


async def test_a_producer_that_only_publishes_can_be_cancelled(scene: Scene) -> None:
    with trio.CancelScope() as scope:
        while True:
            await scene.feed.publish({}, key="BTC")
            scope.cancel()
    assert scene.health.events == 2


async def test_beats_come_on_time(scene: Scene, autojump_clock: MockClock) -> None:
    beats: list[tuple[int, float]] = []
    await trio.sleep(3)
    async for count in scene.feed.every(0.5):
        beats.append((count, autojump_clock.current_time()))
        if count == 4:
            break
    assert beats == [(0, 3.0), (1, 3.5), (2, 4.0), (3, 4.5), (4, 5.0)]


async def test_missed_beats_are_skipped_and_the_rhythm_stays(scene: Scene, autojump_clock: MockClock) -> None:
    beats: list[tuple[int, float]] = []
    async for count in scene.feed.every(1):
        beats.append((count, autojump_clock.current_time()))
        if count >= 8:
            break
        await trio.sleep({1: 2.5, 4: 3.0}.get(count, 0.9))
    assert beats == [(0, 0), (1, 1), (4, 4), (7, 7), (8, 8)]
