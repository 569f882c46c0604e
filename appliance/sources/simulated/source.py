"""The simulated source: gives each channel its rows of one tape, a tick at a time.

Must not know how the rows are made, nor who reads them. Each channel has a producer of its own, and any of
them may fail and start again: whoever is the first to need a tick makes it, and the others find it here.
"""

from __future__ import annotations

import collections
import math
import re
import time
from typing import TYPE_CHECKING, Any

import attrs
import trio
from attrs.validators import gt, le

from appliance.core.errors import Mistake, SettingsError
from appliance.settings.fields import Seconds, setting
from appliance.sources.simulated.instruments import DOZEN
from appliance.sources.simulated.tape import Tape, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.api import Feed

_KEPT = 64  # ticks that a channel may miss while its producer is being restarted
_EARLY = 0.1  # part of an interval: the producers' beats are that close, but none is exactly the first
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,31}")


def _check_symbols(_: object, __: object, symbols: tuple[str, ...]) -> None:
    if not symbols:
        raise ValueError("needs at least one symbol")
    for symbol in symbols:
        if not _SYMBOL.fullmatch(symbol):
            raise ValueError(f"{symbol!r} is no symbol: at most 32 of A-Z, 0-9, '.', '_' and '-'")
        if symbols.count(symbol) > 1:
            raise ValueError(f"{symbol!r} stands there more than once")


@attrs.frozen(kw_only=True)
class SimulatedSettings:
    seed: int = setting(1, "What the tape is made from: the same seed gives the same tape")
    interval: Seconds = setting(
        1.0, "Time between two ticks; a minute at most, for that is the shortest prediction", gt(0), le(60)
    )
    symbols: tuple[str, ...] = setting(
        DOZEN, "What is traded; a name that is not known is a coin made from the seed", _check_symbols
    )


@attrs.define
class Simulated:
    """The market that all channels of one source share. `clock` is the wall clock, in seconds since 1970."""

    _settings: SimulatedSettings
    _clock: Callable[[], float] = time.time
    _tape: Tape | None = attrs.field(default=None, init=False)
    _due: float = attrs.field(default=-math.inf, init=False)
    _ticks: collections.deque[Tick] = attrs.field(factory=lambda: collections.deque(maxlen=_KEPT), init=False)
    _given: dict[str, int] = attrs.field(factory=dict, init=False)

    async def produce(self, feed: Feed, settings: Any) -> None:  # noqa: ANN401, ARG002 - the interface of all sources
        """Publish the rows of `feed.channel`, from where its last producer ended."""
        keys = self._opened().keys
        if feed.channel not in keys:
            problem = f"the simulated market has no rows for it: it has {', '.join(keys)}"
            raise SettingsError([Mistake(f"channels.{feed.channel}.source", problem)])
        feed.declare(*keys[feed.channel])
        async for _ in feed.every(self._settings.interval):
            await self._publish_new(feed)

    async def answer(self, channel: str, key: str, settings: Any) -> Mapping[str, Any] | None:  # noqa: ANN401, ARG002 - the interface of all sources
        """A prediction made now. Other channels tell all that there is to tell with each tick."""
        await trio.lowlevel.checkpoint()
        return self._opened().prediction(key, self._clock()) if channel == "predictions" else None

    async def _publish_new(self, feed: Feed) -> None:
        self._tick_if_due()
        last = self._given.get(feed.channel, -1)
        for tick in [tick for tick in self._ticks if tick.number > last]:
            # Noted first: a row that its channel refuses must not come again with every restart.
            self._given[feed.channel] = tick.number
            for row in tick.rows:
                if row.channel == feed.channel:
                    await feed.publish(row.data, key=row.key, at=row.at)

    def _opened(self) -> Tape:
        if self._tape is None:
            settings = self._settings
            self._tape = Tape(
                seed=settings.seed,
                symbols=settings.symbols,
                start=self._clock(),
                interval=settings.interval,
            )
        return self._tape

    def _tick_if_due(self) -> None:
        """One tick an interval, whoever asks first; those that were missed are skipped."""
        now, interval = trio.current_time(), self._settings.interval
        if now >= self._due - _EARLY * interval:
            self._due = (self._due if now < self._due + interval else now) + interval
            self._ticks.append(self._opened().step(self._clock()))
