# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio

from appliance.api import Channel, Mode, SourceError
from appliance.settings.fields import Seconds
from appliance.sources.tapes.replay import Replay
from appliance.sources.tapes.settings import ReplaySettings
from appliance.testing import RecordingFeed
from tests.sources.tapes.reels import START, numbered, record, taped

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


PRICE = Channel(name="price", mode=Mode.STATE, message="price_update", source="replay")


async def played(source: Replay, *, seconds: float = 60) -> RecordingFeed:
    feed = RecordingFeed(PRICE)
    with trio.move_on_after(seconds):
        await source.produce(feed, None)
    return feed


def replay(path: Path, **told: Any) -> Replay:
    return Replay(ReplaySettings(file=str(path), wait=Seconds(0), **told), clock=trio.current_time)


async def test_events_have_their_keys_data_and_times(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = record(tmp_path / "tape", [taped(0, key="ETH", data=b'{"price":1.5}', late=0.25)])
    [event] = (await played(replay(path))).events
    assert (event.channel, event.key, event.data, event.at) == ("price", "ETH", {"price": 1.5}, START - 0.25)


async def test_times_may_be_those_of_today(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = record(tmp_path / "tape", [taped(0), taped(10, late=0.25)])
    first, second = (await played(replay(path, times="now"))).events
    assert first.at == pytest.approx(0, abs=1e-3)
    assert second.at == pytest.approx(10 - 0.25, abs=1e-3)


async def test_digits_are_those_of_the_tape(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = record(tmp_path / "tape", [taped(0, data=b'{"price":43250.7500}')])
    content: list[Any] = []

    class Feed(RecordingFeed):
        async def publish_all(self, rows: Any, **_: Any) -> None:
            content.extend(row.data for row in rows)

    with trio.move_on_after(60):
        await replay(path).produce(Feed(PRICE), None)
    assert content == [{"price": Decimal("43250.7500")}]


async def test_a_row_that_its_channel_refuses_keeps_no_other_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = record(tmp_path / "tape", [taped(0, key="a b"), taped(0, key="BTC")])
    feed = await played(replay(path))
    assert [event.key for event in feed.events] == ["BTC"]
    assert [row.key for row, _ in feed.refused] == ["a b"]


async def test_data_that_nobody_can_take_keeps_no_other_away(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = record(tmp_path / "tape", [taped(0, data=b'{"price":1e5555555555555555555555}'), taped(0)])
    with structlog.testing.capture_logs() as log:
        feed = await played(replay(path))
    assert [event.data for event in feed.events] == [{"price": 1}]
    assert [line["key"] for line in log if line["event"] == "event cannot be played"] == ["BTC"]


async def test_without_a_tape_it_fails_until_there_is_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    source = replay(tmp_path / "tape")
    for _ in range(3):
        with pytest.raises(SourceError, match="cannot be read"):
            await played(source)
    record(tmp_path / "tape", numbered(3))
    assert len((await played(source)).events) == 3


def test_nothing_is_opened_before_somebody_plays(tmp_path: Path) -> None:
    replay(tmp_path / "gone")
