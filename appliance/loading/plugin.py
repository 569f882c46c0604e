"""A plugin: its hooks checked, and the channels and sources that it registers.

Must not know the configuration, nor other plugins.
"""

from __future__ import annotations

import contextlib
import inspect
import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs
import pluggy

from appliance import hookspecs
from appliance.api import Channel, Source
from appliance.core import topics
from appliance.core.errors import PluginError
from appliance.loading import importer
from appliance.loading.importer import fault
from appliance.settings import schema
from appliance.settings.tree import ChannelSettings, SourceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from attrs import AttrsInstance

    from appliance.loading.bundle import Bundle
    from appliance.loading.importer import Imported

T = TypeVar("T")
Origin = Literal["built-in", "installed", "folder"]

OWN = "system"
"""The channel in which the appliance tells of itself."""


@attrs.frozen(kw_only=True, eq=False)
class Plugin:
    """A plugin that is imported here. `hooks` calls what it implements beside channels and sources."""

    name: str
    file: Path
    origin: Origin
    digest: str = ""
    channels: tuple[Channel, ...]
    sources: tuple[Source, ...]
    hooks: pluggy.HookRelay = attrs.field(repr=False)
    imported: Imported | None = attrs.field(default=None, repr=False)

    def forget(self) -> None:
        """Let go of its modules, once nothing runs any more that needs to find them."""
        if self.imported is not None:
            self.imported.forget()


def load(bundle: Bundle, *, origin: Origin = "folder") -> Plugin:
    """Import a plugin and check it; what is wrong is a PluginError, and nothing of it is left then."""
    imported = importer.load(bundle, changes=origin != "built-in")
    with contextlib.ExitStack() as undo:
        undo.callback(imported.forget)
        plugin = examined(imported.module, bundle.file, name=bundle.name, origin=origin)
        undo.pop_all()
    return attrs.evolve(plugin, digest=bundle.digest, imported=imported)


def examined(implementation: object, file: Path, *, name: str, origin: Origin) -> Plugin:
    """Check what a module, or another object with hooks, implements and registers."""
    hooks = _register(implementation, file).hook
    plugin = Plugin(
        name=name,
        file=file,
        origin=origin,
        channels=tuple(_returned(hooks.register_channels, Channel, file)),
        sources=tuple(_returned(hooks.register_sources, Source, file)),
        hooks=hooks,
    )
    for channel in plugin.channels:
        _check(channel, file)
    for source in plugin.sources:
        _check_source(source, file)
    return plugin


def _register(implementation: object, file: Path) -> pluggy.PluginManager:
    """Check the hooks, and give what calls them."""
    plugin = pluggy.PluginManager("appliance")
    plugin.add_hookspecs(hookspecs)
    hooks = ", ".join(name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction))
    try:
        plugin.register(implementation, str(file))
        plugin.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"{file}: {error}; the hooks are {hooks}") from error
    if not plugin.get_hookcallers(implementation):
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
        raise fault(error, file) from error
    wrong += [thing for thing in things if not isinstance(thing, kind)]
    if wrong:
        raise PluginError(
            f"{file}: {hook.name} returned {reprlib.repr(wrong[0])}; it returns a tuple of {kind.__name__}"
        )
    return things


def _check(channel: Channel, file: Path) -> None:
    name = channel.name
    if problem := unfit(name):
        raise PluginError(f"{file}: {problem}")
    if (channel.produce is None) == (channel.source is None):
        raise PluginError(f"{file}: channel {name!r} has either `produce` or `source`")
    for key in channel.topics:
        if key != topics.ANY and not topics.is_key(key.removesuffix(topics.ANY)):
            raise PluginError(
                f"{file}: channel {name!r} cannot have the topic {key!r}: "
                "1 to 200 visible characters, with a `*` at the end alone"
            )
    _check_settings(channel.Settings, f"Settings of channel {name!r}", file, ChannelSettings)


def _check_source(source: Source, file: Path) -> None:
    owner = f"source {source.kind!r}"
    _check_settings(source.Settings, f"Settings of {owner}", file, SourceSettings)
    if source.ChannelSettings is not None:
        _check_settings(source.ChannelSettings, f"ChannelSettings of {owner}", file, ChannelSettings)
    if isinstance(source.channel, Channel):
        _check(source.channel, file)
    elif source.channel is not None:
        raise PluginError(f"{file}: `channel` of {owner} is {reprlib.repr(source.channel)}; it is a Channel")


def unfit(name: str) -> str:
    """Say why a channel cannot have this name, if it cannot."""
    if not topics.is_channel(name):
        return f"{name!r} is no name for a channel: a-z, 0-9 and _, beginning with a letter"
    if name == OWN:
        return f"{name!r} is the appliance's own channel: give yours another name"
    return ""


def _check_settings(cls: type, owner: str, file: Path, table: type[AttrsInstance]) -> None:
    """Check a class of settings, whose table has keys that are not its own."""
    if not attrs.has(cls):
        raise PluginError(f"{file}: {owner} is no attrs class: decorate it with attrs.frozen")
    general = schema.attributes(table)
    for attribute in attrs.fields(cls):
        if attribute.init and attribute.alias in general:
            raise PluginError(
                f"{file}: {owner} has `{attribute.alias}`, which means something else in every such table: rename it"
            )
