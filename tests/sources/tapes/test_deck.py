# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio

from appliance.api import Channel, Mode
from appliance.sources.tapes import lines, members
from appliance.sources.tapes.deck import Deck
from appliance.sources.tapes.replay import Replay
from appliance.sources.tapes.settings import ReplaySettings
from appliance.testing import RecordingFeed
from tests.sources.tapes.reels import START, Stage, numbered, record, taped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock

CHANNELS = ("price", "trades", "signals")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tape.jsonl.gz"


@pytest.fixture
def log() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def stage(path: Path, **told: Any) -> Stage:
    return Stage(ReplaySettings(file=str(path), **told))


async def test_channels_keep_the_order_of_the_tape(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(600, channels=CHANNELS))
    played = stage(path, speed="max")
    await played.play(*CHANNELS, seconds=60)
    assert played.order == [(CHANNELS[number % 3], number) for number in range(600)]


async def test_events_come_when_they_came(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(10, channels=CHANNELS))
    played = stage(path, wait=5)
    await played.play(*CHANNELS, seconds=60)
    assert [at for at, _, _ in played.heard] == pytest.approx([5 + second for second in range(10)])


@pytest.mark.parametrize("speed", [0.5, 60.0, 1000.0])
async def test_it_is_played_as_many_times_as_fast(
    path: Path, speed: float, autojump_clock: MockClock
) -> None:
    record(path, numbered(10, channels=CHANNELS))
    played = stage(path, wait=0, speed=speed)
    await played.play(*CHANNELS, seconds=60)
    assert [at for at, _, _ in played.heard] == pytest.approx([second / speed for second in range(10)])


async def test_at_the_greatest_speed_nothing_is_waited_for(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(30_000))
    played = stage(path, wait=0, speed="max")
    await played.play("price", seconds=10)
    assert [number for _, _, number in played.heard] == list(range(30_000))
    assert played.heard[-1][0] == 0


async def test_at_the_greatest_speed_clients_are_waited_for(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(4))
    deck = Deck(stage(path, wait=0, speed="max").settings)

    class Slow(RecordingFeed):
        async def settled(self) -> None:
            await trio.sleep(10)

    with deck.seat(Slow(Channel(name="price", mode=Mode.STATE, message="price"))) as seat:
        for seconds in (10, 20, 30, 40):
            assert len(await deck.next(seat)) == 1
            assert trio.current_time() == seconds


async def test_it_begins_at_a_time_of_the_tape(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(100))
    played = stage(path, wait=0, start=lines.moment(START + 90))
    await played.play("price", seconds=60)
    assert [(at, number) for at, _, number in played.heard] == [(n - 90, n) for n in range(90, 100)]


async def test_behind_its_end_is_silence(path: Path, autojump_clock: MockClock, log: list[Any]) -> None:
    record(path, numbered(3))
    played = stage(path, wait=0)
    await played.play("price", seconds=86_400)
    assert autojump_clock.current_time() == 86_400
    assert len(played.heard) == 3
    [line] = [line for line in log if line["event"] == "tape has ended"]
    assert (line["events"], line["again"], line["file"]) == (3, False, str(path))


async def test_no_event_is_published_together_with_another_of_its_key(
    path: Path, autojump_clock: MockClock
) -> None:
    keys = ("BTC", "ETH", "BTC", "ETH", "SOL", "SOL")
    record(path, [taped(0, key=key, data=b'{"n":%d}' % number) for number, key in enumerate(keys)])
    played = stage(path, wait=0, speed="max")
    deck = Deck(played.settings)
    with deck.seat(played.feed("price")) as seat:
        taken = [[event.key for event in await deck.next(seat)] for _ in range(3)]
    assert taken == [["BTC", "ETH"], ["BTC", "ETH", "SOL"], ["SOL"]]


async def test_its_end_is_told_once_whoever_leaves(
    path: Path, log: list[Any], autojump_clock: MockClock
) -> None:
    record(path, numbered(3))
    played = stage(path, wait=0)
    source = Replay(played.settings)
    for _ in range(3):
        await played.play(*CHANNELS, seconds=60, rows=source)
    assert [line["event"] for line in log].count("tape has ended") == 1


async def test_a_loop_begins_anew(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(3))
    played = stage(path, wait=0, loop=True)
    await played.play("price", seconds=5.5)
    assert [number for _, _, number in played.heard] == [0, 1, 2, 0, 1, 2, 0, 1, 2][: len(played.heard)]
    assert [at for at, _, _ in played.heard][:6] == pytest.approx([0, 1, 2, 2, 3, 4])


async def test_a_loop_of_nothing_does_not_spin(path: Path, autojump_clock: MockClock) -> None:
    record(path, [])
    played = stage(path, wait=0, loop=True)
    await played.play("price", seconds=5)
    assert played.heard == []


async def test_events_of_channels_that_are_not_there_are_passed_over(
    path: Path, log: list[Any], autojump_clock: MockClock
) -> None:
    record(path, numbered(9, channels=CHANNELS))
    played = stage(path, wait=0)
    await played.play("price", "trades", seconds=60)
    assert played.order == [(CHANNELS[number % 3], number) for number in range(9) if number % 3 != 2]
    [line] = [line for line in log if "do not play" in line["event"]]
    assert line["channels"] == {"signals": 3}


async def test_it_waits_for_channels_that_come_a_little_later(path: Path, autojump_clock: MockClock) -> None:
    record(path, numbered(4, channels=("price", "trades")))
    played = stage(path, wait=2)
    source = Replay(played.settings)
    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.produce, played.feed("price"), None)
            await trio.sleep(1.9)
            nursery.start_soon(source.produce, played.feed("trades"), None)
    assert [number for _, _, number in played.heard] == [0, 1, 2, 3]


@pytest.mark.parametrize("leaver", CHANNELS)
@pytest.mark.parametrize("second", [0.5, 4.0, 4.5, 7.25])
async def test_when_one_ends_the_others_go_on(
    path: Path, leaver: str, second: float, autojump_clock: MockClock
) -> None:
    record(path, numbered(12, channels=CHANNELS))
    played = stage(path, wait=0)
    source = Replay(played.settings)

    async def leave() -> None:
        with trio.move_on_after(second):
            await source.produce(played.feed(leaver), None)

    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            for channel in CHANNELS:
                if channel != leaver:
                    nursery.start_soon(source.produce, played.feed(channel), None)
    others = [(CHANNELS[number % 3], number) for number in range(12) if CHANNELS[number % 3] != leaver]
    assert [each for each in played.order if each[0] != leaver] == others
    assert [at for at, _, _ in played.heard] == [number for _, _, number in played.heard]


async def test_a_producer_that_comes_back_goes_on_where_the_tape_is(
    path: Path, autojump_clock: MockClock
) -> None:
    record(path, numbered(10))
    played = stage(path, wait=0)
    source = Replay(played.settings)
    for _ in range(4):
        await played.play("price", seconds=2.5, rows=source)
    assert [number for _, _, number in played.heard] == list(range(10))


async def test_nobody_goes_on_before_what_came_first_is_published(
    path: Path, autojump_clock: MockClock
) -> None:
    record(path, [taped(0, "price"), taped(0, "trades")])
    played = stage(path, wait=0)
    deck = Deck(played.settings)
    with deck.seat(played.feed("price")) as first, deck.seat(played.feed("trades")) as second:
        await deck.next(first)
        with trio.move_on_after(60) as patience:
            await deck.next(second)
        assert patience.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deck.next, first)
            [taken] = await deck.next(second)
            nursery.cancel_scope.cancel()
        assert taken.channel == "trades"


def damage_the_second_member(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[text.find(members.HEAD, 1) + 20] ^= 1
    path.write_bytes(text)


async def test_damage_is_told_of_and_passed_over(
    path: Path, log: list[Any], autojump_clock: MockClock
) -> None:
    record(path, numbered(3), numbered(3, first=3), numbered(3, first=6))
    damage_the_second_member(path)
    played = stage(path, wait=0)
    await played.play("price", seconds=60)
    assert [number for _, _, number in played.heard] == [0, 1, 2, 6, 7, 8]
    [line] = [line for line in log if line["event"] == "tape has a gap"]
    assert "are damaged" in line["problem"]
