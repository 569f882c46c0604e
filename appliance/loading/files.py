"""Plugin files as modules. Must not know what is in them."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import appliance
from appliance.core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_PACKAGE = "appliance_plugins"
"""Where the modules of plugin files stand in `sys.modules`: never in the way of an installed package."""


def builtin_folder() -> Path:
    """Give the folder of the built-in plugins: in the package once installed, beside it in a checkout."""
    package = Path(appliance.__file__).parent
    installed = package / "plugins"
    return installed if installed.is_dir() else package.parent / "plugins"


def plugin_files(folder: Path) -> Iterator[Path]:
    """Give the plugin files of a folder by name; a name that begins with `_` or `.` is not meant to be one."""
    if not folder.is_dir():
        raise PluginError(f"{folder}: is no folder: create it, or correct plugins_dir")
    yield from sorted(file for file in folder.glob("*.py") if not file.name.startswith(("_", ".")))


def load(file: Path) -> ModuleType:
    """Import a plugin file; a `PluginError` names the file, the line and what went wrong."""
    name = f"{_PACKAGE}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    # A dataclass or a pickle looks its module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"{file}:{_line(error, file)}: {type(error).__name__}: {error}") from error
    return module


def _line(error: Exception, file: Path) -> int:
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return error.lineno
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    return lines[-1] or 0 if lines else 0
