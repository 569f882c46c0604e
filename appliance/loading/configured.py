"""The channels as the configuration wants them: settings filled, sources opened, histories sized.

Must not know what runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake, PluginError, SettingsError
from appliance.core.history import Retention
from appliance.loading.files import fault
from appliance.settings import paths, words
from appliance.settings.lines import in_order
from appliance.settings.tree import ChannelSettings, HistorySettings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.api import Channel, Rows
    from appliance.loading.catalogue import Catalogue
    from appliance.settings.load import Loaded


PUBLISH = "publish"
"""The kind of source whose rows come from applications."""


@attrs.frozen
class Configured:
    """A channel with its own settings, what its topics keep, and the source of its rows, unless it has its own.

    `publishable` says whether applications may publish into it.
    """

    channel: Channel
    settings: Any
    retention: Retention
    rows: Rows | None
    publishable: bool = False


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
    return _Configuration(catalogue, loaded, faults=faults, warn=warn).result()


class _Configuration:
    def __init__(
        self,
        catalogue: Catalogue,
        loaded: Loaded,
        *,
        faults: Iterable[PluginError],
        warn: Callable[[str], object] | None,
    ) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._told = loaded.draft
        self._warn = warn
        self._faults = list(faults)
        self._complete = not self._faults and not loaded.is_lost("plugins_dir")
        self._mistakes = list(loaded.mistakes)
        self._opened: dict[str, Rows | None] = {}

    def result(self) -> tuple[Configured, ...]:
        known = self._catalogue.channels
        for name in self._told.channels.keys() - known.keys():
            self._unknown(paths.joined("channels", name), "channel", name, known)
        for name in self._told.sources:
            self._rows(name)
        configured = [
            self._channel(channel, own)
            for name, channel in known.items()
            if (own := self._told.channels.get(name, ChannelSettings())).enabled
        ]
        if self._mistakes:
            raise SettingsError(in_order((*self._mistakes, *(Mistake("", str(f)) for f in self._faults))))
        if self._faults:
            raise PluginError("\n".join(dict.fromkeys(str(fault) for fault in self._faults)))
        return tuple(configured)

    def _channel(self, channel: Channel, own: ChannelSettings) -> Configured:
        path = paths.joined("channels", channel.name)
        settings = None if self._loaded.is_lost(path) else self._fill(channel.Settings, own.options, path)
        name = channel.source if own.source is None else own.source
        rows = None if name is None else self._wanted(name, path)
        source = None if name is None else self._catalogue.sources.get(self._kind(name))
        if source is not None and source.topics_on_demand:
            channel = attrs.evolve(channel, open=True)
        published = source is not None and source.kind == PUBLISH
        return Configured(
            channel,
            settings,
            _retention(channel, own.history),
            rows,
            publishable=published if own.publish is None else own.publish,
        )

    def _wanted(self, name: str, path: str) -> Rows | None:
        """The rows of the source that the channel at `path` is to have."""
        if any(self._loaded.is_lost(f"{path}.{key}") for key in ("enabled", "source")):
            return None
        known = {**self._catalogue.sources, **self._told.sources}
        if name not in known and not self._is_lost_source(name):
            self._unknown(f"{path}.source", "source", name, known)
            return None
        return self._rows(name)

    def _kind(self, name: str) -> str:
        """The kind of a source; without a table of its own, its name is its kind."""
        kind = self._told.sources.get(name, SourceSettings()).kind
        return name if kind is None else kind

    def _is_lost_source(self, name: str) -> bool:
        return self._loaded.is_lost(paths.joined("sources", name, "kind"))

    def _rows(self, name: str) -> Rows | None:
        """Open a source, once for all its channels."""
        if name not in self._opened:
            self._opened[name] = None if self._is_lost_source(name) else self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> Rows | None:
        own = self._told.sources.get(name, SourceSettings())
        kinds, kind, path = self._catalogue.sources, self._kind(name), paths.joined("sources", name)
        source = kinds.get(kind)
        if source is None:
            self._unknown(path if own.kind is None else f"{path}.kind", "kind of source", kind, kinds)
            return None
        settings = self._fill(source.Settings, own.options, path)
        if settings is None:
            return None
        try:
            return source.open(settings)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's code may raise anything
            self._faults.append(fault(error, self._catalogue.source_files[kind]))
            return None

    def _fill(self, cls: type, options: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - of the class
        try:
            return self._loaded.fill(cls, options, path, warn=self._warn)
        except SettingsError as error:
            self._mistakes += error.mistakes
        except PluginError as error:
            self._faults.append(error)
        return None

    def _unknown(self, path: str, kind: str, name: str, known: Iterable[str]) -> None:
        if not self._complete:
            return  # a plugin that is missing may have it
        nearest = words.nearest(name, known)
        hint = (
            f"; did you mean `{nearest}`?" if nearest else f"; there are {', '.join(sorted(known)) or 'none'}"
        )
        self._mistakes.append(self._loaded.places.mistake(path, f"there is no {kind} `{name}`{hint}"))


def _retention(channel: Channel, own: HistorySettings) -> Retention:
    default = channel.history
    age = None if own.age == "none" else own.age or default.age
    return Retention(count=own.count or default.count, age=age, size=own.bytes or default.bytes)
