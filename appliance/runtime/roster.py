"""The roster: channels and their producers, which come, change and go while everything else stays as it is.

Must not know where plugins come from, nor who reads their channels.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import structlog
import trio

from appliance.api import Answering, Paging
from appliance.core.conduct import Conduct, Offence
from appliance.core.errors import PluginError
from appliance.runtime.feed import HubFeed
from appliance.runtime.status import Health
from appliance.runtime.supervisor import Producer, leaves, supervise
from appliance.runtime.watchman import BlockedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.api import Feed
    from appliance.loading.configured import Configured
    from appliance.runtime.answers import Answers
    from appliance.runtime.feed import Workshop
    from appliance.runtime.pages import Pages
    from appliance.runtime.status import Status
    from appliance.settings.tree import ProducerSettings, RestartSettings

_log = structlog.get_logger()

_REMEDIES = {
    Offence.BLOCKS: "let it wait with trio, or do what blocks in `await feed.blocking(...)`",
    Offence.FLOODS: "let it publish less, or raise producers.events_per_second",
    Offence.IS_SILENT: "see whether its source has anything; where it may rest, raise producers.silences",
    Offence.LINGERS: "let it pass on trio.Cancelled, and not shield itself; it can publish nothing any more",
}


@attrs.define(eq=False)
class _Engagement:
    """One channel at work. `over` is set when its producer has really ended; a closed feed takes nothing any more."""

    configured: Configured
    conduct: Conduct
    health: Health
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    over: trio.Event = attrs.field(factory=trio.Event)
    feeds: list[HubFeed] = attrs.field(factory=list)
    attempt: trio.CancelScope | None = None
    silences: int = 0
    """Attempts in a row that published nothing for too long."""

    @property
    def log(self) -> Any:  # noqa: ANN401 - any structlog logger
        """A logger that names the channel, and the file to look into."""
        log, file = _log.bind(channel=self.configured.channel.name), self.configured.file
        return log if file is None else log.bind(file=str(file))


class Roster:
    """`run` it, then `put` channels; the callables give what the settings say at the moment."""

    def __init__(
        self,
        workshop: Workshop,
        status: Status,
        answers: Answers,
        pages: Pages,
        *,
        restart: Callable[[], RestartSettings],
        producers: Callable[[], ProducerSettings],
    ) -> None:
        self._workshop = workshop
        self._hub = workshop.hub
        self._status = status
        self._answers = answers
        self._pages = pages
        self._restart = restart
        self._producers = producers
        self._engaged: dict[str, _Engagement] = {}
        self._channels: dict[str, Configured] = {}
        self._nursery: trio.Nursery | None = None
        self._changing = trio.Lock()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:  # ends when cancelled
            task_status.started()
            await trio.sleep_forever()

    @property
    def channels(self) -> Mapping[str, Configured]:
        """What is there, by name, as it changes."""
        return self._channels

    async def put(self, configured: Configured) -> None:
        """Let a channel work; one of its name that is there is replaced, and its topics and readers stay."""
        name = configured.channel.name
        async with self._changing:
            await self._end(name)
            opened = partial(self._hub.open, configured.channel, configured.settings, configured.retention)
            await self._workshop.journal.adopt(configured, opened)
            self._answer(configured)
            self._channels[name] = configured
            await self._begin(configured)

    async def take(self, name: str) -> None:
        """End a channel. Its topics wait for its return; until then nobody finds them."""
        async with self._changing:
            await self._end(name)
            self._engaged.pop(name, None)
            self._channels.pop(name, None)
            self._answers.remove(name)
            self._pages.remove(name)
            self._status.health.pop(name, None)
            self._hub.close(name)

    def look(self, now: float, elapsed: float) -> list[str]:
        """Measure all channels; start those anew that are silent for too long. Give those that went stale or fresh."""
        changed, calm = [], self._restart().calm
        for name, engaged in self._engaged.items():
            health = engaged.health
            if health.running and now - (health.started_at or now) >= calm:
                health.failing = False
            if health.look(now, elapsed):
                changed.append(name)
                log = engaged.log.warning if health.stale else engaged.log.info
                log("channel is stale" if health.stale else "channel is fresh", last=health.last_update)
            if health.stale:
                self._start_anew(engaged, now)
            else:
                engaged.silences = 0
        return changed

    def _start_anew(self, engaged: _Engagement, now: float) -> None:
        """End an attempt that has been silent from its beginning; the next follows, unless it keeps on."""
        health, most = engaged.health, self._producers().silences
        begun = health.started_at or now
        if engaged.attempt is None or now - begun <= (health.stale_after or 0):
            return
        engaged.silences += 1
        health.offences[Offence.IS_SILENT] += 1
        engaged.log.warning(
            "producer misbehaves", does=Offence.IS_SILENT, remedy=_REMEDIES[Offence.IS_SILENT]
        )
        if most and engaged.silences >= most:
            self._quarantine(engaged, Offence.IS_SILENT, f"{most} times in a row (producers.silences)")
        else:
            engaged.attempt.cancel()

    def offend(self, name: str, offence: Offence, **details: Any) -> None:  # noqa: ANN401 - of the log
        """Count what a producer does to others, tell it, and end the producer when it keeps on."""
        engaged = self._engaged.get(name)
        if engaged is None or engaged.scope.cancel_called:
            return
        too_many = engaged.conduct.offend(offence, trio.current_time())
        engaged.health.offences[offence] += 1
        engaged.log.warning("producer misbehaves", does=offence, remedy=_REMEDIES[offence], **details)
        if too_many:
            self._quarantine(engaged, offence, "too often (producers.offences within producers.window)")

    def _quarantine(self, engaged: _Engagement, offence: Offence, often: str) -> None:
        engaged.health.quarantined = f"it {offence}, {often}"
        engaged.scope.cancel()
        for feed in engaged.feeds:
            feed.close()
        engaged.log.error(
            "producer quarantined",
            reason=engaged.health.quarantined,
            remedy="correct its plugin: it starts again when its file changes, or with the appliance",
        )

    async def _begin(self, configured: Configured) -> None:
        assert self._nursery is not None  # noqa: S101 - it runs
        settings, name = self._producers(), configured.channel.name
        health = self._status.health[name] = Health(stale_after=configured.stale_after)
        conduct = Conduct(settings.offences, settings.window)
        engaged = self._engaged[name] = _Engagement(configured, conduct, health)
        await self._nursery.start(self._work, engaged)

    async def _work(
        self, engaged: _Engagement, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        restart, name = self._restart(), engaged.configured.channel.name
        log = engaged.log
        producer = Producer(name, self._producing(engaged, log), engaged.health, log)
        try:
            with engaged.scope:
                await supervise(
                    producer,
                    first=restart.first,
                    most=restart.most,
                    calm=restart.calm,
                    task_status=task_status,
                )
        finally:
            engaged.health.running = False
            engaged.over.set()

    def _producing(self, engaged: _Engagement, log: Any) -> Callable[[], Awaitable[None]]:  # noqa: ANN401 - any structlog logger
        configured = engaged.configured
        channel, rows = configured.channel, configured.rows
        produce: Callable[[Feed, Any], Awaitable[None]] | None
        produce = rows.produce if rows is not None else channel.produce
        assert produce is not None  # noqa: S101 - the catalogue has checked that there is one

        def floods(most: float) -> None:
            self.offend(channel.name, Offence.FLOODS, events_per_second=most)

        async def run() -> None:
            with contextlib.closing(HubFeed(channel, self._workshop, engaged.health, log, floods)) as feed:
                engaged.feeds.append(feed)
                try:
                    with trio.CancelScope() as engaged.attempt:
                        await produce(feed, configured.told)
                    _check_silence(engaged)
                except BaseException as error:
                    for leaf in leaves(error):
                        if isinstance(leaf, BlockedError):
                            self.offend(channel.name, Offence.BLOCKS, error=str(leaf))
                    raise
                finally:
                    engaged.attempt = None
                    engaged.feeds.remove(feed)

        return run

    async def _end(self, name: str) -> None:
        """End a producer. One that does not stop in time is cut off: it can hold a task, but publish nothing."""
        engaged = self._engaged.get(name)
        if engaged is None:
            return
        within = self._producers().stop_within
        engaged.scope.cancel()
        with trio.move_on_after(within):
            await engaged.over.wait()
            return
        for feed in engaged.feeds:
            feed.close()
        engaged.health.offences[Offence.LINGERS] += 1
        engaged.log.error("producer does not stop", seconds=within, remedy=_REMEDIES[Offence.LINGERS])

    def _answer(self, configured: Configured) -> None:
        channel, settings, rows = configured.channel, configured.settings, configured.rows
        self._answers.remove(channel.name)
        if channel.answer is not None:
            own = channel.answer
            self._answers.add(channel, lambda key: own(key, settings))
        elif isinstance(rows, Answering):
            self._answers.add(channel, lambda key: rows.answer(channel.name, key, configured.told))
        self._pages.remove(channel.name)
        if isinstance(rows, Paging):
            self._pages.add(channel, lambda query: rows.page(channel.name, query, configured.told))


def _check_silence(engaged: _Engagement) -> None:
    """Say why a producer was ended that had nothing to say."""
    if engaged.attempt is not None and engaged.attempt.cancelled_caught:
        raise PluginError(f"it published nothing for {engaged.health.stale_after:g} s (stale_after)")
