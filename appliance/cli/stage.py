"""Where a rehearsal takes place: hub, roster and watchman as in the appliance, and a screen in place of clients.

Must not know how plugins are loaded. Beside the rehearsed channels only the built-in ones run, for those to watch.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import TYPE_CHECKING, Any

import attrs
import trio

from appliance.core.conduct import Offence
from appliance.core.errors import PluginError
from appliance.core.instants import timestamp
from appliance.loading.importer import fault
from appliance.runtime.answers import Answers
from appliance.runtime.feed import Workshop
from appliance.runtime.hooks import Hooks
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.pages import Pages
from appliance.runtime.roster import Roster
from appliance.runtime.status import Sample, Status
from appliance.runtime.supervisor import leaves
from appliance.runtime.watchman import BlockedError, Watchman

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from appliance.api import Feed
    from appliance.core.events import Event
    from appliance.core.history import Topic
    from appliance.loading.configured import Configured
    from appliance.loading.lineup import Lineup
    from appliance.loading.plugin import Plugin
    from appliance.runtime.status import Health
    from appliance.settings.tree import Settings

MOST_LINES = 100
"""Events that are shown; the others are counted."""
_DATA = 100
"""Characters of an event's data that are shown."""
_DAY = 86_400.0


async def run(
    lineup: Lineup, new: Plugin, own: Sequence[str], *, seconds: float, tell: Callable[[str], object]
) -> None:
    """Run a plugin's `own` channels for so long; raises PluginError with what they did wrong.

    Ends the process where one does not stop.
    """
    await _Stage(lineup, new, own, tell).run(seconds)


class _Stage:
    """Where channels run: hub, roster and watchman as in the appliance, and a screen in place of clients."""

    def __init__(
        self, lineup: Lineup, new: Plugin, own: Sequence[str], tell: Callable[[str], object]
    ) -> None:
        settings = lineup.loaded.draft
        self._lineup = lineup
        self._plugin = new
        self._own = own
        self._tell = tell
        self._settings = settings
        self._mistakes: dict[str, None] = {}
        self._hub = Hub(
            epoch="rehearsal", most_topics=settings.limits.topics, most_bytes=settings.limits.event_bytes
        )
        self._status = Status(_no_traffic)
        self._roster = _roster(self._hub, self._status, new, settings)
        self._screen = _Screen(own, tell)

    async def run(self, seconds: float) -> None:
        """Run for so long, or end the process where a producer does not stop."""
        assert self._plugin.imported is not None  # noqa: S101 - it is a file's
        root = self._plugin.imported.module.__name__.partition(".")[0]
        watchman = Watchman(
            patience=lambda: self._settings.producers.blocked,
            is_plugin=lambda module: module.partition(".")[0] == root,
        )
        self._tell(f"events of {seconds:g} s:")
        async with trio.open_nursery() as nursery:  # ends when the time is up
            await nursery.start(watchman.run)
            await nursery.start(self._roster.run)
            self._hub.observe(self._screen)
            for configured in self._running().values():
                await self._roster.put(configured)
            await trio.sleep(seconds)
            healths = {name: self._status.health[name] for name in self._own}
            for name in tuple(self._roster.channels):
                await self._roster.take(name)
            self._judge(healths, seconds)
            if any(health.offences[Offence.LINGERS] for health in healths.values()):
                _end_now(self._mistakes)
            nursery.cancel_scope.cancel()
        if self._mistakes:
            raise PluginError("\n".join(self._mistakes))

    def _running(self) -> dict[str, Configured]:
        built_in = {
            name
            for each in self._lineup.plugins
            if each.origin == "built-in"
            for name in self._lineup.channels_of(each)
        }
        channels = {name: each for name, each in self._lineup.channels.items() if name in built_in}
        return channels | {name: self._watched(self._lineup.channels[name]) for name in self._own}

    def _watched(self, configured: Configured) -> Configured:
        channel, rows = configured.channel, configured.rows
        produce = channel.produce if rows is None else rows.produce
        assert produce is not None  # noqa: S101 - the catalogue has checked that there is one
        return attrs.evolve(configured, rows=_Watched(produce, self._plugin.file, self._mistakes))

    def _judge(self, healths: dict[str, Health], seconds: float) -> None:
        """Sum up, and find what no exception tells."""
        self._screen.sum_up()
        producers, file = self._settings.producers, self._plugin.file
        for name, health in healths.items():
            if not health.events and not health.errors:
                self._tell(f"{name}: nothing published in {seconds:g} s; `--seconds` gives it longer")
            else:
                count = f"{health.events} event{'' if health.events == 1 else 's'}"
                self._tell(f"{name}: {count}, {health.events / seconds:.1f} a second")
            if health.lag is not None and abs(health.lag) > _DAY:
                self._tell(
                    f"{name}: its events are {-health.lag:+.0f} s from now: `at` is in seconds since 1970"
                )
            if health.offences[Offence.FLOODS]:
                self._mistakes[
                    f"{file}: channel `{name}` publishes more than {producers.events_per_second:g} events a second "
                    "(producers.events_per_second) and is made to wait: let it publish less, or raise the bound"
                ] = None
            if health.offences[Offence.LINGERS]:
                self._mistakes[
                    f"{file}: channel `{name}` does not stop within {producers.stop_within:g} s "
                    "(producers.stop_within): let its producer pass on trio.Cancelled, and not shield itself"
                ] = None


class _Screen:
    """Shows each event in each of its topics as a line."""

    def __init__(self, channels: Sequence[str], tell: Callable[[str], object]) -> None:
        self._channels = channels
        self._tell = tell
        self._lines = 0

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None:
        if event.channel not in self._channels:
            return
        for topic in entered:
            self._lines += 1
            if self._lines <= MOST_LINES:
                self._tell(f"  {timestamp(event.at)}  {topic.name}  {topic.last}  {_shortened(body)}")

    def sum_up(self) -> None:
        if self._lines > MOST_LINES:
            self._tell(f"  … and {self._lines - MOST_LINES} more")


@attrs.frozen
class _Watched:
    """The rows of a producer; what it does wrong is kept with its line."""

    produce_rows: Callable[[Feed, Any], Awaitable[None]]
    file: Path
    mistakes: dict[str, None]

    async def produce(self, feed: Feed, settings: Any) -> None:  # noqa: ANN401 - the channel's own Settings
        try:
            await self.produce_rows(feed, settings)
        except BaseException as error:
            for leaf in leaves(error):
                if isinstance(leaf, BlockedError):
                    self.mistakes[str(leaf)] = None
                elif isinstance(leaf, Exception | SystemExit):
                    self.mistakes[str(fault(leaf, self.file))] = None
            raise
        self.mistakes[
            f"{_place(self.produce_rows, self.file)}: the producer of `{feed.channel}` returned: "
            "it must run until it is cancelled, as `async for _ in feed.every(seconds)` does"
        ] = None


def _roster(hub: Hub, status: Status, new: Plugin, settings: Settings) -> Roster:
    hooks = Hooks()
    hooks.use((new,))
    workshop = Workshop(
        hub=hub,
        journal=Journal(hub),
        threads=trio.CapacityLimiter(settings.producers.threads),
        most_watched=settings.producers.watch,
        transform=hooks.transform,
        most_events=lambda: settings.producers.events_per_second,
        settled=trio.lowlevel.checkpoint,
    )
    answers = Answers(hub, within=lambda: settings.limits.answer)
    pages = Pages(hub, transform=hooks.transform, within=lambda: settings.limits.answer)
    return Roster(
        workshop,
        status,
        answers,
        pages,
        restart=lambda: settings.restart,
        producers=lambda: settings.producers,
    )


def _no_traffic() -> Sample:
    return Sample(
        at=trio.current_time(), deliveries=0, sent_bytes=0, received_bytes=0, opened=0, closed=0, errors={}
    )


def _place(function: Callable[..., object], file: Path) -> str:
    try:
        code = inspect.unwrap(function).__code__
    except AttributeError:
        return str(file)
    return f"{code.co_filename}:{code.co_firstlineno}"


def _shortened(body: bytes) -> str:
    text = "".join(sign if sign.isprintable() else "\ufffd" for sign in body.decode(errors="replace"))
    return text if len(text) <= _DATA else f"{text[: _DATA - 1]}…"


def _end_now(mistakes: dict[str, None]) -> None:
    """End the process: a task that passes over its cancellation would keep it for ever."""
    for mistake in mistakes:
        print(f"appliance: {mistake}", file=sys.stderr)  # noqa: T201 - nobody else gets to do it
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
