"""A bundle as modules: imported under names of its own, seen by nobody else, and forgotten as a whole.

Must not know what a plugin is for. Nothing is read from the disk, and no bytecode is kept: that of a file which
changes twice within a second, and not in length, would be taken for the new one's. But what came with the appliance
does not change: its bytecode is kept and used, as that of any module.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.resources.abc
import io
import linecache
import os
import sys
import traceback
import types
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from appliance.core.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from appliance.loading.bundle import Bundle, Text

ALL = "appliance_plugins"
"""The package of all plugins' modules in `sys.modules`: never in the way of an installed one."""
_BELOW = f"{ALL}."


def is_plugin(module: str) -> bool:
    """Whether a module, by its name, is a plugin's."""
    return module.startswith(_BELOW)


def load(bundle: Bundle, *, changes: bool = True) -> Imported:
    """Import a plugin; a PluginError names the file, the line and what went wrong."""
    importer = _Importer(bundle, changes=changes)
    # Who resolves an annotation, or reads a pickle, looks its module up by name.
    for name in (ALL, importer.root):
        sys.modules.setdefault(name, _empty_package(name))
    sys.meta_path.insert(0, importer)
    imported = Imported(importer, bundle.file)
    try:
        imported.module = importlib.import_module(f"{importer.root}.{bundle.name}")
    except (Exception, SystemExit) as error:
        imported.forget()
        raise fault(error, bundle.file) from error
    except BaseException:
        imported.forget()
        raise
    return imported


@attrs.define(eq=False)
class Imported:
    """A plugin that is imported. `module` holds its hooks."""

    _importer: _Importer
    file: Path
    module: types.ModuleType = attrs.field(init=False)

    def forget(self) -> None:
        """Let go of all its modules; those who still run its code have what they need."""
        root, path = self._importer.root, str(self.file)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._importer]
        below = f"{root}."
        for name in [root, *(name for name in sys.modules if name.startswith(below))]:
            sys.modules.pop(name, None)
        if not any(map(is_plugin, sys.modules)):
            sys.modules.pop(ALL, None)
        # Tracebacks keep the importer there, and attrs the methods that it writes, with their module in the name.
        mark = f" {root}."
        for name in [
            name
            for name in linecache.cache
            if mark in name or (name.startswith(path) and _belongs(name, self.file))
        ]:
            del linecache.cache[name]


class _Importer(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):  # type: ignore[misc] # their stubs differ
    """Finds and loads the modules of one bundle below `root`."""

    def __init__(self, bundle: Bundle, *, changes: bool) -> None:
        self.root = _free_name(bundle.file)
        self._bundle = bundle
        self._changes = changes
        self._texts = {f"{self.root}.{name}": text for name, text in bundle.modules.items()}
        self._sources = {text.path: text.source for text in bundle.modules.values()}
        self._spaces = {space for name in self._texts for space in _above(name)} - self._texts.keys()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the signature of a finder
        target: types.ModuleType | None = None,  # noqa: ARG002 - as above
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{self.root}."):
            return None
        text = self._texts.get(fullname)
        if text is None:
            if fullname in self._spaces:
                return importlib.machinery.ModuleSpec(fullname, None, is_package=True)
            name = fullname.removeprefix(f"{self.root}.")
            raise ModuleNotFoundError(f"No module named {name!r}", name=fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=text.path, is_package=text.is_package)
        spec.has_location = True
        if text.is_package:
            spec.submodule_search_locations = [os.path.dirname(text.path)]  # noqa: PTH120 - it is text on both sides
        return spec

    def get_filename(self, fullname: str) -> str:
        return self._texts[fullname].path

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Say how old a source is; as long as it is not told, no bytecode is looked for, nor kept."""
        if self._changes:
            raise OSError
        found = os.stat(path)  # noqa: PTH116 - it is text
        return {"mtime": found.st_mtime, "size": found.st_size}

    def set_data(self, path: str, data: bytes) -> None:
        """Keep bytecode, where that can be."""
        importlib.machinery.SourceFileLoader("", path).set_data(path, data)

    def get_data(self, path: str) -> bytes:
        source = self._sources.get(path)
        if source is not None:
            return source
        return _data(self._bundle, path)

    def get_resource_reader(self, fullname: str) -> importlib.resources.abc.TraversableResources | None:
        text = self._texts[fullname]
        return _Resources(self._bundle, text) if text.is_package else None

    def exec_module(self, module: types.ModuleType) -> None:
        if self._bundle.private:
            # The functions of a module take their built-ins, and so `import`, from here.
            vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002 - the signature of __import__
        locals: Mapping[str, object] | None = None,  # noqa: A002 - as above
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        top = name.partition(".")[0]
        if level or top not in self._bundle.private:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{self.root}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{self.root}.{name}")
        return sys.modules[f"{self.root}.{top}"]


@attrs.frozen
class _Resources(importlib.resources.abc.TraversableResources):
    """The files beside a package, for importlib.resources."""

    bundle: Bundle
    text: Text

    def files(self) -> Any:  # noqa: ANN401 - a Path or what stands for one
        folder = os.path.dirname(self.text.path)  # noqa: PTH120 - it is text
        inner = os.path.relpath(folder, self.bundle.file)
        if self.bundle.archive is None:
            return self.bundle.file / inner
        return zipfile.Path(zipfile.ZipFile(io.BytesIO(self.bundle.archive)), f"{inner}/")


def _data(bundle: Bundle, path: str) -> bytes:
    if bundle.archive is None:
        return Path(path).read_bytes()
    inner = os.path.relpath(path, bundle.file)
    try:
        with zipfile.ZipFile(io.BytesIO(bundle.archive)) as archive:
            return archive.read(inner)
    except KeyError:
        raise FileNotFoundError(2, "No such file in the archive", path) from None


def _free_name(file: Path) -> str:
    """Name a plugin for its whole path, and differently from one of that path which still runs."""
    name = f"{ALL}.{zlib.crc32(os.fsencode(file)):08x}"
    number, free = 1, name
    while free in sys.modules:
        number += 1
        free = f"{name}_{number}"
    return free


def _empty_package(name: str) -> types.ModuleType:
    package = types.ModuleType(name)
    package.__path__ = []
    return package


def _above(name: str) -> Iterator[str]:
    """Give the packages that a module lies in, below the root."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(3, len(parts)))


def fault(error: BaseException, file: Path) -> PluginError:
    """Blame what a plugin's code raised on the line of its file."""
    match error:
        case SyntaxError(msg=str(text)) if _belongs(error.filename or "", file):
            place = f"{error.filename}:{error.lineno}"
        case TypeError(args=[str(text), attrs.Attribute(), *_]):
            # attrs tells people in the first argument, and programs in the others.
            place = _place(error, file)
        case ModuleNotFoundError():
            place = _place(error, file)
            text = f"{error}: install it for {sys.executable}, or put it beside the plugin in one zip"
        case SystemExit():
            place, text = (
                _place(error, file),
                f"{error}: a plugin must not end the process".removeprefix(": "),
            )
        case _:
            place, text = _place(error, file), str(error)
    return PluginError(": ".join(part for part in (place, type(error).__name__, text) if part))


def blamed(file: Path, problems: Iterable[str]) -> PluginError:
    """Blame what is wrong on the file, for it is what an operator has just written."""
    told = "; ".join(dict.fromkeys(problem.replace("\n", "; ") for problem in problems))
    return PluginError(told if told.startswith(str(file)) else f"{file}: {told}")


def _place(error: BaseException, file: Path) -> str:
    """Name the line of the plugin that an error comes from, where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno}" for frame in frames if _belongs(frame.filename, file)]
    return places[-1] if places else str(file)


def _belongs(filename: str, file: Path) -> bool:
    return filename == str(file) or filename.startswith(f"{file}{os.sep}")
