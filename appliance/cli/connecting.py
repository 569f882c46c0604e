"""A trial of the sources of a configuration: each channel's is asked what it would read, and nobody is served.

Must not know what kinds of source there are.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING

import attrs
import click
import structlog
import trio

from appliance.cli.findings import Examinable, Finding, lines, printable
from appliance.core.errors import PublishError, SourceError
from appliance.core.instants import timestamp
from appliance.ops import log
from appliance.runtime.feed import HubFeed, Workshop
from appliance.runtime.hooks import Hooks
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.status import Health
from appliance.settings.quantities import time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from appliance.api import Event, Row
    from appliance.core.history import Topic
    from appliance.loading.configured import Configured
    from appliance.loading.plugin import Plugin
    from appliance.runtime.turnover import Turnover
    from appliance.settings.load import Loaded
    from appliance.settings.tree import Settings

_log = structlog.get_logger()


def connect(loaded: Loaded, turnover: Turnover, *, timeout: float) -> None:
    """Ask the sources of all channels, on the terminal or wherever standard output goes."""
    log.configure(level=loaded.settings.log.level, format="console", stream=sys.stderr)
    trial = Trial(
        settings=loaded.settings,
        plugins=turnover.plugins,
        timeout=timeout,
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
        tell=click.echo,
        progress=partial(click.echo, err=True),
    )
    trio.run(trial.run, turnover.channels)


@attrs.frozen(kw_only=True)
class Trial:
    """`timeout` are the seconds that the source of one channel may take, `width` is that of the terminal, if any.

    `tell` is given lines of what was found, `progress` those of what is being done.
    """

    settings: Settings
    plugins: Sequence[Plugin]
    timeout: float
    width: int | None
    tell: Callable[[str], object]
    progress: Callable[[str], object]

    async def run(self, channels: Iterable[Configured]) -> None:
        """Ask one channel's source after the other; raises SourceError with all that was wrong."""
        problems: list[str] = []
        asked = 0
        for configured in channels:
            if not isinstance(configured.rows, Examinable):
                continue
            asked += 1
            try:
                finding = await self._ask(configured, configured.rows)
            except SourceError as error:
                # One line each, whatever a database has said.
                problems.append(" ".join(printable(line) for line in str(error).splitlines()))
            else:
                self.tell("")
                for line in lines(finding, width=self.width):
                    self.tell(line)
        if not asked:
            self.tell("nothing to connect to: no channel has a source that can be asked what it would read")
        if problems:
            raise SourceError("\n".join(problems))

    async def _ask(self, configured: Configured, rows: Examinable) -> Finding:
        """Ask the source of a channel; SourceError says which it was, and what is wrong."""
        name = configured.channel.name
        source = self._source(configured)
        self.progress(f"{name}: asking {source} …")
        try:
            with trio.fail_after(self.timeout):
                found = await rows.examine(configured.told)
        except trio.TooSlowError:
            problem = f"no answer within {time_text(self.timeout)}; see what keeps it, or give it longer with --timeout"
        except SourceError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a plugin's code may raise anything
            problem = f"{type(error).__name__}: {error}; correct the plugin of the source"
        else:
            events = await _Screen(configured, self.settings, self.plugins).shown(found.first)
            return Finding(channel=name, source=source, found=found, events=events)
        raise SourceError(f"channel {name}, source {source}: {problem}")

    def _source(self, configured: Configured) -> str:
        """The name of the source that a channel has, with its kind where that is another."""
        own = self.settings.channels.get(configured.channel.name)
        name = (own and own.source) or configured.channel.source or ""
        told = self.settings.sources.get(name)
        return name if told is None or told.kind in (None, name) else f"{name} ({told.kind})"


class _Screen:
    """Stands where clients are: rows go the way of all events, through transforms, schema and routes, and are shown."""

    def __init__(self, configured: Configured, settings: Settings, plugins: Iterable[Plugin]) -> None:
        hooks = Hooks()
        hooks.use(plugins)
        limits = settings.limits
        hub = Hub(epoch="trial", most_topics=limits.topics, most_bytes=limits.event_bytes)
        hub.open(configured.channel, configured.settings, configured.retention)
        hub.observe(self)
        workshop = Workshop(
            hub=hub,
            journal=Journal(hub),
            threads=trio.CapacityLimiter(settings.producers.threads),
            most_watched=settings.producers.watch,
            transform=hooks.transform,
            most_events=lambda: settings.producers.events_per_second,
            settled=trio.lowlevel.checkpoint,
        )
        self._feed = HubFeed(configured.channel, workshop, Health(), _log, floods=lambda _: None)
        self._lines: list[str] = []

    async def shown(self, rows: Iterable[Row]) -> list[str]:
        """Give a line for each event, and for each row that is to be none."""
        for row in rows:
            before = len(self._lines)
            try:
                await self._feed.publish(row.data, key=row.key, at=row.at)
            except PublishError as error:
                self._lines.append(f"refused, and told to nobody: {printable(str(error))}")
            except Exception as error:  # noqa: BLE001 - what a plugin's route raises
                self._lines.append(f"refused, and told to nobody: {printable(repr(error))}")
            if len(self._lines) == before:
                self._lines.append(f"no event: a plugin drops that of {printable(repr(row.key))}")
        return self._lines

    def see(self, event: Event, entered: Sequence[Topic], body: bytes) -> None:
        topics = " ".join(topic.name for topic in entered) or "(no topic)"
        self._lines.append(f"{timestamp(event.at)}  {topics}  {printable(body.decode(errors='replace'))}")
