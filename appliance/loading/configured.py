"""The channels as the configuration wants them: settings filled, sources opened, histories sized.

Must not know what runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake, SettingsError
from appliance.core.history import Retention
from appliance.loading.files import fault
from appliance.settings import words
from appliance.settings.lines import in_order
from appliance.settings.tree import ChannelSettings, HistorySettings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.api import Channel, Rows
    from appliance.loading.catalogue import Catalogue
    from appliance.settings.load import Loaded


@attrs.frozen
class Configured:
    """A channel with its own settings, what its topics keep, and the source of its rows, unless it has its own."""

    channel: Channel
    settings: Any
    retention: Retention
    rows: Rows | None


def configure(catalogue: Catalogue, loaded: Loaded) -> tuple[Configured, ...]:
    """Give every enabled channel; raises SettingsError with all mistakes, those of plugins' settings included."""
    return _Configuration(catalogue, loaded).result()


class _Configuration:
    def __init__(self, catalogue: Catalogue, loaded: Loaded) -> None:
        self._catalogue = catalogue
        self._loaded = loaded
        self._mistakes: list[Mistake] = []
        self._opened: dict[str, Rows | None] = {}

    def result(self) -> tuple[Configured, ...]:
        told = self._loaded.settings
        known = self._catalogue.channels
        for name in told.channels.keys() - known.keys():
            self._unknown(f"channels.{name}", "channel", name, known)
        for name in told.sources:
            self._rows(name)
        configured = [
            self._channel(channel, own)
            for name, channel in known.items()
            if (own := told.channels.get(name, ChannelSettings())).enabled
        ]
        if self._mistakes:
            raise SettingsError(in_order(self._mistakes))
        return tuple(configured)

    def _channel(self, channel: Channel, own: ChannelSettings) -> Configured:
        path = f"channels.{channel.name}"
        settings = self._fill(channel.Settings, own.options, path)
        wanted = own.source or channel.source
        kinds, told = self._catalogue.sources, self._loaded.settings.sources
        rows = None
        if wanted in told or wanted in kinds:
            rows = self._rows(wanted)
        elif wanted is not None:
            self._unknown(f"{path}.source", "source", wanted, {**kinds, **told})
        return Configured(channel, settings, _retention(channel, own.history), rows)

    def _rows(self, name: str) -> Rows | None:
        """Open a source, once for all its channels; without a table of its own, its name is its kind."""
        if name not in self._opened:
            self._opened[name] = self._open(name, self._loaded.settings.sources.get(name, SourceSettings()))
        return self._opened[name]

    def _open(self, name: str, own: SourceSettings) -> Rows | None:
        kinds = self._catalogue.sources
        path, kind = f"sources.{name}", own.kind or name
        source = kinds.get(kind)
        if source is None:
            self._unknown(f"{path}.kind" if own.kind else path, "kind of source", kind, kinds)
            return None
        settings = self._fill(source.Settings, own.options, path)
        if settings is None:
            return None
        try:
            return source.open(settings)
        except Exception as error:
            raise fault(error, self._catalogue.source_files[kind]) from error

    def _fill(self, cls: type, options: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - of the class
        try:
            return self._loaded.fill(cls, options, path)
        except SettingsError as error:
            self._mistakes += error.mistakes
            return None

    def _unknown(self, path: str, kind: str, name: str, known: Iterable[str]) -> None:
        nearest = words.nearest(name, known)
        hint = (
            f"; did you mean `{nearest}`?" if nearest else f"; there are {', '.join(sorted(known)) or 'none'}"
        )
        self._mistakes.append(self._loaded.places.mistake(path, f"there is no {kind} `{name}`{hint}"))


def _retention(channel: Channel, own: HistorySettings) -> Retention:
    default = channel.history
    return Retention(
        count=own.count or default.count, age=own.age or default.age, size=own.bytes or default.bytes
    )
