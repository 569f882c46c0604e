# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio

from appliance.api import Channel, Event, Mode, StoreError
from appliance.sources.tapes import record as recording
from appliance.sources.tapes import spool
from appliance.sources.tapes.record import Record
from appliance.sources.tapes.settings import RecordSettings
from appliance.sources.tapes.writing import Tape
from appliance.testing import RecordingFeed
from tests.sources.tapes.reels import on_tape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trio.testing import MockClock

    from tests.sources.tapes.conftest import Disk

TAPE = Channel(name="tape", mode=Mode.STATE, message="recording", source="record")
MIDNIGHT = 1_900_022_400.0
"""Between the seventeenth and the eighteenth of March 2030."""
EVENING = MIDNIGHT - 60


def shown(feed_began: float, count: int, **fields: Any) -> list[Event]:
    """An event a second."""
    told = {"channel": "price", "key": "BTC", **fields}
    return [
        Event(told["channel"], told["key"], told.get("data", {"n": number}), feed_began + number)
        for number in range(count)
    ]


async def recorded(
    folder: Path,
    *,
    seconds: float,
    count: int = 0,
    meanwhile: Callable[[], None] | None = None,
    others: Iterable[Event] = (),
    **told: Any,
) -> RecordingFeed:
    """Record so many events, one a second, in the evening, and others."""
    feed = RecordingFeed(TAPE)
    began = feed._since_1970 + trio.current_time()
    feed.shown = (*shown(began, count), *others)
    settings = RecordSettings(folder=str(folder), **told)
    start = trio.current_time()

    def clock() -> float:
        return EVENING + trio.current_time() - start

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Record(clock=clock).produce, feed, settings)
            if meanwhile is not None:
                await trio.sleep(seconds / 2)
                meanwhile()
    return feed


def numbers(path: Path) -> list[int]:
    return [line["data"]["n"] for line in on_tape(path)]


def size(path: Path) -> int:
    return path.stat().st_size


@pytest.fixture
def evening(tmp_path: Path) -> Path:
    return tmp_path / "tape-2030-03-17.jsonl.gz"


async def test_events_are_on_the_tape_of_the_day(
    tmp_path: Path, evening: Path, autojump_clock: MockClock
) -> None:
    await recorded(tmp_path, seconds=30.5, count=20)
    first, *_ = on_tape(evening)
    assert (first["channel"], first["key"], first["data"]) == ("price", "BTC", {"n": 0})
    assert first["received"].startswith("2030-03-17T23:59:0")
    assert numbers(evening) == list(range(20))


async def test_what_came_is_on_disk_soon(tmp_path: Path, evening: Path, autojump_clock: MockClock) -> None:
    found: list[list[int]] = []
    await recorded(tmp_path, seconds=41, count=40, every=5, meanwhile=lambda: found.append(numbers(evening)))
    assert 15 <= len(found[0]) <= 21
    assert numbers(evening) == list(range(40))


async def test_each_day_has_a_tape(tmp_path: Path, evening: Path, autojump_clock: MockClock) -> None:
    await recorded(tmp_path, seconds=100.5, count=100)
    assert numbers(evening) == list(range(60))
    assert numbers(tmp_path / "tape-2030-03-18.jsonl.gz") == list(range(60, 100))


async def test_a_second_run_goes_on_with_the_tape(
    tmp_path: Path, evening: Path, autojump_clock: MockClock
) -> None:
    await recorded(tmp_path, seconds=3.5, count=3)
    with evening.open("ab") as file:
        file.write(b"\x1f\x8b\x08 and then the power failed")
    with structlog.testing.capture_logs() as log:
        await recorded(tmp_path, seconds=3.5, count=3)
    assert numbers(evening) == [0, 1, 2, 0, 1, 2]
    [line] = [line for line in log if line["event"] == "tape was not finished"]
    assert line["cut_bytes"] == 29


async def test_only_what_is_named_is_recorded(
    tmp_path: Path, evening: Path, autojump_clock: MockClock
) -> None:
    others = shown(0, 3, channel="trades", key="BTC") + shown(0, 3, channel="price", key="ETH")
    await recorded(tmp_path, seconds=10.5, count=3, others=others, topics=("trades:*", "price:BTC"), every=1)
    found = [(line["channel"], line["key"]) for line in on_tape(evening)]
    assert sorted(found) == [("price", "BTC")] * 3 + [("trades", "BTC")] * 3


async def test_data_is_on_the_tape_as_it_was_told(
    tmp_path: Path, evening: Path, autojump_clock: MockClock
) -> None:
    data = {
        "text": "Zürich \u2028 \x1f",
        "small": 1e-7,
        "large": 1e22,
        "list": [None, True, {}],
        "whole": 2.0,
    }
    feed = await recorded(tmp_path, seconds=3.5, others=shown(0, 1, data=data))
    assert feed.refused == []
    assert [line["data"] for line in on_tape(evening)] == [data]


async def test_it_tells_how_the_recording_goes(
    tmp_path: Path, evening: Path, autojump_clock: MockClock
) -> None:
    feed = await recorded(tmp_path, seconds=30.5, count=20, every=5.25)
    assert feed.declared == [recording.KEY]
    last = feed.events[-1]
    assert last.key == recording.KEY
    assert last.data["file"] == str(evening)
    assert last.data["bytes"] == size(evening)
    assert (last.data["events"], last.data["waiting"], last.data["error"]) == (20, 0, None)
    # As long as nothing comes, it has nothing to tell.
    assert [event.data["events"] for event in feed.events] == [6, 11, 16, 20]


async def failing(folder: Path) -> None:
    settings = RecordSettings(folder=str(folder))
    with trio.move_on_after(60):
        await Record(clock=lambda: EVENING).produce(RecordingFeed(TAPE), settings)


async def test_a_folder_that_cannot_be_used_is_told_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        await failing(tmp_path / "file")


async def test_another_writer_is_told_of(tmp_path: Path, evening: Path, autojump_clock: MockClock) -> None:
    with Tape(evening, append=True), pytest.raises(StoreError, match="another process"):
        await failing(tmp_path)


async def test_what_the_disk_refuses_waits_and_is_written_later(
    tmp_path: Path, evening: Path, disk: Disk, autojump_clock: MockClock
) -> None:
    disk.fill(64)
    with structlog.testing.capture_logs() as log:
        feed = await recorded(tmp_path, seconds=60.5, count=40, every=5, meanwhile=disk.clear)
    assert numbers(evening) == list(range(40))
    told = [line["event"] for line in log]
    assert told == ["tape cannot be written, events wait in memory", "tape is written again"]
    assert "File too large" in feed.events[0].data["error"]
    assert feed.events[0].data["waiting"] > 0
    assert feed.events[-1].data["error"] is None


async def test_what_is_lost_in_the_end_is_told(tmp_path: Path, disk: Disk, autojump_clock: MockClock) -> None:
    disk.fill(64)
    with structlog.testing.capture_logs() as log:
        await recorded(tmp_path, seconds=20.5, count=10, every=5)
    assert log[-1]["event"] == "events are not on tape"
    assert log[-1]["events"] == 10
    assert "File too large" in log[-1]["error"]


async def test_more_than_memory_may_hold_is_not_taken(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    disk.fill(64)
    monkeypatch.setattr(spool, "MOST", 1_000)
    with structlog.testing.capture_logs() as log:
        await recorded(tmp_path, seconds=100.5, count=100, every=5)
    assert 1 < log[-1]["events"] < 12


async def test_much_is_written_before_it_is_time(
    tmp_path: Path, evening: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(spool, "MANY", 1_000)
    found: list[list[int]] = []
    await recorded(
        tmp_path, seconds=60, count=60, every=600, meanwhile=lambda: found.append(numbers(evening))
    )
    assert len(found[0]) > 15
