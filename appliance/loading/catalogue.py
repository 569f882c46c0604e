"""The channels and sources that plugins register, checked: names, modes, hooks that nobody calls."""

from __future__ import annotations

import contextlib
import inspect
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import pluggy

from appliance import hookspecs
from appliance.api import Channel, Source
from appliance.core import topics
from appliance.core.errors import PluginError
from appliance.loading import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

T = TypeVar("T")

OWN = "system"
"""The channel in which the appliance tells of itself."""


@attrs.frozen
class Catalogue:
    """All channels and kinds of source, by name, and the files that they come from."""

    channels: dict[str, Channel] = attrs.field(factory=dict)
    sources: dict[str, Source] = attrs.field(factory=dict)
    channel_files: dict[str, Path] = attrs.field(factory=dict)
    source_files: dict[str, Path] = attrs.field(factory=dict)


def _raised(error: PluginError) -> None:
    raise error


def collect(folders: Iterable[Path], *, blame: Callable[[PluginError], object] = _raised) -> Catalogue:
    """Load every plugin of the folders. What cannot be used is left out and told to `blame`, which raises it
    unless the caller has something to say beside.
    """
    catalogue = Catalogue()
    for folder in folders:
        with _blamed(blame):
            for file in files.plugin_files(folder):
                with _blamed(blame):
                    _add(catalogue, file)
    return catalogue


@contextlib.contextmanager
def _blamed(blame: Callable[[PluginError], object]) -> Iterator[None]:
    try:
        yield
    except PluginError as error:
        blame(error)


def _add(catalogue: Catalogue, file: Path) -> None:
    hook = _register(files.load(file), file).hook
    for channel in _returned(hook.register_channels, Channel, file):
        _check(channel, file)
        _claim(catalogue.channels, channel.name, channel, file, catalogue.channel_files)
    for source in _returned(hook.register_sources, Source, file):
        _check_settings(source.Settings, f"source {source.kind!r}", file)
        _claim(catalogue.sources, source.kind, source, file, catalogue.source_files)


def _register(module: ModuleType, file: Path) -> pluggy.PluginManager:
    """Check the hooks of a module, and give what calls them."""
    plugin = pluggy.PluginManager("appliance")
    plugin.add_hookspecs(hookspecs)
    hooks = ", ".join(name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction))
    try:
        plugin.register(module, str(file))
        plugin.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{file}: {error}; the hooks are {hooks}") from error
    if not plugin.get_hookcallers(module):
        raise PluginError(
            f"{file}: has no hook: mark one of {hooks} with `@hookimpl`, or let the name of a file "
            "that is no plugin begin with `_`"
        )
    return plugin


def _returned(hook: pluggy.HookCaller, kind: type[T], file: Path) -> list[T]:
    """Call a hook; each thing that it returns is of that kind."""
    try:
        results: list[Any] = hook()
        # pluggy leaves out what returned None.
        none = len(results) < len(hook.get_hookimpls())
        wrong = [None] if none else [result for result in results if not isinstance(result, Iterable)]
        things = [] if wrong else [thing for result in results for thing in result]
    except (Exception, SystemExit) as error:
        raise files.fault(error, file) from error
    wrong += [thing for thing in things if not isinstance(thing, kind)]
    if wrong:
        raise PluginError(
            f"{file}: {hook.name} returned {reprlib.repr(wrong[0])}; it returns a tuple of {kind.__name__}"
        )
    return things


def _claim(known: dict[str, T], name: str, thing: T, file: Path, owners: dict[str, Path]) -> None:
    if name in known:
        raise PluginError(f"{file}: {name!r} is already registered by {owners[name]}: rename one of them")
    known[name] = thing
    owners[name] = file


def _check(channel: Channel, file: Path) -> None:
    name = channel.name
    if not topics.is_channel(name):
        raise PluginError(
            f"{file}: {name!r} is no name for a channel: a-z, 0-9 and _, beginning with a letter"
        )
    if name == OWN:
        raise PluginError(f"{file}: {name!r} is the appliance's own channel: give yours another name")
    if (channel.produce is None) == (channel.source is None):
        raise PluginError(f"{file}: channel {name!r} has either `produce` or `source`")
    for key in channel.topics:
        if key != topics.ANY and not topics.is_key(key.removesuffix(topics.ANY)):
            raise PluginError(
                f"{file}: channel {name!r} cannot have the topic {key!r}: "
                "1 to 200 visible characters, with a `*` at the end alone"
            )
    _check_settings(channel.Settings, f"channel {name!r}", file)


def _check_settings(cls: type, owner: str, file: Path) -> None:
    if not attrs.has(cls):
        raise PluginError(f"{file}: Settings of {owner} is no attrs class: decorate it with attrs.frozen")
