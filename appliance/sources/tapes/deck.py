"""The deck: plays one tape to many channels, whose producers take turns, so that its order is theirs.

Must not know what becomes of the events. Of all producers one has the turn: it reads on, waits until an event is due,
and gives the turn to the producer whose event that is.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from appliance.core.errors import SourceError
from appliance.sources.tapes.reading import Trouble, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.api import Feed
    from appliance.sources.tapes.lines import Taped
    from appliance.sources.tapes.settings import ReplaySettings

_READ_AT_ONCE = 1_000
_MOST_AT_ONCE = 200
"""Events that one producer publishes before another may have its turn."""


@attrs.define(eq=False)
class Seat:
    """A producer that is there to play."""

    feed: Feed
    turn: trio.Event = attrs.field(factory=trio.Event)


class Deck:
    """Made for a source; the tape is opened by the first producer."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._seats: dict[str, Seat] = {}
        self._player: Seat | None = None
        self._reel = _Reel(settings)
        self._due: deque[Taped] = deque()
        self._passed_over: Counter[str] = Counter()
        self._gathered = self._told_end = False
        self._pace: _Pace | None = None

    @contextlib.contextmanager
    def seat(self, feed: Feed) -> Iterator[Seat]:
        """Take part for a channel, as long as this lasts."""
        seat = self._seats[feed.channel] = Seat(feed)
        if self._player is None:
            self._give_turn(seat)
        try:
            yield seat
        finally:
            if self._seats.get(feed.channel) is seat:
                del self._seats[feed.channel]
            if self._player is seat:
                self._give_turn(next(iter(self._seats.values()), None))

    async def next(self, seat: Seat) -> list[Taped]:
        """Wait for the next events of a channel, and give them. Until it asks again, nobody else has a turn."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            await seat.turn.wait()
            await self._gather()
            if not self._due:
                await self._wait_until_due(seat.feed)
            channel = self._due[0].channel
            theirs = self._seats.get(channel)
            if theirs is seat:
                return self._take(channel)
            if theirs is None:
                self._passed_over[channel] += len(self._take(channel))
            else:
                self._give_turn(theirs)

    def _give_turn(self, seat: Seat | None) -> None:
        if self._player is not None:
            self._player.turn = trio.Event()
        self._player = seat
        if seat is not None:
            seat.turn.set()

    def _take(self, channel: str) -> list[Taped]:
        """Take the events that are due and of one channel."""
        taken: list[Taped] = []
        while self._due and self._due[0].channel == channel:
            taken.append(self._due.popleft())
        return taken

    async def _gather(self) -> None:
        """Let the other channels come, for they do one after the other."""
        if not self._gathered:
            await trio.sleep(self._settings.wait)
            self._gathered = True

    async def _wait_until_due(self, feed: Feed) -> None:
        """Wait for the next event of any channel, and for those that are due with it."""
        if self._settings.speed == "max":
            await feed.settled()
        first = await self._read(feed)
        pace = self._pace = self._pace or _Pace(first, self._settings.speed, trio.current_time())
        await trio.sleep_until(pace.due(first))
        now = trio.current_time()
        ready, keys = self._reel.ready, set[tuple[str, str]]()
        while ready and len(self._due) < _MOST_AT_ONCE and pace.due(ready[0]) <= now:
            key = (ready[0].channel, ready[0].key)
            if key in keys:
                break  # in a channel of states, it would take the place of the one before, and nobody would see that
            keys.add(key)
            self._due.append(ready.popleft())

    async def _read(self, feed: Feed) -> Taped:
        """Give the next event without taking it. At the end of the tape that is the first one, or there is none."""
        while not self._reel.ready:
            if self._reel.ended:
                self._tell_end(feed)
                if not self._settings.loop or not self._reel.events:
                    await trio.sleep_forever()
                self._reel, self._pace, self._told_end = _Reel(self._settings), None, False
            for problem in await feed.blocking(self._reel.wind):
                feed.log.warning("tape has a gap", file=self._settings.file, problem=problem)
        feed.ready()
        return self._reel.ready[0]

    def _tell_end(self, feed: Feed) -> None:
        """Tell it once, whoever has the turn afterwards."""
        if self._told_end:
            return
        self._told_end = True
        feed.log.info(
            "tape has ended", file=self._settings.file, events=self._reel.events, again=self._settings.loop
        )
        if self._passed_over:
            feed.log.warning(
                "the tape has events of channels that do not play it",
                channels=dict(self._passed_over),
                remedy='name it in their tables, as `source = "…"`',
            )
            self._passed_over.clear()


class _Pace:
    """When events are due: one clock for all channels."""

    def __init__(self, first: Taped, speed: float | str, begun: float) -> None:
        self._first = first.received
        self._speed = math.inf if isinstance(speed, str) else speed
        self._begun = begun

    def due(self, taped: Taped) -> float:
        return self._begun + (taped.received - self._first).total_seconds() / self._speed


class _Reel:
    """A tape that is read once, a stretch at a time. `ready` are the events that come next."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._stretches = self._begin()
        self._winding = threading.Lock()
        self.ready: deque[Taped] = deque()
        self.events = 0
        self.ended = False

    def wind(self) -> list[str]:
        """Read on, where nothing is ready, and give what was wrong. Blocks.

        A call that nobody waits for any more goes on all the same: what it has read is there for the next one.
        """
        with self._winding:
            if self.ready or self.ended:
                return []
            try:
                found = list(itertools.islice(self._stretches, _READ_AT_ONCE))
            except SourceError:
                if not self.events:
                    self._stretches = self._begin()  # the next try is a new one
                raise
            taped = [each for each in found if not isinstance(each, Trouble)]
            self.ended = not found
            self.events += len(taped)
            self.ready.extend(taped)
            return [each.problem for each in found if isinstance(each, Trouble)]

    def _begin(self) -> Iterator[Taped | Trouble]:
        return read(Path(self._settings.file), start=self._settings.start)
