"""The channels as the configuration wants them: settings filled, sources opened, histories sized.

Must not know what runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import Mistake, SettingsError
from appliance.core.history import Retention
from appliance.settings import words
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

    def result(self) -> tuple[Configured, ...]:
        told = self._loaded.settings.channels
        for name in told.keys() - self._catalogue.channels.keys():
            self._unknown(f"channels.{name}", "channel", name, self._catalogue.channels)
        sources = self._sources()
        configured = [
            self._channel(channel, told.get(name, ChannelSettings()), sources)
            for name, channel in self._catalogue.channels.items()
        ]
        if self._mistakes:
            raise SettingsError(self._mistakes)
        return tuple(channel for channel in configured if channel is not None)

    def _sources(self) -> dict[str, Rows]:
        """Open the configured sources, and of each other kind one that goes by its own name."""
        told = self._loaded.settings.sources
        kinds = self._catalogue.sources
        opened: dict[str, Rows] = {}
        for name, own in {**{kind: SourceSettings() for kind in kinds}, **told}.items():
            source = kinds.get(own.kind or name)
            if source is None:
                self._unknown(f"sources.{name}", "kind of source", own.kind or name, kinds)
                continue
            settings = self._fill(source.Settings, own.options, f"sources.{name}")
            if settings is not None:
                opened[name] = source.open(settings)
        return opened

    def _channel(self, channel: Channel, own: ChannelSettings, sources: dict[str, Rows]) -> Configured | None:
        if not own.enabled:
            return None
        settings = self._fill(channel.Settings, own.options, f"channels.{channel.name}")
        wanted = own.source or channel.source
        rows = sources.get(wanted) if wanted else None
        if wanted and rows is None:
            self._unknown(f"channels.{channel.name}.source", "source", wanted, sources)
        return Configured(channel, settings, _retention(channel, own.history), rows)

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
