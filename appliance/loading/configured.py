"""The channels as the configuration wants them: settings filled, sources given, histories sized.

Must not know what runs them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from appliance.api import Mode
from appliance.core.errors import PluginError
from appliance.core.history import Retention
from appliance.loading.complaints import Complaints, refuse
from appliance.loading.opened import Sources, are_equal
from appliance.loading.options import shared_out
from appliance.loading.plugin import unfit
from appliance.settings import paths, words
from appliance.settings.tree import ChannelSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from appliance.api import Channel, Rows, Source
    from appliance.loading.catalogue import Catalogue
    from appliance.loading.complaints import Complaint
    from appliance.loading.opened import Opened
    from appliance.settings.keeping import HistorySettings
    from appliance.settings.load import Loaded

PUBLISH = "publish"
"""The kind of source whose rows come from applications."""


@attrs.frozen
class Configured:
    """A channel with its own settings, what its topics keep, and the source of its rows, unless it has its own.

    `publishable` says whether applications may publish into it, `file` which plugin it comes from. `told` is what its
    producer is given: the channel's own settings, or what its table says to the source.
    """

    channel: Channel
    settings: Any
    retention: Retention
    rows: Rows | None
    publishable: bool = False
    stale_after: float | None = None
    file: Path | None = None
    told: Any = attrs.field(default=attrs.Factory(lambda self: self.settings, takes_self=True))
    durable: bool = False


@attrs.frozen(eq=False)
class Place:
    """A channel in an arrangement, and what it was made of: what plugins registered, and what its table says."""

    registered: Channel
    source: Source | None
    own: ChannelSettings
    configured: Configured


@attrs.frozen(eq=False)
class Arrangement:
    """What plugins and the configuration make together. What is wrong is left out of it, and complained of."""

    places: Mapping[str, Place] = MappingProxyType({})
    sources: Mapping[str, Opened] = MappingProxyType({})
    complaints: tuple[Complaint, ...] = ()

    @property
    def channels(self) -> dict[str, Configured]:
        return {name: place.configured for name, place in self.places.items()}


_NOTHING = Arrangement()


def configure(
    catalogue: Catalogue,
    loaded: Loaded,
    *,
    faults: Iterable[PluginError] = (),
    warn: Callable[[str], object] | None = None,
) -> tuple[Configured, ...]:
    """Give every enabled channel.

    `faults` are those of plugins that the catalogue lacks; `warn` is called with what should be said of the files
    that plugins' settings name. Raises SettingsError with all that is wrong in the configuration, plugins' settings
    and plugins included, or PluginError where plugins alone are at fault.
    """
    missing = list(faults)
    complete = not missing and not loaded.is_lost("plugins_dir")
    arrangement = arrange(catalogue, loaded, complete=complete, warn=warn)
    refuse(loaded.mistakes, arrangement.complaints, missing)
    return tuple(arrangement.channels.values())


def arrange(
    catalogue: Catalogue,
    loaded: Loaded,
    *,
    complete: bool = True,
    warn: Callable[[str], object] | None = None,
    before: Arrangement = _NOTHING,
    anew: bool = True,
) -> Arrangement:
    """Arrange all enabled channels. What is as it was `before` is the same object as there.

    `complete`: nothing that the configuration names is missing for want of a plugin. `anew` fills all settings again,
    and so sees what changed in files that they name; otherwise only where plugin, source or table changed.
    """
    complaints = Complaints(loaded, complete=complete, warn=warn)
    sources = Sources(catalogue, loaded, complaints, before=before.sources, anew=anew)
    for name in loaded.draft.sources:
        sources.open(name)
    arranging = _Arranging(catalogue, loaded, sources, complaints, before=before.places, anew=anew)
    places = dict(arranging.places())
    return Arrangement(places, sources.opened, tuple(complaints))


@attrs.frozen
class _Wanted:
    """A channel that there should be: what is registered as it, in which file, and what its table says.

    `made`: no plugin registers it, so it is what its source makes of a name.
    """

    registered: Channel
    own: ChannelSettings
    file: Path | None
    made: bool = False


class _Arranging:
    def __init__(
        self,
        catalogue: Catalogue,
        loaded: Loaded,
        sources: Sources,
        complaints: Complaints,
        *,
        before: Mapping[str, Place],
        anew: bool,
    ) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._sources = sources
        self._complaints = complaints
        self._before = before
        self._anew = anew

    def places(self) -> Iterator[tuple[str, Place]]:
        for name, wanted in self._wanted():
            place = self._place(name, wanted)
            if place is not None:
                yield name, place

    def _wanted(self) -> Iterator[tuple[str, _Wanted]]:
        """Give the channels that there should be: those registered, then those that the configuration adds."""
        registered, told = self._catalogue.channels, self._loaded.draft.channels
        for name, channel in registered.items():
            own = told.get(name, ChannelSettings())
            if own.enabled and own.plugin in (None, name):
                yield name, _Wanted(channel, own, self._catalogue.channel_files.get(name))
        for name, own in told.items():
            if name in registered and own.plugin in (None, name):
                continue
            wanted = self._of_source(name, own) if own.plugin is None else self._of_another(name, own)
            if wanted is not None and own.enabled:
                yield name, wanted

    def _of_another(self, name: str, own: ChannelSettings) -> _Wanted | None:
        """Give a channel that is another of one that is registered."""
        path, registered = _path(name), self._catalogue.channels
        if not own.enabled:
            return None
        if (problem := self._taken(name)) is not None:
            self._complaints.mistake(path, path, problem)
        elif own.plugin in registered:
            return _Wanted(registered[own.plugin], own, self._catalogue.channel_files.get(own.plugin))
        else:
            self._complaints.unknown(path, f"{path}.plugin", "channel", own.plugin or "", known=registered)
        return None

    def _of_source(self, name: str, own: ChannelSettings) -> _Wanted | None:
        """Give a channel that nobody registers, and that its source makes."""
        path = _path(name)
        if any(self._loaded.is_lost(f"{path}.{key}") for key in ("plugin", "source")):
            return None
        source: Source | None = None
        if own.source is not None:
            if not self._is_there(own.source, path):
                return None
            source = self._sources.known(own.source)
            if source is None:
                self._complaints.pass_on(paths.joined("sources", own.source), path)
                return None
        if source is None or source.channel is None:
            makers = sorted(
                kind for kind, each in self._catalogue.sources.items() if each.channel is not None
            )
            other = f"or give it a `source` of kind {' or '.join(makers)}" if makers else ""
            registered = self._catalogue.channels
            self._complaints.unknown(path, path, "channel", name, known=registered, or_else=other)
        elif problem := unfit(name):
            self._complaints.mistake(path, path, problem)
        else:
            return _Wanted(source.channel, own, self._catalogue.source_files.get(source.kind), made=True)
        return None

    def _taken(self, name: str) -> str | None:
        """Say why a channel cannot go by this name too."""
        if name in self._catalogue.channels:
            file = self._catalogue.channel_files.get(name)
            return f"channel `{name}` is registered by {file}: give this one another name"
        return unfit(name) or None

    def _place(self, name: str, wanted: _Wanted) -> Place | None:
        path, own, registered = _path(name), wanted.own, wanted.registered
        lost = self._loaded.is_lost(f"{path}.source")
        source_name = registered.source if own.source is None else own.source
        source = None if source_name is None or lost else self._sources.known(source_name)
        opened = None if source_name is None else self._opened(source_name, path)
        rows = None if opened is None else opened.rows
        before = self._before.get(name)
        same = (
            before is not None
            and (before.registered is registered and before.source is source and before.own == own)
            and before.configured.rows is rows
        )
        if same and not self._anew:
            return before
        filled = None
        if not self._loaded.is_lost(path):
            sure = source is not None or (source_name is None and not lost)
            filled = self._filled(name, wanted, source, sure=sure)
        if filled is None or (source_name is not None and opened is None):
            if source_name is not None and not self._complaints.about(path):
                self._complaints.pass_on(paths.joined("sources", source_name), path)
            return None
        settings, told = filled
        if same and before is not None and _are_as(before.configured, settings, told):
            return before
        durable = registered.history.durable or (source is not None and source.durable)
        published = source is not None and source.kind == PUBLISH
        configured = Configured(
            _as_told(name, wanted, source),
            settings,
            _retention(registered, own.history),
            rows,
            publishable=published if own.publish is None else own.publish,
            stale_after=own.stale_after,
            file=wanted.file,
            told=told,
            durable=durable if own.history.durable is None else own.history.durable,
        )
        return Place(registered, source, own, configured)

    def _filled(
        self, name: str, wanted: _Wanted, source: Source | None, *, sure: bool
    ) -> tuple[Any, Any] | None:
        """Fill the channel's own settings, and what its producer is told.

        Unless `sure` what its source is, and that nothing else is registered by its name, a key that is not known may
        be one of theirs.
        """
        path, own = _path(name), wanted.registered.Settings
        theirs = None if source is None else source.ChannelSettings
        try:
            shares = shared_out(wanted.own.options, own, theirs)
        except PluginError as error:
            self._complaints.add(path, error)
            return None
        for key in shares.both:
            kind = "" if source is None else source.kind
            problem = (
                f"is a setting of channel `{wanted.registered.name}` and of sources of kind `{kind}`: "
                "give the channel another source, or rename the setting in the plugin of one of them"
            )
            self._complaints.mistake(path, paths.joined(path, key), problem)
        if sure and (self._complaints.complete or not wanted.made):
            for key in shares.unknown:
                problem = words.unknown_key(key, shares.known)
                self._complaints.mistake(path, paths.joined(path, key), problem)
        settings = self._complaints.fill(own, shares.own, path)
        told = settings if theirs is None else self._complaints.fill(theirs, shares.theirs, path)
        if settings is None or told is None or shares.both or shares.unknown:
            return None
        return settings, told

    def _opened(self, name: str, path: str) -> Opened | None:
        """Open the source that the channel at `path` is to have."""
        if any(self._loaded.is_lost(f"{path}.{key}") for key in ("enabled", "source")):
            return None
        return self._sources.open(name) if self._is_there(name, path) else None

    def _is_there(self, source: str, path: str) -> bool:
        """Whether there is a source of this name, or may be; complains otherwise of the channel that has it."""
        there = source in self._sources.names or self._sources.is_lost(source)
        if not there:
            known = self._sources.names
            self._complaints.unknown(path, f"{path}.source", "source", source, known=known)
        return there


def _path(name: str) -> str:
    return paths.joined("channels", name)


def _as_told(name: str, wanted: _Wanted, source: Source | None) -> Channel:
    """Give a channel with what its table and its source make of it."""
    own, registered = wanted.own, wanted.registered
    return attrs.evolve(
        registered,
        name=name,
        mode=registered.mode if own.mode is None else Mode(own.mode),
        message=own.message or registered.message,
        open=registered.open or (source is not None and source.topics_on_demand),
    )


def _retention(channel: Channel, own: HistorySettings) -> Retention:
    default = channel.history
    age = None if own.age == "none" else own.age or default.age
    return Retention(count=own.count or default.count, age=age, size=own.bytes or default.bytes)


def _are_as(before: Configured, settings: Any, told: Any) -> bool:  # noqa: ANN401 - instances of plugins' own classes
    return are_equal(before.settings, settings) and are_equal(before.told, told)
