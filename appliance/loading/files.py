"""Plugins as they lie in folders: files, package folders, archives. Must not know what is in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

import appliance
from appliance.core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARCHIVES = (".whl", ".zip")
CACHE = "__pycache__"
_START = "__init__.py"

Print = tuple[object, ...]
"""What of a plugin changes when the plugin does, without reading it."""


def builtin_folder() -> Path:
    """Give the folder of the built-in plugins: in the package once installed, beside it in a checkout."""
    package = Path(appliance.__file__).parent
    installed = package / "plugins"
    return installed if installed.is_dir() else package.parent / "plugins"


def plugin_files(folder: Path) -> Iterator[Path]:
    """Give the plugins of a folder by name: files, packages, archives. A name that begins with `_` or `.` is none."""
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise PluginError(
            f"{folder} cannot be read ({error.strerror}): put the folder right, or correct plugins_dir"
        ) from error
    yield from (path for path in found if not path.name.startswith(("_", ".")) and _is_plugin(path))


def _is_plugin(path: Path) -> bool:
    return path.suffix == ".py" or path.suffix in ARCHIVES or (path / _START).is_file()


def is_package(path: Path) -> bool:
    return path.is_dir()


def package_files(package: Path) -> Iterator[Path]:
    """Give all that lies in a package folder, folders first, without what Python or an editor puts there."""
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(name for name in folders if name != CACHE and not name.startswith("."))
        here = Path(folder)
        yield from (here / name for name in folders)
        yield from (here / name for name in sorted(names) if not name.startswith("."))


@attrs.frozen
class Sight:
    """What a look at folders found: each plugin with its print, the folders that lead to them, and what is wrong."""

    plugins: dict[Path, Print] = attrs.field(factory=dict)
    folders: set[Path] = attrs.field(factory=set)
    unreadable: dict[Path, str] = attrs.field(factory=dict)
    """Folders of which nothing can be said, and why."""
    missing: dict[Path, str] = attrs.field(factory=dict)
    """Folders that are not there, and so have no plugins."""


def look(folders: Iterable[Path]) -> Sight:
    """See which plugins there are. A folder that is not there has none."""
    sight = Sight()
    for folder in folders:
        try:
            if folder.is_dir():
                sight.folders.add(folder)
            for path in plugin_files(folder):
                sight.plugins[path] = (_traits(folder), *_prints(path, sight.folders))
        except PluginError as error:
            gone = isinstance(error.__cause__, FileNotFoundError)
            (sight.missing if gone else sight.unreadable)[folder] = str(error)
        except OSError as error:
            sight.unreadable[folder] = f"{folder} cannot be read ({error.strerror})"
    return sight


def _prints(path: Path, folders: set[Path]) -> Iterator[object]:
    yield _print(path)
    if path.is_symlink():
        yield path.readlink()
        folders.add(path.resolve().parent)
    if is_package(path):
        folders.add(path)
        for inner in package_files(path):
            if inner.is_dir():
                folders.add(inner)
                yield inner, _traits(inner)
            else:
                # Others may be what the plugin itself writes; whose they are counts all the same.
                yield inner, _print(inner) if inner.suffix == ".py" else _traits(inner)


def _print(path: Path) -> Print:
    if path.is_dir():
        return _traits(path)
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _traits(path: Path) -> Print:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_uid, stat.S_IMODE(found.st_mode)
