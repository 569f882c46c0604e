"""What a plugin consists of, read once: whatever is checked of it is exactly what is loaded then.

Must not know how it is imported.
"""

from __future__ import annotations

import configparser
import errno
import hashlib
import io
import os
import stat
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import PluginError
from appliance.loading import files, trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GROUP = "appliance.plugins"
"""The group of entry points by which a package says what of it is a plugin."""

_COMPILED = (".so", ".pyd", ".dylib")


@attrs.frozen
class Text:
    """The source of a module, and the file name that errors tell."""

    path: str
    source: bytes
    is_package: bool


@attrs.frozen
class Bundle:
    """A plugin as it was at one moment. `modules` are its sources by name as seen from within: `fees`, `fees.rows`."""

    file: Path
    name: str
    """Of the module that holds the hooks."""
    modules: dict[str, Text] = attrs.field(repr=False)
    digest: str
    private: frozenset[str] = frozenset()
    """Top-level names that are the plugin's own: it imports them before what is installed, and nobody else does."""
    archive: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class _Reading:
    """One reading of a plugin: how much may still come, and who judges each file."""

    most: int
    judge: Callable[[Path, os.stat_result], None]
    room: list[int] = attrs.Factory(lambda self: [self.most], takes_self=True)

    def file(self, path: Path) -> bytes:
        """Read a file that is one, and that is judged as it was read."""
        # Not blocking, because opening a FIFO would wait for its other end.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise PluginError(f"{path}: is no file: remove it, or let its name begin with `_`")
            self.judge(path, found)
            self.take(path, found.st_size)
            with os.fdopen(opened, "rb", closefd=False) as file:
                return file.read(found.st_size)
        finally:
            os.close(opened)

    def take(self, path: Path, size: int) -> None:
        self.room[0] -= size
        if self.room[0] < 0:
            raise PluginError(
                f"{path}: makes the plugin larger than {self.most} bytes (plugins.bytes): "
                "take out what is no code, or raise the bound"
            )


def read(path: Path, *, most: int, folder: Path | None = None) -> Bundle:
    """Read a plugin; PluginError when it is none. Below a `folder`, it must come from whom one may trust."""
    path = path.absolute()
    reading = _Reading(most, trust.judge if folder is not None else lambda _path, _found: None)
    try:
        if folder is not None:
            trust.judge_way(path, folder.absolute())
        if files.is_package(path) and path.suffix != ".py":
            return _package(path, reading)
        if path.suffix in files.ARCHIVES:
            return _archive(path, reading.file(path), reading)
        source = reading.file(path)
    except OSError as error:
        remedy = "let the appliance's user read it" if error.errno == errno.EACCES else "put it right"
        raise PluginError(f"{error.filename or path}: cannot be read ({error.strerror}): {remedy}") from error
    name = _named(path.stem)
    modules = {name: Text(str(path), source, is_package=False)}
    return Bundle(path, name, modules, _digest(modules))


def _package(package: Path, reading: _Reading) -> Bundle:
    reading.judge(package, package.stat())
    name = _named(package.name)
    modules: dict[str, Text] = {}
    for path in files.package_files(package):
        module = _module(PurePosixPath(name, path.relative_to(package)))
        if path.suffix == ".py" and not path.is_dir() and module:
            modules[module] = Text(str(path), reading.file(path), path.name == "__init__.py")
        else:
            reading.judge(path, path.stat())
    return Bundle(package, name, modules, _digest(modules), frozenset({name} - _SHARED))


_SHARED = frozenset(
    {"appliance", "attr", "attrs", "msgspec", "outcome", "pluggy", "sniffio", "structlog", "trio"}
)
"""What plugins and the appliance must have the same of, for they hand each other its objects."""


def _archive(path: Path, content: bytes, reading: _Reading) -> Bundle:
    modules: dict[str, Text] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_members(path, archive)
            for member in archive.infolist():
                inner = PurePosixPath(member.filename)
                if inner.suffix == ".py" and (module := _module(inner)):
                    reading.take(path, member.file_size)
                    modules[module] = Text(
                        f"{path}/{inner}", archive.read(member), inner.name == "__init__.py"
                    )
            name = _entry(path, modules, _entry_points(archive))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise PluginError(f"{path}: is no whole zip archive ({error}): copy it here once more") from error
    private = frozenset(module.partition(".")[0] for module in modules) - _SHARED
    return Bundle(path, name, modules, hashlib.sha256(content).hexdigest(), private, content)


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    for member in archive.infolist():
        if member.filename.endswith(_COMPILED):
            raise PluginError(
                f"{path}: holds compiled code ({member.filename}), which cannot be loaded from an archive: "
                f"install it with `{sys.executable} -m pip install`, with the entry point {GROUP}"
            )


def _entry_points(archive: zipfile.ZipFile) -> Iterator[str]:
    """Give the modules that a wheel names as plugins, not those that are only bundled with one."""
    for member in archive.namelist():
        if member.endswith(".dist-info/entry_points.txt"):
            told = configparser.ConfigParser(delimiters="=", interpolation=None)
            told.read_string(archive.read(member).decode())
            if told.has_section(GROUP):
                yield from (value.partition(":")[0].strip() for _, value in told.items(GROUP))


def _entry(path: Path, modules: dict[str, Text], named: Iterator[str]) -> str:
    """Name the module with the hooks: the entry point, or what is called as the archive, or the only one."""
    tops = sorted({module.partition(".")[0] for module in modules})
    candidates = list(dict.fromkeys(named))
    if not candidates:
        own = path.stem.partition("-")[0].replace("-", "_")
        candidates = [own] if own in tops else tops
    if len(candidates) == 1 and candidates[0] in modules:
        return candidates[0]
    found = ", ".join(candidates) or "no module"
    raise PluginError(
        f"{path}: does not tell which module of it is the plugin ({found}): "
        f"call it `{path.stem.partition('-')[0]}.py`, or name it as an entry point {GROUP}"
    )


def _named(name: str) -> str:
    """Name a module for a file whose name may hold what separates modules."""
    return name.replace(".", "_")


def _module(inner: PurePosixPath) -> str:
    """Name the module that a path within a plugin is; nothing where that cannot be imported."""
    parts = inner.with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) if all(part.isidentifier() for part in parts[1:]) else ""


def _digest(modules: dict[str, Text]) -> str:
    digest = hashlib.sha256()
    for name, text in sorted(modules.items()):
        digest.update(f"{name} {text.is_package} {len(text.source)}\n".encode())
        digest.update(text.source)
    return digest.hexdigest()
