"""Plugin files as modules. Must not know what is in them."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

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
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise PluginError(
            f"{folder} cannot be read ({error.strerror}): put the folder right, or correct plugins_dir"
        ) from error
    yield from (file for file in files if file.suffix == ".py" and not file.name.startswith(("_", ".")))


def load(file: Path) -> ModuleType:
    """Import a plugin file; a `PluginError` names the file, the line and what went wrong."""
    file = file.absolute()
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Who resolves an annotation, or reads a pickle, looks its module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise fault(error, file) from error
    return module


def fault(error: BaseException, file: Path) -> PluginError:
    """Blame what a plugin's code raised on the line of its file."""
    file = file.absolute()
    match error:
        case SyntaxError(msg=str(text)) if error.filename == str(file):
            place = f"{file}:{error.lineno}"
        case TypeError(args=[str(text), attrs.Attribute(), *_]):
            # attrs tells people in the first argument, and programs in the others.
            place = _place(error, file)
        case _:
            place, text = _place(error, file), str(error)
    return PluginError(": ".join(part for part in (place, type(error).__name__, text) if part))


def _module_name(file: Path) -> str:
    """Name a file's module for its folder too: two of them may have files of one name."""
    return f"{_PACKAGE}.{zlib.crc32(os.fsencode(file.parent)):08x}.{file.stem}"


def _place(error: BaseException, file: Path) -> str:
    """Name the line of the file that an error comes from, where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f"{file}:{lines[-1]}" if lines else str(file)
