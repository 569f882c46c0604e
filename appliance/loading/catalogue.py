"""The channels and sources that plugins register, checked: names, modes, hooks that nobody calls."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import pluggy

from appliance import hookspecs
from appliance.api import Channel, Source
from appliance.core import topics
from appliance.core.errors import PluginError
from appliance.loading import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

T = TypeVar("T")


@attrs.frozen
class Catalogue:
    """All channels and kinds of source, by name, and the file that each comes from."""

    channels: dict[str, Channel]
    sources: dict[str, Source]
    files: dict[str, Path]


def collect(folders: Iterable[Path]) -> Catalogue:
    """Load every plugin of the folders; a `PluginError` names the first file that cannot be used."""
    catalogue = Catalogue({}, {}, {})
    for folder in folders:
        for file in files.plugin_files(folder):
            for thing in _register(files.load(file), file):
                _add(catalogue, thing, file)
    return catalogue


def _register(module: ModuleType, file: Path) -> Iterator[Any]:
    """Give what the hooks of a module return."""
    manager = pluggy.PluginManager("appliance")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, str(file))
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        known = ", ".join(name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction))
        raise PluginError(f"{file}: {error}; the hooks are {known}") from error
    for hook in (manager.hook.register_channels, manager.hook.register_sources):
        try:
            returned = [thing for things in hook() for thing in things]
        except Exception as error:
            raise PluginError(f"{file}: {hook.name} raised {type(error).__name__}: {error}") from error
        yield from returned


def _add(catalogue: Catalogue, thing: object, file: Path) -> None:
    if isinstance(thing, Channel):
        _check(thing, file)
        _claim(catalogue.channels, thing.name, thing, file, catalogue.files)
    elif isinstance(thing, Source):
        _claim(catalogue.sources, thing.kind, thing, file, catalogue.files)
    else:
        raise PluginError(f"{file}: a hook returned {thing!r}; it returns Channel or Source of appliance.api")


def _claim(known: dict[str, T], name: str, thing: T, file: Path, files: dict[str, Path]) -> None:
    if name in known:
        raise PluginError(f"{file}: {name!r} is already registered by {files[name]}: rename one of them")
    known[name] = thing
    files[name] = file


def _check(channel: Channel, file: Path) -> None:
    if not topics.is_channel(channel.name):
        raise PluginError(
            f"{file}: {channel.name!r} is no name for a channel: a-z, 0-9 and _, beginning with a letter"
        )
    if (channel.produce is None) == (channel.source is None):
        raise PluginError(f"{file}: channel {channel.name!r} has either `produce` or `source`")
    if not attrs.has(channel.Settings):
        raise PluginError(
            f"{file}: Settings of channel {channel.name!r} is no attrs class: decorate it with attrs.frozen"
        )
