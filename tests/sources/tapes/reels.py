"""What the tests of tapes share: events to record, tapes made of them, and channels that play those."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import trio

from appliance.api import Channel, Mode
from appliance.sources.tapes import lines
from appliance.sources.tapes.lines import Taped
from appliance.sources.tapes.replay import Replay
from appliance.sources.tapes.writing import Tape
from appliance.testing import RecordingFeed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from appliance.api import Row, Rows
    from appliance.sources.tapes.settings import ReplaySettings

START = 1_900_000_000.0
"""When the tapes of these tests begin."""


def taped(
    second: float, channel: str = "price", key: str = "BTC", data: bytes = b'{"price":1}', late: float = 0.0
) -> Taped:
    """An event that came so many seconds after the start."""
    return Taped(
        received=lines.moment(START + second),
        at=lines.moment(START + second - late),
        channel=channel,
        key=key,
        data=msgspec.Raw(data),
    )


def numbered(count: int, *, first: int = 0, channels: Iterable[str] = ("price",)) -> list[Taped]:
    """Events a second apart, of one channel after the other, whose data is their number."""
    names = list(channels)
    return [
        taped(number, names[number % len(names)], data=b'{"n":%d}' % number)
        for number in range(first, first + count)
    ]


def record(path: Path, *batches: Iterable[Taped]) -> Path:
    """Write a tape with a member for each batch, behind what it has."""
    with Tape(path, append=True) as tape:
        for batch in batches:
            tape.keep([lines.write(each) for each in batch])
    return path


def on_tape(path: Path) -> list[Mapping[str, Any]]:
    """What the standard library alone finds on a tape."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        return [json.loads(line) for line in text]


@attrs.define
class Stage:
    """Channels that play a tape: what each publishes, and when, in the order of all of them."""

    settings: ReplaySettings
    heard: list[tuple[float, str, int]] = attrs.field(factory=list)
    """Seconds since it began, channel and number of each event."""

    async def play(self, *channels: str, seconds: float, rows: Rows | None = None) -> None:
        """Let these channels play for so long."""
        source = Replay(self.settings) if rows is None else rows
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:  # ends with the time
                for channel in channels:
                    nursery.start_soon(source.produce, self.feed(channel), None)

    def feed(self, channel: str) -> RecordingFeed:
        made = Channel(name=channel, mode=Mode.LOG, message="event", source="replay")
        return _Heard(made, self.heard)

    @property
    def order(self) -> list[tuple[str, int]]:
        return [(channel, number) for _, channel, number in self.heard]


class _Heard(RecordingFeed):
    def __init__(self, channel: Channel, heard: list[tuple[float, str, int]]) -> None:
        super().__init__(channel)
        self._heard = heard

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        rows = list(rows)
        self._heard += [(trio.current_time(), self.channel, row.data["n"]) for row in rows]
        await super().publish_all(rows, note=note)
