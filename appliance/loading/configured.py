"""The channels as the configuration wants them: settings filled, sources opened, histories sized.

Must not know what runs them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake, PluginError, SettingsError
from appliance.core.history import Retention
from appliance.loading.importer import fault
from appliance.loading.plugin import unfit
from appliance.settings import paths, words
from appliance.settings.lines import in_order
from appliance.settings.tree import ChannelSettings, HistorySettings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from appliance.api import Channel, Rows, Source
    from appliance.loading.catalogue import Catalogue
    from appliance.settings.load import Loaded


PUBLISH = "publish"
"""The kind of source whose rows come from applications."""


@attrs.frozen
class Configured:
    """A channel with its own settings, what its topics keep, and the source of its rows, unless it has its own.

    `publishable` says whether applications may publish into it, `file` which plugin it comes from.
    """

    channel: Channel
    settings: Any
    retention: Retention
    rows: Rows | None
    publishable: bool = False
    stale_after: float | None = None
    file: Path | None = None


@attrs.frozen(eq=False)
class Place:
    """A channel in an arrangement, and what it was made of: what a plugin registered, and what its table says."""

    registered: Channel
    own: ChannelSettings
    configured: Configured


@attrs.frozen(eq=False)
class Opened:
    """A source in an arrangement, and what it was made of."""

    source: Source
    own: SourceSettings
    settings: Any
    rows: Rows


@attrs.frozen
class Complaint:
    """What is wrong with a channel or a source (`about`: its path); `what` is a mistake, or what a plugin raised."""

    about: str
    what: Mistake | PluginError

    def __str__(self) -> str:
        return str(self.what)


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


def refuse(
    mistakes: Iterable[Mistake], complaints: Iterable[Complaint], faults: Iterable[PluginError] = ()
) -> None:
    """Raise all that is wrong, if anything is: as SettingsError when the configuration has part in it."""
    told = [complaint.what for complaint in complaints]
    wrong = [*mistakes, *(what for what in told if isinstance(what, Mistake))]
    texts = [*map(str, faults), *(str(what) for what in told if isinstance(what, PluginError))]
    if wrong:
        raise SettingsError(in_order((*wrong, *(Mistake("", text) for text in texts))))
    if texts:
        raise PluginError("\n".join(dict.fromkeys(texts)))


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
    return _Arranging(catalogue, loaded, complete=complete, warn=warn, before=before, anew=anew).result()


class _Arranging:
    def __init__(
        self,
        catalogue: Catalogue,
        loaded: Loaded,
        *,
        complete: bool,
        warn: Callable[[str], object] | None,
        before: Arrangement,
        anew: bool,
    ) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._told = loaded.draft
        self._warn = warn
        self._complete = complete
        self._before = before
        self._anew = anew
        self._opened: dict[str, Opened | None] = {}
        self._complaints: list[Complaint] = []

    def result(self) -> Arrangement:
        known = self._catalogue.channels
        for name, own in self._told.channels.items():
            if name not in known and own.plugin is None:
                self._unknown(self._path(name), paths.joined("channels", name), "channel", name, known)
        for name in self._told.sources:
            self._source(name)
        places: dict[str, Place] = {}
        for name, registered, own in self._wanted():
            place = self._place(name, registered, own)
            if place is not None:
                places[name] = place
        sources = {name: opened for name, opened in self._opened.items() if opened is not None}
        return Arrangement(places, sources, tuple(self._complaints))

    def _wanted(self) -> Iterator[tuple[str, Channel, ChannelSettings]]:
        """Give the channels that there should be: those registered, then those that are another of one."""
        known = self._catalogue.channels
        for name, channel in known.items():
            own = self._told.channels.get(name, ChannelSettings())
            if own.enabled and own.plugin in (None, name):
                yield name, channel, own
        for name, own in self._told.channels.items():
            if own.plugin is None or own.plugin == name or not own.enabled:
                continue
            if (problem := self._taken(name)) is not None:
                self._mistake(self._path(name), self._path(name), problem)
            elif own.plugin in known:
                yield name, attrs.evolve(known[own.plugin], name=name), own
            else:
                self._unknown(self._path(name), f"{self._path(name)}.plugin", "channel", own.plugin, known)

    def _taken(self, name: str) -> str | None:
        """Say why a channel cannot go by this name too."""
        if name in self._catalogue.channels:
            file = self._catalogue.channel_files.get(name)
            return f"channel `{name}` is registered by {file}: give this one another name"
        return unfit(name) or None

    def _place(self, name: str, channel: Channel, own: ChannelSettings) -> Place | None:
        path = self._path(name)
        registered = self._catalogue.channels[own.plugin or name]
        settled = not self._loaded.is_lost(path)
        source_name = channel.source if own.source is None else own.source
        opened = None if source_name is None else self._source_of(source_name, path)
        rows = None if opened is None else opened.rows
        before = self._before.places.get(name)
        same = before is not None and before.registered is registered and before.own == own
        if same and before is not None and before.configured.rows is rows and not self._anew:
            return before
        settings = self._fill(channel.Settings, own.options, path, path) if settled else None
        if settings is None or (source_name is not None and opened is None):
            if source_name is not None and not any(each.about == path for each in self._complaints):
                self._without(path, source_name)
            return None
        source = None if opened is None else opened.source
        if source is not None and source.topics_on_demand:
            channel = attrs.evolve(channel, open=True)
        published = source is not None and source.kind == PUBLISH
        configured = Configured(
            channel,
            settings,
            _retention(channel, own.history),
            rows,
            publishable=published if own.publish is None else own.publish,
            stale_after=own.stale_after,
            file=self._catalogue.channel_files.get(own.plugin or name),
        )
        if same and before is not None and _is_same(before.configured, configured):
            return before
        return Place(registered, own, configured)

    def _without(self, path: str, source: str) -> None:
        """Pass on to a channel what was said of its source."""
        about = paths.joined("sources", source)
        for complaint in [each for each in self._complaints if each.about == about]:
            self._complaints.append(attrs.evolve(complaint, about=path))

    def _source_of(self, name: str, path: str) -> Opened | None:
        """The source that the channel at `path` is to have."""
        if any(self._loaded.is_lost(f"{path}.{key}") for key in ("enabled", "source")):
            return None
        known = {**self._catalogue.sources, **self._told.sources}
        if name not in known and not self._is_lost_source(name):
            self._unknown(path, f"{path}.source", "source", name, known)
            return None
        return self._source(name)

    def _kind(self, name: str) -> str:
        """The kind of a source; without a table of its own, its name is its kind."""
        kind = self._told.sources.get(name, SourceSettings()).kind
        return name if kind is None else kind

    def _is_lost_source(self, name: str) -> bool:
        return self._loaded.is_lost(paths.joined("sources", name, "kind"))

    def _source(self, name: str) -> Opened | None:
        """Open a source, once for all its channels."""
        if name not in self._opened:
            self._opened[name] = None if self._is_lost_source(name) else self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> Opened | None:
        own = self._told.sources.get(name, SourceSettings())
        kinds, kind, path = self._catalogue.sources, self._kind(name), paths.joined("sources", name)
        source = kinds.get(kind)
        if source is None:
            self._unknown(path, path if own.kind is None else f"{path}.kind", "kind of source", kind, kinds)
            return None
        before = self._before.sources.get(name)
        same = before is not None and before.source is source and before.own == own
        if same and not self._anew:
            return before
        settings = self._fill(source.Settings, own.options, path, path)
        if settings is None:
            return None
        if same and before is not None and _are_equal(before.settings, settings):
            return before
        try:
            return Opened(source, own, settings, source.open(settings))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code may raise anything
            self._complaints.append(Complaint(path, fault(error, self._catalogue.source_files[kind])))
            return None

    def _fill(self, cls: type, options: dict[str, Any], path: str, about: str) -> Any:  # noqa: ANN401 - of the class
        try:
            return self._loaded.fill(cls, options, path, warn=self._warn)
        except SettingsError as error:
            self._complaints += [Complaint(about, mistake) for mistake in error.mistakes]
        except PluginError as error:
            self._complaints.append(Complaint(about, error))
        return None

    def _unknown(self, about: str, path: str, kind: str, name: str, known: Iterable[str]) -> None:
        if not self._complete:
            return  # a plugin that is missing may have it
        nearest = words.nearest(name, known)
        hint = (
            f"; did you mean `{nearest}`?" if nearest else f"; there are {', '.join(sorted(known)) or 'none'}"
        )
        self._mistake(about, path, f"there is no {kind} `{name}`{hint}")

    def _mistake(self, about: str, path: str, problem: str) -> None:
        self._complaints.append(Complaint(about, self._loaded.places.mistake(path, problem)))

    def _path(self, name: str) -> str:
        return paths.joined("channels", name)


def _retention(channel: Channel, own: HistorySettings) -> Retention:
    default = channel.history
    age = None if own.age == "none" else own.age or default.age
    return Retention(count=own.count or default.count, age=age, size=own.bytes or default.bytes)


def _is_same(one: Configured, other: Configured) -> bool:
    return one.rows is other.rows and _are_equal(one.settings, other.settings)


def _are_equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - instances of a plugin's own class
    """Compare settings by what they hold, for a class may compare as it likes."""
    return type(one) is type(other) and all(
        getattr(one, attribute.name) == getattr(other, attribute.name)
        for attribute in attrs.fields(type(one))
    )
