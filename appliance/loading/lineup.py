"""The plugins that are in, and what they and the configuration make together; each change makes another lineup.

Must not know files, tasks, nor what runs. A change that cannot be is a PluginError, and leaves all as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import Mistake, PluginError
from appliance.loading.catalogue import Catalogue
from appliance.loading.complaints import refuse
from appliance.loading.configured import Arrangement, arrange
from appliance.loading.importer import blamed
from appliance.settings import paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from appliance.api import Source
    from appliance.loading.complaints import Complaint
    from appliance.loading.configured import Configured
    from appliance.loading.plugin import Plugin
    from appliance.settings.load import Loaded


@attrs.frozen
class Step:
    """What leads from one lineup to another: channels that end, and those that come or are replaced."""

    takes: tuple[str, ...]
    puts: tuple[Configured, ...]


@attrs.frozen(eq=False)
class Lineup:
    loaded: Loaded
    plugins: tuple[Plugin, ...] = ()
    arrangement: Arrangement = attrs.field(factory=Arrangement)

    @property
    def channels(self) -> dict[str, Configured]:
        return self.arrangement.channels

    def first(
        self,
        plugins: Iterable[Plugin],
        *,
        faults: Sequence[PluginError],
        strict: bool,
        warn: Callable[[str], object],
    ) -> Lineup:
        """Begin with these plugins, and without those that are at fault; raises whatever else is wrong.

        `strict`: a plugin at fault is wrong too.
        """
        plugins = tuple(plugins)
        complete = not faults and not self.loaded.is_lost("plugins_dir")
        arrangement = arrange(Catalogue.of(plugins), self.loaded, complete=complete, warn=warn)
        refuse(self.loaded.mistakes, arrangement.complaints, faults if strict else ())
        return Lineup(self.loaded, plugins, arrangement)

    def catalogue(self, *, without: Plugin | None = None) -> Catalogue:
        return Catalogue.of(each for each in self.plugins if each is not without)

    def having(self, new: Plugin, *, instead_of: Plugin | None = None) -> Lineup:
        """Take a plugin in. All that it brings must fit, and nothing of others may be lost by it."""
        if instead_of is None:
            plugins: tuple[Plugin, ...] = (*self.plugins, new)
        else:
            plugins = tuple(new if each is instead_of else each for each in self.plugins)
        after = self._with(plugins)
        registered = {channel.name for each in plugins for channel in each.channels}
        fed = (name for name in _fed(new.sources, self.loaded) if name in registered)
        own = {*_paths(new, self.loaded), *map(_path, fed)}
        if wrong := [str(complaint) for complaint in after.arrangement.complaints if complaint.about in own]:
            raise blamed(new.file, wrong)
        theirs = () if instead_of is None else instead_of.channels
        for name, place in self.arrangement.places.items():
            if name not in after.arrangement.places and not any(place.registered is each for each in theirs):
                why = "; ".join(after.wrong(_path(name)))
                raise PluginError(f"{new.file}: channel `{name}` could not go on with it: {why}")
        return after

    def lacking(self, gone: Plugin) -> Lineup:
        """Let a plugin go, and with it the channels that need something of it."""
        return self._with(tuple(each for each in self.plugins if each is not gone))

    def told(self, loaded: Loaded, *, complete: bool, warn: Callable[[str], object]) -> Lineup:
        """Go by another configuration, unless it has mistakes that the present one has not."""
        arrangement = arrange(
            self.catalogue(), loaded, complete=complete, warn=warn, before=self.arrangement, anew=True
        )
        known = {_problem(complaint) for complaint in self.arrangement.complaints}
        new = [complaint for complaint in arrangement.complaints if _problem(complaint) not in known]
        refuse(loaded.mistakes, new)
        return Lineup(loaded, self.plugins, arrangement)

    def wrong(self, *abouts: str) -> tuple[str, ...]:
        """Give what is wrong with channels or sources, by their paths."""
        found = (str(each) for each in self.arrangement.complaints if each.about in abouts)
        return tuple(dict.fromkeys(found))

    def complaints_of(self, plugin: Plugin) -> tuple[str, ...]:
        """Give what keeps some of a plugin's channels from being there."""
        makers = [source for source in plugin.sources if source.channel is not None]
        registered = {channel.name for each in self.plugins for channel in each.channels}
        made = (name for name in _fed(makers, self.loaded) if name not in registered)
        return self.wrong(*_paths(plugin, self.loaded), *map(_path, made))

    def channels_of(self, plugin: Plugin) -> tuple[str, ...]:
        """Name the channels that are there thanks to a plugin's own, those under other names too, and those that its
        sources make.
        """
        own = (*plugin.channels, *(source.channel for source in plugin.sources if source.channel is not None))
        places = self.arrangement.places.items()
        return tuple(name for name, place in places if any(place.registered is each for each in own))

    def step_from(self, before: Lineup) -> Step:
        old, new = before.arrangement.places, self.arrangement.places
        takes = tuple(name for name in old if name not in new)
        puts = tuple(place.configured for name, place in new.items() if old.get(name) is not place)
        return Step(takes, puts)

    def _with(self, plugins: tuple[Plugin, ...]) -> Lineup:
        arrangement = arrange(Catalogue.of(plugins), self.loaded, before=self.arrangement, anew=False)
        return attrs.evolve(self, plugins=plugins, arrangement=arrangement)


def _paths(plugin: Plugin, loaded: Loaded) -> Iterator[str]:
    """Give the paths of all channels and sources that are made of what a plugin registers."""
    names = {channel.name for channel in plugin.channels}
    kinds = {source.kind for source in plugin.sources}
    yield from map(_path, names)
    yield from (_path(name) for name, own in loaded.draft.channels.items() if own.plugin in names)
    yield from (paths.joined("sources", kind) for kind in kinds)
    yield from (
        paths.joined("sources", name) for name, own in loaded.draft.sources.items() if own.kind in kinds
    )


def _fed(sources: Iterable[Source], loaded: Loaded) -> Iterator[str]:
    """Name the channels that the configuration gives one of these sources, by whatever name it goes."""
    kinds, told = {source.kind for source in sources}, loaded.draft.sources
    for name, own in loaded.draft.channels.items():
        kind = told[own.source].kind if own.source in told else None
        if (kind or own.source) in kinds:
            yield name


def _path(channel: str) -> str:
    return paths.joined("channels", channel)


def _problem(complaint: Complaint) -> tuple[str, str]:
    """Name a complaint without its line, which moves as the file is written."""
    what = complaint.what
    return complaint.about, f"{what.path}: {what.problem}" if isinstance(what, Mistake) else str(what)
