"""The source `record`: a channel that writes the events of others on a tape a day, and tells how that goes.

Must not know what is on a tape. What cannot be written waits, up to a bound, and is tried again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import msgspec
import trio

from appliance.core import digits
from appliance.core.errors import PluginError, StoreError
from appliance.core.instants import timestamp
from appliance.sources.tapes import lines
from appliance.sources.tapes.lines import Taped
from appliance.sources.tapes.spool import Spool
from appliance.sources.tapes.writing import Tape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from appliance.api import Event, Feed
    from appliance.sources.tapes.settings import RecordSettings

KEY: Final = "written"
"""Key of the topic that tells how the recording goes."""
_LAST = 0.1
"""Seconds in which the watch gives what it still holds, in the end."""


class Written(msgspec.Struct, kw_only=True):
    """How the recording goes: the tape of the day, its bytes, and events that were written since the start."""

    file: str
    bytes: int
    events: int
    waiting: int
    error: str | None
    timestamp: str


class Record:
    """What records for all channels of the source. `clock` is the wall clock, in seconds since 1970."""

    def __init__(self, _settings: object = None, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    async def produce(self, feed: Feed, settings: RecordSettings) -> None:
        """Record until cancelled. StoreError says why no tape can be opened."""
        # It watches from the start: nothing is missed while the tape is opened.
        recording = _Recording(feed, settings, self._clock, feed.watch(*settings.topics, exact=True))
        feed.declare(KEY)
        try:
            await recording.begin()
            async with trio.open_nursery() as nursery:  # ends when one of them fails
                nursery.start_soon(recording.collect)
                nursery.start_soon(recording.write_on)
        finally:
            await recording.end()


@attrs.define(eq=False)
class _Recording:
    """One run of one producer. Lines wait with the day that they are of, until they are on its tape."""

    feed: Feed
    settings: RecordSettings
    clock: Callable[[], float]
    watch: AsyncIterator[Event]
    spool: Spool = attrs.field(init=False)
    day: str = attrs.field(default="", init=False)
    tape: Tape | None = attrs.field(default=None, init=False)
    events: int = attrs.field(default=0, init=False)
    error: str | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.spool = Spool(self.settings.every)

    async def begin(self) -> None:
        await self._in_thread(partial(self._open, _day(self.clock())))
        self.feed.ready()

    async def collect(self) -> None:
        """Take what comes. While the spool is full nothing is taken, and the watch says when it has lost events."""
        async for event in self.watch:
            now = self.clock()
            line = lines.write(
                Taped(
                    received=lines.moment(now),
                    at=lines.moment(event.at),
                    channel=event.channel,
                    key=event.key,
                    data=msgspec.Raw(digits.encode(event.data)),
                )
            )
            await self.spool.put(line, _day(now))

    async def write_on(self) -> None:
        while True:
            await self.spool.due()
            if not self.spool:
                continue
            try:
                await self._write()
            except StoreError as error:
                self._fail(str(error))
                await trio.sleep(self.settings.every)
            else:
                self._succeed()
            await self._tell()

    async def end(self) -> None:
        """Write what has come so far, whatever ends the producer."""
        with contextlib.suppress(PluginError), trio.move_on_after(_LAST, shield=True):
            await self.collect()
        with trio.CancelScope(shield=True):
            try:
                await self._write()
            except StoreError as error:
                self.feed.log.error("events are not on tape", events=len(self.spool), error=str(error))  # noqa: TRY400 - the message says all
            if self.tape is not None:
                self.tape.close()

    async def _write(self) -> None:
        """Write all that waits; when this raises, the rest of it waits on."""
        while self.spool:
            day, of_day = self.spool.first()
            await self._in_thread(partial(self._keep, day, of_day))
            self.spool.written(of_day)
            self.events += len(of_day)

    def _keep(self, day: str, of_day: list[bytes]) -> None:
        self._open(day).keep(of_day)

    def _open(self, day: str) -> Tape:
        """Give the tape of a day. Blocks."""
        if self.tape is None or self.day != day:
            if self.tape is not None:
                self.tape.close()
                self.tape = None
            self.tape, self.day = Tape(self._path(day), append=True), day
            if self.tape.cut:
                self.feed.log.warning(
                    "tape was not finished", file=str(self._path(day)), cut_bytes=self.tape.cut
                )
        return self.tape

    def _path(self, day: str) -> Path:
        return Path(self.settings.folder) / f"{self.feed.channel}-{day}.jsonl.gz"

    async def _in_thread(self, work: Callable[[], object]) -> None:
        # To the end: of what was begun, nobody knows what is on the tape.
        with trio.CancelScope(shield=True):
            await self.feed.blocking(work)

    def _fail(self, error: str) -> None:
        if self.error is None:
            self.feed.log.error("tape cannot be written, events wait in memory", error=error)
        self.error = error

    def _succeed(self) -> None:
        if self.error is not None:
            self.feed.log.info("tape is written again")
        self.error = None

    async def _tell(self) -> None:
        written = Written(
            file=str(self._path(self.day)),
            bytes=0 if self.tape is None else self.tape.size,
            events=self.events,
            waiting=len(self.spool),
            error=self.error,
            timestamp=timestamp(self.clock()),
        )
        await self.feed.publish(msgspec.structs.asdict(written), key=KEY)


def _day(now: float) -> str:
    return dt.datetime.fromtimestamp(now, dt.UTC).date().isoformat()
