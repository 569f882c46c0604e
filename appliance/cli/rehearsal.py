"""A rehearsal: one plugin is loaded as the appliance would load it, and its channels run for some seconds.

Must not know how that is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli import stage
from appliance.core.errors import PluginError
from appliance.loading import arrival, bundle, files, plugin
from appliance.loading.installed import installed
from appliance.loading.lineup import Lineup
from appliance.loading.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.loading.installed import Installed
    from appliance.loading.plugin import Plugin
    from appliance.settings.load import Loaded


async def rehearse(file: Path, loaded: Loaded, *, seconds: float, tell: Callable[[str], object]) -> None:
    """Check a plugin, and show what it publishes; raises PluginError or SettingsError with what is wrong."""
    new, lineup = await _loaded(file, loaded, tell)
    own = _own_channels(new, lineup)
    tell(f"{file}: loaded as the appliance would load it")
    for name in own:
        channel = lineup.channels[name].channel
        tell(f"  channel {name} ({channel.mode}), messages of type {channel.message}")
    for source in new.sources:
        tell(f"  source {source.kind}")
    if own and seconds:
        await stage.run(lineup, new, own, seconds=seconds, tell=tell)
    elif new.sources and not own:
        tell(f'  nothing runs: no channel has `source = "{new.sources[0].kind}"`; a configuration can say so')
    tell(f"{file}: good")


async def _loaded(file: Path, loaded: Loaded, warn: Callable[[str], object]) -> tuple[Plugin, Lineup]:
    found = await arrival.probed(await arrival.read(file, loaded), loaded, probe)
    new, _ = await arrival.imported(found, loaded, _take)
    others, faults = await _others(file, loaded)
    for each in faults:
        warn(f"warning: another plugin is refused: {each}")
    lineup = Lineup(loaded).first(
        (*others, new), faults=faults, strict=False, warn=lambda text: warn(f"warning: {text}")
    )
    return new, lineup


async def _others(file: Path, loaded: Loaded) -> tuple[list[Plugin], list[PluginError]]:
    """Load all plugins but that of the file, the built-in ones first."""
    most = loaded.draft.plugins.bytes
    plugins = [
        plugin.load(bundle.read(path, most=most), origin="built-in")
        for path in _but(file, files.plugin_files(files.builtin_folder()))
    ]
    waiting: list[Installed | Path] = list(installed())
    faults: list[PluginError] = []
    for folder in loaded.draft.plugins_dir:
        try:
            waiting += _but(file, files.plugin_files(Path(folder)))
        except PluginError as error:
            faults.append(error)
    for each in waiting:
        try:
            what = await arrival.read(each, loaded) if isinstance(each, Path) else each
            other, _ = await arrival.imported(await arrival.probed(what, loaded, probe), loaded, _take)
        except PluginError as error:
            faults.append(error)
        else:
            plugins.append(other)
    return plugins, faults


def _but(file: Path, found: Iterable[Path]) -> list[Path]:
    """Leave out the file, by whatever name it goes."""
    return [path for path in found if not path.samefile(file)]


def _take(_: Plugin) -> None:
    """Find nothing wrong with it by itself."""


def _own_channels(new: Plugin, lineup: Lineup) -> tuple[str, ...]:
    """Name the channels that a plugin registers, and those whose rows come from its sources."""
    opened = lineup.arrangement.sources.values()
    rows = [each.rows for each in opened if any(each.source is source for source in new.sources)]
    registered = lineup.channels_of(new)
    return tuple(
        name
        for name, configured in lineup.channels.items()
        if name in registered or any(configured.rows is each for each in rows)
    )
