"""The author's kit, held against the feed of a running appliance: both take, refuse and beat the same."""

from __future__ import annotations

import gc
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import structlog
import trio

from appliance.api import Channel, Event, Feed, Mode, Row
from appliance.core.history import Retention
from appliance.runtime.feed import HubFeed, Workshop
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.status import Health
from appliance.testing import MOST_AT_ONCE, PluginError, PublishError, RecordingFeed, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio.testing import MockClock

    MakeFeed = Callable[[Channel, Any], Feed]


class Fee(msgspec.Struct):
    symbol: str
    fee: float


@attrs.frozen(kw_only=True)
class FeesSettings:
    symbols: tuple[str, ...] = ("BTC", "ETH")


def route(event: Event, settings: FeesSettings) -> Iterable[str]:
    yield event.key
    if event.data["fee"] > 100:
        yield f"high fees of {len(settings.symbols)}"


async def produce(feed: Feed, settings: FeesSettings) -> None:
    feed.declare(*settings.symbols)
    async for beat in feed.every(10):
        for symbol in settings.symbols:
            await feed.publish({"symbol": symbol, "fee": beat}, key=symbol)


def channel(**changes: Any) -> Channel:
    fields = {"produce": produce, "Settings": FeesSettings, **changes}
    return Channel(name="fees", mode=Mode.STATE, message="fee_update", **fields)


def of_an_appliance(channel: Channel, settings: object) -> Feed:
    hub = Hub(epoch="epoch", most_topics=100, most_bytes=65_536)
    hub.open(channel, settings, Retention(count=10, age=None, size=65_536))
    threads = trio.CapacityLimiter(1)
    workshop = Workshop(
        hub=hub,
        journal=Journal(hub),
        threads=threads,
        most_watched=10,
        transform=lambda event: event,
        most_events=lambda: 1e9,
        settled=trio.lowlevel.checkpoint,
    )
    return HubFeed(channel, workshop, Health(), structlog.get_logger(), lambda _: None)


both = pytest.mark.parametrize("feed_of", [RecordingFeed, of_an_appliance])


async def test_a_producer_is_recorded_until_the_time_is_up(autojump_clock: MockClock) -> None:
    events = await record(channel(), seconds=30, settings=FeesSettings(symbols=("BTC",)))
    assert [(event.channel, event.key, event.data["fee"]) for event in events] == [
        ("fees", "BTC", 0),
        ("fees", "BTC", 1),
        ("fees", "BTC", 2),
    ]
    assert autojump_clock.current_time() == 30


async def test_settings_have_their_defaults(autojump_clock: MockClock) -> None:
    events = await record(channel(), seconds=1)
    assert [event.key for event in events] == ["BTC", "ETH"]
    assert autojump_clock.current_time() == 1


async def test_what_a_producer_raises_is_raised() -> None:
    async def failing(feed: Feed, settings: object) -> None:
        raise OSError(f"no {feed.channel} for {settings}")

    with pytest.raises(OSError, match="no fees for FeesSettings"):
        await record(channel(produce=failing), seconds=1)


async def test_a_producer_that_returns_is_told_so() -> None:
    async def returning(_feed: Feed, _settings: object) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(PluginError, match="fees: the producer returned"):
        await record(channel(produce=returning), seconds=1)


async def test_a_channel_without_a_producer_is_told_so() -> None:
    with pytest.raises(PluginError, match="rows come from the source 'market'"):
        await record(channel(produce=None, source="market"), seconds=1)


async def test_rows_of_a_source_are_recorded_alike(autojump_clock: MockClock) -> None:
    class Market:
        async def produce(self, feed: Feed, settings: FeesSettings) -> None:
            await produce(feed, settings)

    events = await record(channel(produce=None, source="market"), seconds=11, rows=Market())
    assert [event.key for event in events] == ["BTC", "ETH"] * 2
    assert autojump_clock.current_time() == 11


async def test_a_producer_that_never_waits_is_told_so(autojump_clock: MockClock) -> None:
    async def flooding(feed: Feed, _: object) -> None:
        while True:
            await feed.publish({}, key="BTC")

    with pytest.raises(PluginError, match=f"has published {MOST_AT_ONCE} events without waiting"):
        await record(channel(produce=flooding), seconds=1)
    assert autojump_clock.current_time() == 0


async def test_times_that_are_left_out_follow_the_clock(autojump_clock: MockClock) -> None:
    events = await record(channel(), seconds=30, settings=FeesSettings(symbols=("BTC",)))
    assert [event.at - events[0].at for event in events] == pytest.approx([0, 10, 20])
    assert autojump_clock.current_time() == 30


async def test_a_time_that_is_told_is_kept() -> None:
    feed = RecordingFeed(channel())
    await feed.publish({"symbol": "BTC", "fee": 1}, key="BTC", at=12.5)
    assert feed.events == [Event("fees", "BTC", {"symbol": "BTC", "fee": 1}, 12.5)]


async def test_an_event_stays_as_it_was_published() -> None:
    feed = RecordingFeed(channel())
    data = {"symbol": "BTC", "fee": 1.0, "tags": ("a", "b")}
    await feed.publish(data, key="BTC")
    data["fee"] = 2.0
    assert feed.events[0].data == {"symbol": "BTC", "fee": 1.0, "tags": ["a", "b"]}


async def test_declared_keys_are_kept() -> None:
    feed = RecordingFeed(channel())
    feed.declare("BTC", "ETH")
    feed.declare("SOL")
    assert feed.declared == ["BTC", "ETH", "SOL"]


@both
@pytest.mark.parametrize(
    ("data", "key", "words"),
    [
        ({"symbol": "BTC", "fee": "1"}, "BTC", "the event of 'BTC' does not fit its schema: .*fee"),
        ({"symbol": "BTC"}, "BTC", "does not fit its schema"),
        ({"symbol": "BTC", "fee": 1, "extra": object()}, "BTC", "data is no JSON"),
        ({"symbol": "BTC", "fee": 1}, "", "'' is no key"),
        ({"symbol": "BTC", "fee": 1}, "BTC*", "is no key"),
        ({"symbol": "BTC", "fee": 1}, "BTC ETH", "is no key"),
        ({"symbol": "BTC", "fee": 101}, "BTC", "'high fees of 2' is no key"),
    ],
)
async def test_what_a_channel_cannot_take_is_refused(
    feed_of: MakeFeed, data: dict[str, Any], key: str, words: str
) -> None:
    feed = feed_of(channel(schema=Fee, route=route), FeesSettings())
    with pytest.raises(PublishError, match=words):
        await feed.publish(data, key=key)
    if isinstance(feed, RecordingFeed):
        assert feed.events == []


@both
async def test_what_it_can_take_is_taken(feed_of: MakeFeed) -> None:
    feed = feed_of(channel(schema=Fee, route=route), FeesSettings())
    feed.declare("BTC")
    await feed.publish({"symbol": "BTC", "fee": 1, "more": [None, True]}, key="BTC")


@both
async def test_a_key_that_is_none_cannot_be_declared(feed_of: MakeFeed) -> None:
    with pytest.raises(PublishError, match="is no key"):
        feed_of(channel(), FeesSettings()).declare("BTC", "E TH")


@both
async def test_a_beat_is_steady_and_what_was_missed_is_skipped(
    feed_of: MakeFeed, autojump_clock: MockClock
) -> None:
    feed = feed_of(channel(), FeesSettings())
    beats = feed.every(2)
    await trio.sleep(7)  # it begins with the first look, not before
    seen = []
    async for beat in beats:
        seen.append((beat, autojump_clock.current_time()))
        await trio.sleep({0: 0.5, 1: 5, 4: 1.9}.get(beat, 0))
        if beat == 5:
            break
    assert seen == [(0, 7), (1, 9), (4, 15), (5, 17)]


@both
async def test_a_producer_that_fails_leaves_nothing_half_run_behind(feed_of: MakeFeed) -> None:
    async def failing(feed: Feed) -> None:
        async for _ in feed.every(5):
            raise OSError("lost")

    with pytest.raises(OSError, match="lost"):
        await failing(feed_of(channel(), FeesSettings()))
    gc.collect()  # a warning of what it finds fails the test


@both
async def test_to_publish_is_to_let_others_run_and_be_cancelled(feed_of: MakeFeed) -> None:
    feed = feed_of(channel(), FeesSettings())
    with trio.CancelScope() as scope:
        scope.cancel()
        await feed.publish({"symbol": "BTC", "fee": 1}, key="BTC")
    assert scope.cancelled_caught


async def test_a_producer_that_watches_is_shown_events_at_their_times(autojump_clock: MockClock) -> None:
    async def double(feed: Feed, _: object) -> None:
        async for event in feed.watch("price:*"):
            await feed.publish({"twice": 2 * event.data["price"]}, key=event.key)

    start = time.time()
    shown = [Event("price", "BTC", {"price": n}, start + 10 * n) for n in (3, 1, 2, 9)]
    shown.append(Event("trades", "BTC", {"price": 100}, start))
    twice = Channel(name="twice", mode=Mode.STATE, message="m", produce=double)
    events = await record(twice, seconds=60, shown=shown)
    assert [event.data["twice"] for event in events] == [2, 4, 6]
    assert [round(event.at - start) for event in events] == [10, 20, 30]
    assert autojump_clock.current_time() == 60


@both
async def test_blocking_code_gives_what_it_returns(feed_of: MakeFeed) -> None:
    assert await feed_of(channel(), FeesSettings()).blocking(max, 3, 5) == 5


async def test_the_clock_does_not_jump_over_blocking_code(autojump_clock: MockClock) -> None:
    def read() -> str:
        time.sleep(0.05)  # far more than a clock that jumps would wait
        return threading.current_thread().name

    async def reading(feed: Feed, _: object) -> None:
        async for _ in feed.every(10):
            await feed.publish({"thread": await feed.blocking(read)}, key="BTC")

    events = await record(channel(produce=reading), seconds=30)
    assert len(events) == 3
    assert threading.main_thread().name not in {event.data["thread"] for event in events}
    assert autojump_clock.current_time() == 30


@both
async def test_what_blocking_code_raises_is_raised(feed_of: MakeFeed) -> None:
    with pytest.raises(OSError, match="gone"):
        await feed_of(channel(), FeesSettings()).blocking(_fail)


def _fail() -> None:
    raise OSError("gone")


async def test_decimal_numbers_are_numbers_to_clients() -> None:
    feed = RecordingFeed(channel())
    await feed.publish({"symbol": "BTC", "fee": Decimal("1.5")}, key="BTC")
    assert feed.events[0].data["fee"] == 1.5


@both
async def test_rows_go_together_with_a_note(feed_of: Callable[[Channel, object], Feed]) -> None:
    feed = feed_of(channel(), FeesSettings())
    await feed.publish_all([Row("BTC", {"fee": 1}), Row("no key", {"fee": 1})], note={"at": 1, "old": 2})
    await feed.publish_all([], note={"old": None})
    feed.ready()
    assert (dict(feed.state), feed.mode) == ({"at": 1}, Mode.STATE)


async def test_rows_that_a_channel_cannot_take_are_kept_apart() -> None:
    feed = RecordingFeed(channel(), state={"at": 7})
    assert feed.state == {"at": 7}
    await feed.publish_all([Row("BTC", {"fee": 1}), Row("no key", {"fee": 1})])
    assert [event.key for event in feed.events] == ["BTC"]
    assert [(row.key, str(error)) for row, error in feed.refused] == [
        ("no key", "fees: 'no key' is no key: 1 to 200 visible characters without `*`")
    ]
