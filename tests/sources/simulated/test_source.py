from __future__ import annotations

import collections
import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from appliance.api import Answering
from appliance.core.errors import SettingsError
from appliance.settings.structure import fill
from appliance.sources.simulated.source import Simulated, SimulatedSettings
from appliance.sources.simulated.tape import Row, Tape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from trio.testing import MockClock

START = 1_766_000_000.0
SYMBOLS = ("BTC", "ETH", "AAPL", "SOL")
CHANNELS = ("price", "predictions", "signals", "trades", "portfolio", "market")


class Beat:
    """Not a generator: one of those must not be left behind by a producer that fails."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._start = trio.current_time()
        self._count = -1

    def __aiter__(self) -> Beat:
        return self

    async def __anext__(self) -> int:
        self._count = max(self._count + 1, int((trio.current_time() - self._start) / self._seconds))
        await trio.sleep_until(self._start + self._count * self._seconds)
        return self._count


@attrs.define
class RecordingFeed:
    """Keeps what is published, and refuses the rows of `refused` keys."""

    channel: str
    rows: list[Row] = attrs.field(factory=list)
    declared: list[str] = attrs.field(factory=list)
    refused: set[str] = attrs.field(factory=set)
    log: Any = None

    def declare(self, *keys: str) -> None:
        self.declared += keys

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        await trio.lowlevel.checkpoint()
        if key in self.refused:
            raise ValueError(key)
        assert at is not None
        self.rows.append(Row(self.channel, key, data, at))

    def every(self, seconds: float) -> AsyncIterator[int]:
        return Beat(seconds)


def market(clock: MockClock, **settings: Any) -> Simulated:
    """A market whose wall clock is that of the test."""
    return Simulated(
        SimulatedSettings(**{"symbols": SYMBOLS, **settings}), lambda: START + clock.current_time()
    )


async def produce(source: Simulated, *feeds: Any, seconds: float) -> None:
    """The feeds have what the market calls of one."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:  # ends with the time
            for feed in feeds:
                nursery.start_soon(source.produce, feed, None)


def expected(rows: list[Row], channel: str) -> list[Row]:
    """What a tape of its own gives for the times of `rows`."""
    tape = Tape(seed=1, symbols=SYMBOLS, start=rows[0].at)
    ticks = [tape.step(at) for at in dict.fromkeys(row.at for row in rows)]
    return [row for tick in ticks for row in tick.rows if row.channel == channel]


async def test_the_first_tick_comes_at_once_then_one_a_beat(autojump_clock: MockClock) -> None:
    feed = RecordingFeed("price")
    await produce(market(autojump_clock), feed, seconds=0.5)
    assert [row.key for row in feed.rows] == feed.declared == list(SYMBOLS)
    await produce(market(autojump_clock), feed := RecordingFeed("price"), seconds=9.5)
    assert len(feed.rows) == 10 * len(SYMBOLS)
    times = sorted({row.at for row in feed.rows})
    assert [round(at - times[0], 3) for at in times] == [float(beat) for beat in range(10)]


async def test_all_channels_show_one_tape(autojump_clock: MockClock) -> None:
    feeds = [RecordingFeed(channel) for channel in CHANNELS]
    await produce(market(autojump_clock), *feeds, seconds=120.5)
    prices = feeds[0].rows
    for feed in feeds:
        times = {row.at for row in prices}
        wanted = [row for row in expected(prices, feed.channel) if row.at in times]
        assert feed.rows == wanted
        assert feed.rows


async def test_the_keys_are_declared_before_the_first_row(autojump_clock: MockClock) -> None:
    feeds = {channel: RecordingFeed(channel) for channel in CHANNELS}
    await produce(market(autojump_clock), *feeds.values(), seconds=0.5)
    assert {channel: tuple(feed.declared) for channel, feed in feeds.items()} == {
        "price": SYMBOLS,
        "predictions": SYMBOLS,
        "signals": (),
        "trades": SYMBOLS,
        "portfolio": ("paper",),
        "market": ("summary", "volume", "sentiment"),
    }


@pytest.mark.parametrize("away", [0.0, 0.3, 0.7, 5.3, 20.0])
async def test_a_producer_that_restarts_goes_on_where_it_was(autojump_clock: MockClock, away: float) -> None:
    source = market(autojump_clock)
    steady, restarted = RecordingFeed("price"), RecordingFeed("predictions")
    async with trio.open_nursery() as nursery:  # ends with the last producer
        nursery.start_soon(lambda: produce(source, steady, seconds=60.2))
        await produce(source, restarted, seconds=10.2)
        await trio.sleep(away)
        await produce(source, restarted, seconds=49.5 - away)
    ended = restarted.rows[-1].at
    assert restarted.rows == [row for row in expected(steady.rows, "predictions") if row.at <= ended]
    assert ended >= steady.rows[-1].at - 1.5


async def test_restarts_do_not_speed_the_tape_up(autojump_clock: MockClock) -> None:
    source, feed = market(autojump_clock), RecordingFeed("price")
    for _ in range(100):
        await produce(source, feed, seconds=0.1)
    times = sorted({row.at for row in feed.rows})
    assert len(times) in (10, 11)
    assert all(later - earlier > 0.85 for earlier, later in itertools.pairwise(times))


async def test_the_other_channels_do_not_wait_for_one_that_is_down(autojump_clock: MockClock) -> None:
    source, price, market_rows = market(autojump_clock), RecordingFeed("price"), RecordingFeed("market")
    await produce(source, price, market_rows, seconds=5.5)
    await produce(source, price, seconds=200)
    await produce(source, market_rows, seconds=0.5)
    times = collections.Counter(row.at for row in market_rows.rows)
    assert set(times.values()) == {3}, "each tick once, with its three rows"
    assert 60 <= len(times) <= 80, "what is too old is not kept"
    assert market_rows.rows[-1].at >= price.rows[-1].at


async def test_a_refused_row_does_not_come_back_for_ever(autojump_clock: MockClock) -> None:
    source, feed = market(autojump_clock), RecordingFeed("market", refused={"volume"})
    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="volume")):
        await produce(source, feed, seconds=5)
    feed.refused.clear()
    await produce(source, feed, seconds=1.5)
    assert collections.Counter(row.key for row in feed.rows) == {"summary": 2, "volume": 1, "sentiment": 1}


async def test_a_long_sleep_is_skipped_not_caught_up(autojump_clock: MockClock) -> None:
    source, feed = market(autojump_clock), RecordingFeed("portfolio")
    await produce(source, feed, seconds=2.5)
    await trio.sleep(3_600)
    await produce(source, feed, seconds=2.5)
    assert len(feed.rows) == 6


async def test_the_interval_is_a_setting(autojump_clock: MockClock) -> None:
    feed = RecordingFeed("portfolio")
    await produce(market(autojump_clock, interval=0.25), feed, seconds=2.1)
    assert len(feed.rows) == 9


async def test_a_channel_that_the_market_has_no_rows_for_is_told_so(autojump_clock: MockClock) -> None:
    told = pytest.RaisesExc(SettingsError, match=r"channels\.weather\.source.*price, predictions")
    with pytest.RaisesGroup(told):
        await produce(market(autojump_clock), RecordingFeed("weather"), seconds=1)


async def test_a_prediction_is_made_when_it_is_asked_for(autojump_clock: MockClock) -> None:
    source, feed = market(autojump_clock, interval=60), RecordingFeed("predictions")
    assert isinstance(source, Answering)
    await produce(source, feed, seconds=90)
    made = await source.answer("predictions", "BTC", None)
    last = [row.data for row in feed.rows if row.key == "BTC"][-1]
    assert made is not None
    assert set(made) == set(last)
    assert made["current_price"] == last["current_price"]
    apart = (dt.datetime.fromisoformat(row["time"]) for row in (made, last))
    assert next(apart) - next(apart) == dt.timedelta(seconds=30)
    assert made["confidence_1min"] != last["confidence_1min"]


@pytest.mark.parametrize(("channel", "key"), [("predictions", "DOGE"), ("price", "BTC"), ("weather", "BTC")])
async def test_nothing_else_is_made_when_it_is_asked_for(
    autojump_clock: MockClock, channel: str, key: str
) -> None:
    assert await market(autojump_clock).answer(channel, key, None) is None


async def test_the_tape_goes_on_as_if_nobody_had_asked(autojump_clock: MockClock) -> None:
    source, feed = market(autojump_clock), RecordingFeed("predictions")
    for _ in range(20):
        await produce(source, feed, seconds=0.7)
        assert await source.answer("predictions", "BTC", None)
    assert feed.rows == expected(feed.rows, "predictions")


def test_opening_has_no_side_effects() -> None:
    Simulated(SimulatedSettings())  # no clock of trio runs here


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"interval": 0}, "interval: must be more than 0"),
        ({"interval": 61}, "interval: must be at most 1m"),
        ({"symbols": []}, "symbols: needs at least one symbol"),
        ({"symbols": ["BTC", "btc"]}, "symbols: 'btc' is no symbol"),
        ({"symbols": ["price:BTC"]}, "symbols: 'price:BTC' is no symbol"),
        ({"symbols": ["BTC", "BTC"]}, "symbols: 'BTC' stands there more than once"),
        ({"seed": 1.5}, "seed: expected a whole number"),
        ({"speed": 2}, "speed: is not a known key"),
    ],
)
def test_wrong_settings_are_explained(table: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        fill(SimulatedSettings, table, path="sources.simulated")
