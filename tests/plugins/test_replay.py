"""The source, and what it is for: an hour of all channels, recorded, and played again with the same bytes."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from appliance.api import Channel, Mode, NoSettings
from appliance.core.history import Retention
from appliance.loading.configured import Configured, configure
from appliance.runtime.answers import Answers
from appliance.runtime.feed import Workshop
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.pages import Pages
from appliance.runtime.roster import Roster
from appliance.runtime.status import Sample, Status
from appliance.settings.fields import Seconds
from appliance.settings.load import load
from appliance.sources.simulated.source import Simulated, SimulatedSettings
from appliance.sources.tapes.record import Record
from appliance.sources.tapes.replay import Replay
from appliance.sources.tapes.settings import RecordSettings, ReplaySettings
from tests.plugins.built_in import START, catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from trio.testing import MockClock

    from appliance.api import Event, Feed, Rows
    from appliance.core.history import Topic

HOUR = 3600.0
RECORDED = """
[channels.tape]
source = "record"
folder = "FOLDER"
"""
PLAYED = """
[sources.tape]
kind = "replay"
file = "FILE"
speed = 60
"""


def test_it_registers_the_source() -> None:
    source = catalogue().sources["replay"]
    assert source.Settings is ReplaySettings
    assert isinstance(source.open(ReplaySettings(file="tape.jsonl.gz")), Replay)
    assert source.topics_on_demand
    assert not source.durable


def test_a_channel_that_no_plugin_registers_is_a_log_of_its_events() -> None:
    channel = catalogue().sources["replay"].channel
    assert channel is not None
    assert (channel.mode, channel.message, channel.schema) == (Mode.LOG, "event", None)


@attrs.frozen(eq=False)
class Listener:
    """Hears all events but those about the recording: for each topic what was published, and all in their order."""

    topics: dict[str, list[bytes]] = attrs.field(factory=lambda: defaultdict(list))
    order: list[tuple[str, str, float, bytes]] = attrs.field(factory=list)

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None:
        if event.channel == "tape":
            return
        self.order.append((event.channel, event.key, event.at, body))
        for topic in entered:
            self.topics[topic.name].append(body)


def configured(folder: Path, text: str) -> tuple[Configured, ...]:
    file = folder / "appliance.toml"
    file.write_text(text)
    return configure(catalogue(), load(file=file, environment={}))


def clock() -> float:
    return START + trio.current_time()


async def heard(channels: Iterable[Configured], *, until: Callable[[Listener], bool]) -> Listener:
    """Run channels, one after the other begun, until enough was heard."""
    hub = Hub(epoch="e", most_topics=1_000, most_bytes=262_144)
    status = Status(partial(Sample, 0, 0, 0, 0, 0, 0, {}))
    # What threads do takes hours on this clock.
    settings = load(file=None, environment={}, overrides=["producers.stop_within=7d"]).settings
    workshop = Workshop(
        hub=hub,
        journal=Journal(hub),
        threads=trio.CapacityLimiter(4),
        most_watched=settings.producers.watch,
        transform=lambda event: event,
        most_events=lambda: settings.producers.events_per_second,
        settled=trio.lowlevel.checkpoint,
    )
    roster = Roster(
        workshop,
        status,
        Answers(hub, within=lambda: 1.0),
        Pages(hub, transform=lambda event: event, within=lambda: 1.0),
        restart=lambda: settings.restart,
        producers=lambda: settings.producers,
    )
    listener = Listener()
    hub.observe(listener)
    async with trio.open_nursery() as nursery:  # ends when enough was heard
        await nursery.start(roster.run)
        for each in channels:
            await roster.put(each)
        while not until(listener):  # noqa: ASYNC110 - a second is a millisecond
            await trio.sleep(1)
        for name in reversed(list(roster.channels)):
            await roster.take(name)
        nursery.cancel_scope.cancel()
    assert {name: health.errors for name, health in status.health.items() if health.errors} == {}
    return listener


async def record_an_hour(folder: Path) -> Listener:
    market = Simulated(SimulatedSettings(interval=Seconds(5), symbols=("BTC", "ETH", "AAPL")), clock=clock)
    clocked: dict[type, Rows] = {Simulated: market, Record: Record(clock=clock)}
    channels = [
        attrs.evolve(each, rows=clocked.get(type(each.rows), each.rows))
        for each in configured(folder, RECORDED.replace("FOLDER", str(folder)))
    ]
    # The one that records is there first: what the others publish is all on the tape.
    channels.sort(key=lambda each: each.channel.name != "tape")
    return await heard(channels, until=lambda _: trio.current_time() >= HOUR)


async def test_digits_of_a_table_are_recorded_and_played(tmp_path: Path, mock_clock: MockClock) -> None:
    mock_clock.rate = 1000
    fills = Channel(name="fills", mode=Mode.LOG, message="event", produce=publish_fills)
    keep = Retention(count=10, age=None, size=1_000_000)
    told = RecordSettings(folder=str(tmp_path))
    recorder = Channel(name="tape", mode=Mode.STATE, message="recording")
    original = await heard(
        [
            Configured(recorder, NoSettings(), keep, Record(clock=clock), told=told),
            Configured(fills, NoSettings(), keep, None),
        ],
        until=lambda _: trio.current_time() > 60,
    )
    [path] = tmp_path.glob("*.gz")  # noqa: ASYNC240 - nobody else is kept waiting
    replay = Replay(ReplaySettings(file=str(path)))
    again = await heard(
        [Configured(fills, NoSettings(), keep, replay)], until=lambda found: bool(found.order)
    )
    assert again.topics == original.topics == {"fills:BTC": [b'{"price":43250.7500}']}


async def publish_fills(feed: Feed, _settings: object) -> None:
    await feed.publish({"price": Decimal("43250.7500")}, key="BTC")
    await trio.sleep_forever()


def lines_of(path: Path) -> int:
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return sum(1 for line in text if json.loads(line))


async def test_an_hour_of_all_channels_is_played_again_byte_for_byte(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    # A clock that jumps would do so while threads read and write.
    mock_clock.rate = 1000
    original = await record_an_hour(tmp_path)
    [path] = tmp_path.glob("*.gz")  # noqa: ASYNC240 - nobody else is kept waiting
    recorded = {channel for channel, _, _, _ in original.order}
    assert recorded >= {"price", "predictions", "market", "portfolio", "signals", "trades", "scores"}
    assert lines_of(path) == len(original.order)
    wanted = "".join(f'[channels.{name}]\nsource = "tape"\n' for name in sorted(recorded))
    silent = "".join(
        f"[channels.{name}]\nenabled = false\n" for name in catalogue().channels.keys() - recorded
    )
    channels = configured(tmp_path, PLAYED.replace("FILE", str(path)) + wanted + silent)
    begun = trio.current_time()
    again = await heard(
        channels,
        until=lambda listener: (
            len(listener.order) >= len(original.order) or trio.current_time() > begun + 20 * HOUR
        ),
    )
    assert trio.current_time() - begun >= HOUR / 60 - 5
    # Compared by parts, for all of it is too much to be shown.
    assert again.topics.keys() == original.topics.keys()
    assert [name for name, bodies in again.topics.items() if bodies != original.topics[name]] == []
    pairs = list(zip(original.order, again.order, strict=True))
    assert next(((one, other) for one, other in pairs if one[:2] != other[:2]), None) is None
    assert max(abs(one[2] - other[2]) for one, other in pairs) < 2e-6
