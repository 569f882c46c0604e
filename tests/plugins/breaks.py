"""Runs of a producer that end at any moment, as a crash ends them, and go on later with what was noted until then."""

from __future__ import annotations

import functools
import math
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio
import trio.testing

from appliance.testing import RecordingFeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from appliance.api import Channel, Event, Row

START = 1_766_000_000.0
_PAUSE = 1e-3  # so that what happens at the moment of an end is not before the next beginning too


@attrs.define
class Broken:
    """What came of it: `events` of each run, and `states` after each. `lost` are what it took and did not note."""

    events: list[list[Event]] = attrs.field(factory=list)
    states: list[dict[str, Any]] = attrs.field(factory=list)
    lost: list[Event] = attrs.field(factory=list)

    @property
    def all(self) -> list[Event]:
        return [event for events in self.events for event in events]


class Mortal(RecordingFeed):
    """A feed whose producer ends right after so many things that it has published or noted."""

    def __init__(self, *arguments: Any, lives: float, death: trio.CancelScope, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lives = lives
        self._death = death

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        await super().publish(data, key=key, at=at)
        self._live()

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        await super().publish_all(rows, note=note)
        self._live()

    def _live(self) -> None:
        self._lives -= 1
        if self._lives == 0:
            self._death.cancel()


@attrs.frozen(kw_only=True)
class Run:
    """Runs a producer in stretches of seconds since `START`, on a clock that jumps.

    `is_noted` says whether an event is part of what was noted.
    """

    channel: Channel
    settings: Any
    shown: Sequence[Event]
    is_noted: Callable[[Event, Mapping[str, Any]], bool] = lambda _event, _state: True

    def __call__(
        self,
        stretches: Iterable[tuple[float, float]],
        *,
        state: Mapping[str, Any] | None = None,
        lives: float = math.inf,
    ) -> Broken:
        """Begin with a state. With so many `lives` the first stretch ends when they are used up."""
        follow = functools.partial(self._follow, list(stretches), dict(state or {}), lives)
        return trio.run(follow, clock=trio.testing.MockClock(autojump_threshold=0))

    async def _follow(
        self, stretches: Sequence[tuple[float, float]], state: Mapping[str, Any], lives: float
    ) -> Broken:
        assert self.channel.produce is not None
        broken = Broken()
        zero = trio.current_time()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: START + trio.current_time() - zero)
            for begin, end in stretches:
                await trio.sleep_until(zero + begin)
                shown = [event for event in self.shown if time.time() <= event.at < START + end]
                with trio.CancelScope(deadline=zero + end) as death:
                    feed = Mortal(
                        self.channel, self.settings, shown=shown, state=state, lives=lives, death=death
                    )
                    await self.channel.produce(feed, feed.settings)
                seen = [event for event in shown if event.at <= time.time()]
                # As the store would give it back.
                state = msgspec.json.decode(msgspec.json.encode(dict(feed.state)))
                broken.events.append(feed.events)
                broken.states.append(dict(state))
                broken.lost += [event for event in seen if not self.is_noted(event, state)]
                lives = math.inf
                await trio.sleep(_PAUSE)
        return broken
