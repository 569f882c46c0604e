"""Plugins of installed packages: what they name as entry points. Installing one is trusting it.

Must not know folders.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import PluginError
from appliance.loading.bundle import GROUP
from appliance.loading.importer import fault
from appliance.loading.plugin import Plugin, examined

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen
class Installed:
    """An entry point: `value` names the module, or the object in it, that has the hooks."""

    name: str
    value: str
    file: Path

    def load(self) -> Plugin:
        """Import it under its own name, as any package; a PluginError says what went wrong."""
        try:
            found = importlib.metadata.EntryPoint(self.name, self.value, GROUP).load()
        except (Exception, SystemExit) as error:
            raise _blamed(fault(error, self.file), self) from error
        return examined(found, self.file, name=self.name, origin="installed")


def installed() -> Iterator[Installed]:
    """Give all entry points, by name. One that several packages have is given for each of them."""
    found = importlib.metadata.entry_points(group=GROUP)
    for point in sorted(found, key=lambda point: (point.name, point.value)):
        yield Installed(point.name, point.value, _file(point))


def _file(point: importlib.metadata.EntryPoint) -> Path:
    """Name the file of an entry point without running it, or where it would stand."""
    top, *inner = point.module.split(".")
    folder = Path(point.value)
    if point.dist is not None:
        folder = Path(str(point.dist.locate_file("")))
    for path in (
        folder.joinpath(top, *inner, "__init__.py"),
        folder.joinpath(top, *inner).with_suffix(".py"),
    ):
        if path.is_file():
            return path
    spec = importlib.util.find_spec(top)
    return Path(spec.origin) if spec is not None and spec.origin else Path(point.value)


def _blamed(error: PluginError, point: Installed) -> PluginError:
    return PluginError(
        f"{error} (the entry point {point.name!r} of {GROUP}: uninstall its package, or correct it)"
    )
