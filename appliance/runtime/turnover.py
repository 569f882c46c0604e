"""The turnover: plugins come, change and go with their files, while every other channel stays as it is.

Must not know what runs the channels, nor who reads them. Whatever fails on the way of a plugin, what runs goes on.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs
import structlog
import trio

from appliance.core.errors import ApplianceError, PluginError
from appliance.loading import arrival, bundle, files, plugin, probe
from appliance.loading.catalogue import Catalogue
from appliance.loading.importer import blamed
from appliance.loading.installed import Installed, installed
from appliance.loading.ledger import Accounts, PluginState
from appliance.loading.lineup import Lineup
from appliance.loading.sightings import Record, Sightings
from appliance.loading.watching import Watching
from appliance.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.loading.arrival import Probe, Probed
    from appliance.loading.configured import Configured
    from appliance.loading.plugin import Plugin
    from appliance.settings.load import Loaded
    from appliance.settings.tree import PluginSettings

_log = structlog.get_logger()
_audit = structlog.get_logger("audit")

_BREATH = 0.05
"""Seconds between two looks while something happens all the time."""
_REMEDY = "correct it: it is tried again when its file changes; what runs goes on until then"


class Channels(Protocol):
    """What runs channels."""

    async def put(self, configured: Configured) -> None: ...

    async def take(self, name: str) -> None: ...


class Turnover:
    """`assemble` what there is at the start, `run` it with what runs channels, `reload_all` for SIGHUP.

    `conduct` says why the producer of a channel was ended for its conduct, if it was. `tell` is given all plugins
    that are in, whenever that has changed. The states are kept in the file `ledger` too.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        ledger: Path | None = None,
        conduct: Callable[[str], str | None] = lambda _: None,
        tell: Callable[[Sequence[Plugin]], object] = lambda _: None,
        examine: Probe = probe.probe,
    ) -> None:
        self._lineup = Lineup(loaded)
        self._accounts = Accounts(ledger)
        self._conduct = conduct
        self._tell = tell
        self._examine = examine
        self._channels: Channels | None = None
        self._sightings = Sightings()
        self._troubles: dict[Path, str] = {}
        self._absent: list[PluginState] = []
        self._watching = Watching()
        self._changing = trio.Lock()
        self._woken = trio.Event()
        self.faults: tuple[PluginError, ...] = ()

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """All plugins that are in."""
        return self._lineup.plugins

    @property
    def channels(self) -> tuple[Configured, ...]:
        """All channels as they are now."""
        return tuple(self._lineup.channels.values())

    @property
    def states(self) -> tuple[PluginState, ...]:
        """How each plugin fares, those that were refused too."""
        records = {record.plugin: record for record in self._sightings if record.plugin is not None}
        found = [*self._absent, *(self._state(each, records.get(each)) for each in self.plugins)]
        found += [
            PluginState(
                name=each.path.stem, file=str(each.path), origin="folder", state="refused", error=each.error
            )
            for each in self._sightings
            if each.plugin is None and each.error
        ]
        return self._accounts.since(found, now=time.time())

    async def assemble(self, *, strict: bool, warn: Callable[[str], object]) -> tuple[Configured, ...]:
        """Load all plugins, and give the channels. Raises what is wrong with the configuration, and with plugins
        when `strict`; otherwise those that were refused are in `faults`, and are tried again when their files change.
        """
        loaded, plugins = self._lineup.loaded, _built_in()
        names = Catalogue.of(plugins)
        sight = await trio.to_thread.run_sync(files.look, self._folders)
        faults = [PluginError(text) for text in (*sight.unreadable.values(), *sight.missing.values())]
        waiting: list[Installed | Record] = [*installed(), *self._sightings.all(sight)]
        results = await arrival.each_of(waiting, self._probed)
        for each in waiting:
            result = results[each]
            try:
                new, _ = await arrival.imported(_good(result), loaded, names.add)
            except PluginError as error:
                faults.append(error)
                self._miss(each, error, arrival.to_retry(result, error))
                continue
            plugins.append(new)
            if isinstance(each, Record):
                each.plugin = new
        try:
            self._lineup = self._lineup.first(plugins, faults=faults, strict=strict, warn=warn)
        except ApplianceError:
            for loaded_plugin in plugins:
                loaded_plugin.forget()
            raise
        self.faults = tuple(faults)
        return self.channels

    async def run(
        self, channels: Channels, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep up with the folders until cancelled. What was assembled is expected to be there already."""
        self._channels = channels
        with closing(self._watching):
            await trio.to_thread.run_sync(self._watching.open)
            for state in self.states:
                if state.state == "refused":
                    _audit.error("plugin refused", error=state.error, runs=[], remedy=_REMEDY)
            self._tell(self.plugins)
            await self._keep_up()
            task_status.started()
            while True:
                await self._wait()
                await self._keep_up()

    async def reload_all(self, loaded: Loaded) -> None:
        """Go by another configuration, or raise what is wrong with it and go by the one before.

        A channel whose settings changed starts anew with them; plugins that were refused are tried again.
        """
        async with self._changing:
            complete = not any(record.error for record in self._sightings)
            told = partial(self._lineup.told, loaded, complete=complete, warn=_warn)
            lineup = await arrival.within(told, loaded, Path(loaded.places.origin))
            await self._apply(lineup)
            for record in self._sightings:
                if record.error:
                    record.again()
        self._woken.set()

    async def look(self) -> None:
        """See what has changed in the folders, and take up what lies still."""
        async with self._changing:
            sight = await trio.to_thread.run_sync(files.look, self._folders)
            settings = self._settings
            self._watching.follow(sight.folders if settings.watch == "events" else ())
            self._tell_troubles({**sight.unreadable, **sight.missing})
            before = self._lineup
            ripe = self._sightings.ripe(sight, now=trio.current_time(), settle=settings.settle)
            try:
                await self._turn(ripe)
            except Exception:
                for record in ripe:
                    record.again()
                raise
            if self._lineup is not before:
                await self._retry()
                self._tell(self.plugins)
            await self._keep()

    @property
    def _settings(self) -> PluginSettings:
        return self._lineup.loaded.draft.plugins

    @property
    def _folders(self) -> tuple[Path, ...]:
        return tuple(Path(folder).absolute() for folder in self._lineup.loaded.draft.plugins_dir)

    async def _keep_up(self) -> None:
        try:
            await self.look()
        except Exception:  # noqa: BLE001 - a mistake that nobody foresaw must not end the channels that run
            _log.exception(
                "plugins were not kept up with", remedy="look at the traceback; the next look tries again"
            )

    async def _wait(self) -> None:
        """Wait for a reason to look again."""
        settings = self._settings
        most = math.inf if settings.watch == "no" else settings.look_every
        if self._sightings.unsettled:
            most = settings.settle
        with trio.move_on_after(most):
            async with trio.open_nursery() as reasons:  # ends with the first of them

                async def until(happens: Callable[[], Awaitable[object]]) -> None:
                    await happens()
                    reasons.cancel_scope.cancel()

                reasons.start_soon(until, self._watching.changed)
                reasons.start_soon(until, self._woken.wait)
        if self._woken.is_set():
            self._woken = trio.Event()
        await trio.sleep(_BREATH)

    async def _turn(self, ripe: Sequence[Record]) -> None:
        """Let go what is gone, and take up what came or changed."""
        there = [record for record in ripe if record.handled is not None]
        results = await arrival.each_of(there, self._probed)
        for record in ripe:
            if record.handled is None:
                await self._let_go(record)
        for record in there:
            match results[record]:
                case None:
                    if record.error:
                        _log.info("plugin is as it runs again", file=str(record.path))
                    record.error, record.waits = "", None
                case PluginError() as error:
                    self._refuse(record, error, None)
                case found:
                    await self._bring(record, found)

    async def _retry(self) -> None:
        """Try those again that were refused because of others, for as long as that changes anything."""
        before: Lineup | None = None
        while before is not self._lineup:
            before = self._lineup
            for record in self._sightings:
                if record.waits is not None:
                    await self._bring(record, record.waits)

    async def _probed(self, each: Installed | Record) -> Probed | None:
        loaded = self._lineup.loaded
        if isinstance(each, Installed):
            return await arrival.probed(each, loaded, self._examine)
        found = await arrival.read(each.path, loaded)
        running = each.plugin
        if running is not None and running.digest == found.digest and not self._ended(running):
            return None
        probed = await arrival.probed(found, loaded, self._examine)
        if (
            probed.finding.mistakes and self._channels is not None
        ):  # at the start, they are the configuration's
            raise blamed(each.path, probed.finding.mistakes)
        return probed

    async def _bring(self, record: Record, found: Probed) -> None:
        """Let a plugin take the place of what runs of it, if it fits to all others."""
        old, finding = record.plugin, found.finding
        try:
            self._lineup.catalogue(without=old).check(record.path, finding.channels, finding.sources)
            fit = partial(self._lineup.having, instead_of=old)
            new, lineup = await arrival.imported(found, self._lineup.loaded, fit)
            try:
                await self._apply(lineup)
            except PluginError as error:
                new.forget()
                raise PluginError(f"{record.path}: {error}") from error
        except PluginError as error:
            self._refuse(record, error, arrival.to_retry(found, error))
            return
        record.plugin, record.error, record.waits = new, "", None
        if old is not None:
            old.forget()
        _audit.info(
            "plugin loaded" if old is None else "plugin changed",
            file=str(record.path),
            channels=list(self._lineup.channels_of(new)),
            sources=[source.kind for source in new.sources],
        )

    async def _let_go(self, record: Record) -> None:
        if record.plugin is not None:
            ended = self._lineup.channels_of(record.plugin)
            await self._apply(self._lineup.lacking(record.plugin))
            record.plugin.forget()
            _audit.info("plugin removed", file=str(record.path), channels=list(ended))
        self._sightings.drop(record)

    def _miss(self, what: Installed | Record, error: PluginError, waits: Probed | None) -> None:
        """Begin without a plugin."""
        if isinstance(what, Record):
            what.error, what.waits = str(error), waits
        else:
            absent = PluginState(name=what.name, file=str(what.file), origin="installed", state="refused")
            self._absent.append(attrs.evolve(absent, error=str(error)))

    def _refuse(self, record: Record, error: PluginError, waits: Probed | None) -> None:
        told = waits is not None and record.waits is waits and record.error == str(error)
        record.error, record.waits = str(error), waits
        if not told:
            runs = () if record.plugin is None else self._lineup.channels_of(record.plugin)
            _audit.error("plugin refused", error=record.error, runs=list(runs), remedy=_REMEDY)

    async def _apply(self, lineup: Lineup) -> None:
        """Change what runs into what the lineup says, or raise a PluginError and change nothing."""
        assert self._channels is not None  # noqa: S101 - it is run before anything can change
        before, step = self._lineup.channels, lineup.step_from(self._lineup)
        changed: list[str] = []
        try:
            for name in step.takes:
                changed.append(name)
                await self._channels.take(name)
            for configured in step.puts:
                changed.append(configured.channel.name)
                await self._channels.put(configured)
        except Exception as error:
            for name in reversed(changed):
                await self._restore(name, before.get(name))
            raise PluginError(f"channel `{changed[-1]}` cannot start: {error}") from error
        self._lineup = lineup

    async def _restore(self, name: str, configured: Configured | None) -> None:
        assert self._channels is not None  # noqa: S101 - as above
        try:
            if configured is None:
                await self._channels.take(name)
            else:
                await self._channels.put(configured)
        except Exception:  # noqa: BLE001 - the others are to be restored all the same
            _log.exception("channel cannot be put back", channel=name, remedy="restart the appliance")

    def _state(self, each: Plugin, record: Record | None) -> PluginState:
        refused = "" if record is None else record.error
        ended, lacks = self._ended(each), self._lineup.complaints_of(each)
        return PluginState(
            name=each.name,
            file=str(each.file),
            origin=each.origin,
            state="refused" if refused else "quarantined" if ended else "incomplete" if lacks else "loaded",
            channels=self._lineup.channels_of(each),
            sources=tuple(source.kind for source in each.sources),
            error=refused or ended or "; ".join(lacks),
            digest=each.digest,
        )

    def _ended(self, each: Plugin) -> str:
        """Tell for which conduct producers of a plugin were ended."""
        reasons = {name: self._conduct(name) for name in self._lineup.channels_of(each)}
        return "; ".join(f"channel `{name}`: {reason}" for name, reason in reasons.items() if reason)

    def _tell_troubles(self, troubles: dict[Path, str]) -> None:
        for folder, trouble in troubles.items():
            if self._troubles.get(folder) != trouble:
                _log.error("plugins folder", trouble=trouble)
        self._troubles = troubles

    async def _keep(self) -> None:
        """Let the file have the states; the appliance does without it."""
        try:
            await trio.to_thread.run_sync(partial(self._accounts.keep, self.states, now=time.time()))
        except OSError as error:
            _log.warning("the states of plugins are not kept", reason=str(error))


def _built_in() -> list[Plugin]:
    """Load what came with the appliance, and is to be trusted like it."""
    most = Settings().plugins.bytes
    found = files.plugin_files(files.builtin_folder())
    return [plugin.load(bundle.read(path, most=most), origin="built-in") for path in found]


def _good(result: Probed | PluginError | None) -> Probed:
    if isinstance(result, PluginError):
        raise result
    assert result is not None  # noqa: S101 - nothing runs yet that it could be as
    return result


def _warn(warning: str) -> None:
    _log.warning("configuration", warning=warning)
