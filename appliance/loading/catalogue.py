"""The channels and sources of all plugins together, each name once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import PluginError
from appliance.loading import bundle, files, plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from appliance.api import Channel, Source
    from appliance.loading.plugin import Plugin

MOST_BYTES = 64 * 1024**2
"""Bytes of the largest plugin where no configuration says it."""


@attrs.frozen
class Catalogue:
    """All channels and kinds of source, by name, and the files that they come from."""

    channels: dict[str, Channel] = attrs.field(factory=dict)
    sources: dict[str, Source] = attrs.field(factory=dict)
    channel_files: dict[str, Path] = attrs.field(factory=dict)
    source_files: dict[str, Path] = attrs.field(factory=dict)

    @classmethod
    def of(cls, plugins: Iterable[Plugin]) -> Catalogue:
        """Give that of these plugins; names that clash are a PluginError about the later one."""
        catalogue = cls()
        for each in plugins:
            catalogue.add(each)
        return catalogue

    def add(self, added: Plugin) -> None:
        """Add all of a plugin, or raise a PluginError about it and add nothing."""
        file = added.file
        self.check(file, [each.name for each in added.channels], [each.kind for each in added.sources])
        for channel in added.channels:
            self.channels[channel.name], self.channel_files[channel.name] = channel, file
        for source in added.sources:
            self.sources[source.kind], self.source_files[source.kind] = source, file

    def check(self, file: Path, channels: Iterable[str], kinds: Iterable[str]) -> None:
        """Raise a PluginError about the file when one of its names is taken."""
        _check_names(channels, self.channel_files, file)
        _check_names(kinds, self.source_files, file)


def _check_names(names: Iterable[str], owners: dict[str, Path], file: Path) -> None:
    own: dict[str, Path] = {}
    for name in names:
        owner = owners.get(name) or own.get(name)
        if owner is not None:
            raise PluginError(f"{file}: {name!r} is already registered by {owner}: rename one of them")
        own[name] = file


def _raised(error: PluginError) -> None:
    raise error


def collect(folders: Iterable[Path], *, blame: Callable[[PluginError], object] = _raised) -> Catalogue:
    """Load every plugin of the folders, here and now. What cannot be used is left out and told to `blame`, which
    raises it unless the caller has something to say beside.
    """
    catalogue = Catalogue()
    for folder in folders:
        try:
            found = list(files.plugin_files(folder))
        except PluginError as error:
            blame(error)
            continue
        for file in found:
            try:
                # The built-in ones are as much to be trusted as the appliance itself.
                within = None if folder == files.builtin_folder() else folder
                loaded = plugin.load(bundle.read(file, most=MOST_BYTES, folder=within))
            except PluginError as error:
                blame(error)
                continue
            try:
                catalogue.add(loaded)
            except PluginError as error:
                loaded.forget()
                blame(error)
    return catalogue
