"""A producer's handle for publishing."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
import trio
import trio.testing
from structlog.testing import capture_logs

from appliance.api import Channel, Event, Mode, Row
from appliance.core.errors import PluginError, PublishError, RequestError
from appliance.core.history import Retention
from appliance.runtime import turns
from appliance.runtime.feed import HubFeed, Workshop
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.status import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio.testing import MockClock

    from appliance.core.events import Entry


class Quote(msgspec.Struct):
    price: float


class Scene:
    def __init__(self, schema: type | None = None) -> None:
        self.hub = Hub(epoch="e", most_topics=100, most_bytes=10_000)
        self.health = Health()
        self.most_events = 1e9
        self.floods: list[float] = []
        self.route: Callable[[Event], Iterable[str]] = lambda event: [event.key]
        channel = Channel(
            name="price",
            mode=Mode.STATE,
            message="price_update",
            schema=schema,
            route=lambda event, _: self.route(event),
        )
        self.hub.open(channel, None, Retention(count=1000, age=None, size=1_000_000))
        self.log = structlog.get_logger().bind(channel="price")
        self.taken = trio.Event()
        workshop = Workshop(
            hub=self.hub,
            journal=Journal(self.hub),
            threads=trio.CapacityLimiter(2),
            most_watched=3,
            transform=self.transform,
            most_events=lambda: self.most_events,
            settled=self.taken.wait,
        )
        self.feed = HubFeed(channel, workshop, self.health, self.log, self.floods.append)

    def transform(self, event: Event) -> Event | None:
        """Let no event of `secret` through."""
        return None if event.key == "secret" else event

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


async def test_blocking_code_runs_in_a_thread_of_which_there_are_so_many(scene: Scene) -> None:
    gate, inside = threading.Event(), []

    def work(number: int) -> int:
        inside.append(number)
        gate.wait(30)
        return threading.get_ident()

    async with trio.open_nursery() as nursery:  # ends when the threads have
        for number in range(3):
            nursery.start_soon(scene.feed.blocking, work, number)
        while len(inside) < 2:  # noqa: ASYNC110 - threads set no event of trio
            await trio.sleep(0.001)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert len(inside) == 2
        gate.set()
    assert len(inside) == 3
    assert await scene.feed.blocking(work, 3) != threading.get_ident()


async def test_a_producer_watches_other_channels(scene: Scene) -> None:
    def route(event: Event, _: object) -> tuple[str, ...]:
        return ("all", event.key)

    other = Channel(name="trades", mode=Mode.LOG, message="trade", route=route, open=True)
    scene.hub.open(other, None, Retention(count=10, age=None, size=10_000))
    published = {"n": 1}
    scene.hub.publish(Event("trades", "before", {}, 1.0), 1.0)
    watch = scene.feed.watch("trades:*", "price:*")
    scene.hub.publish(Event("trades", "BTC", published, 2.0), 2.0)
    scene.hub.publish(Event("price", "BTC", {}, 2.5), 2.5)
    seen = await anext(watch)
    assert seen == Event("trades", "BTC", {"n": 1}, 2.0)
    assert seen.data is not published
    with trio.move_on_after(0.01) as nothing:
        await anext(watch)
    assert nothing.cancelled_caught
    only = scene.feed.watch("trades:ETH")
    scene.hub.publish(Event("trades", "BTC", {}, 3.0), 3.0)
    scene.hub.publish(Event("trades", "ETH", {}, 4.0), 4.0)
    assert (await anext(only)).key == "ETH"


async def test_a_watch_that_falls_behind_fails_and_says_so(scene: Scene) -> None:
    scene.hub.open(
        Channel(name="x", mode=Mode.LOG, message="m", open=True), None, Retention(10, None, 10_000)
    )
    watch = scene.feed.watch("x:*")
    for _ in range(5):
        scene.hub.publish(Event("x", "y", {}, 1.0), 1.0)
    with pytest.raises(PluginError, match=r"lost 2 \(producers\.watch\)"):
        await anext(watch)


async def test_what_is_no_pattern_cannot_be_watched(scene: Scene) -> None:
    with pytest.raises(RequestError, match="is no channel"):
        scene.feed.watch("every price")


async def test_a_closed_feed_watches_nothing(scene: Scene) -> None:
    scene.hub.open(
        Channel(name="x", mode=Mode.LOG, message="m", open=True), None, Retention(10, None, 10_000)
    )
    watch = scene.feed.watch("x:*")
    scene.feed.close()
    scene.hub.publish(Event("x", "y", {}, 1.0), 1.0)
    with trio.move_on_after(0.01) as nothing:
        await anext(watch)
    assert nothing.cancelled_caught


async def test_an_event_that_a_plugin_drops_is_not_published(scene: Scene) -> None:
    await scene.feed.publish({}, key="secret")
    await scene.feed.publish({}, key="BTC")
    assert scene.topics() == {"price:BTC"}
    assert scene.health.events == 1


async def test_rows_and_a_note_go_together(scene: Scene) -> None:
    rows = [
        Row("BTC", {"price": 1}, 5.0),
        Row("secret", {"price": 2}),
        Row("ETH", {"price": Decimal("3.50")}),
    ]
    await scene.feed.publish_all(rows, note={"at": 3, "seen/1": True})
    assert scene.topics() == {"price:BTC", "price:ETH"}
    assert [entry.body for entry in scene.entries("ETH")] == [b'{"price":3.50}']
    assert scene.feed.state == {"at": 3, "seen/1": True}
    await scene.feed.publish_all([], note={"seen/1": None})
    assert scene.feed.state == {"at": 3}
    assert (scene.health.events, scene.health.refused, scene.feed.mode) == (2, 0, Mode.STATE)


async def test_rows_that_the_channel_cannot_take_are_told_of_and_left_out() -> None:
    scene = Scene(Quote)
    rows = [Row("no key", {"price": 1})] + [Row("BTC", {"price": "x"})] * 7 + [Row("ETH", {"price": 2})]
    with capture_logs() as log:
        await scene.feed.publish_all(rows, note={"at": 9})
    assert scene.topics() == {"price:ETH"}
    assert scene.feed.state == {"at": 9}
    assert scene.health.refused == 8
    told = [line for line in log if line["event"] == "row refused"]
    assert len(told) == 5
    assert "'no key' is no key" in told[0]["error"]
    assert told[0]["topic"] == "price:no key"
    assert [line["rows"] for line in log if line["event"] == "more rows refused"] == [3]


async def test_a_route_that_breaks_on_a_row_costs_that_row_alone() -> None:
    scene = Scene()
    scene.route = lambda event: [event.data["to"]]
    with capture_logs() as log:
        await scene.feed.publish_all([Row("a", {}), Row("b", {"to": "BTC"})])
    assert scene.topics() == {"price:BTC"}
    assert [line["error"] for line in log if line["event"] == "row refused"] == ["KeyError('to')"]


async def test_many_rows_are_one_batch_of_others_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE", 0.0)
    seen: set[int] = set()

    async def other() -> None:
        while True:
            seen.add(scene.hub.events)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends with the test
        nursery.start_soon(other)
        await scene.feed.publish_all(Row("BTC", {"n": n}) for n in range(200))
        nursery.cancel_scope.cancel()
    assert len(seen) > 20  # who is next is drawn by lot
    assert scene.hub.topic("price:BTC").last == 200


async def test_who_catches_up_is_slowed_and_blamed_for_nothing(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    scene.most_events = 100
    begun = trio.current_time()
    for _ in range(10):
        await scene.feed.publish_all([Row("BTC", {})] * 100)
    assert 8 <= trio.current_time() - begun <= 11
    assert scene.floods == []


async def test_an_ended_producer_publishes_no_rows(scene: Scene) -> None:
    scene.feed.close()
    with pytest.raises(PublishError, match="has ended"):
        await scene.feed.publish_all([Row("BTC", {})], note={"at": 1})
    assert scene.feed.state == {}


@pytest.mark.parametrize("note", [{"at": object()}, {"\ud800": 1}, {"at": [object()]}])
async def test_a_note_that_cannot_be_kept_is_the_producers_own_trouble(
    scene: Scene, note: dict[str, Any]
) -> None:
    with pytest.raises(PublishError, match="price: a note is JSON"):
        await scene.feed.publish_all([Row("BTC", {})], note=note)
    assert scene.topics() == set()


async def test_who_can_publish_something_is_known_for_it(scene: Scene) -> None:
    assert not scene.health.able
    scene.health.failing = True
    scene.feed.ready()
    assert (scene.health.able, scene.health.failing) == (True, False)


async def test_who_watches_other_channels_need_not_say_that_it_can(scene: Scene) -> None:
    scene.health.failing = True
    scene.feed.watch("trades:*")
    assert (scene.health.able, scene.health.failing) == (True, True)


async def test_it_waits_for_clients_when_it_is_asked_to(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    with trio.move_on_after(60) as patience:
        await scene.feed.settled()
    assert patience.cancelled_caught
    scene.taken.set()
    await scene.feed.settled()
