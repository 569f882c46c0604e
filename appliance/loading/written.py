"""The methods that attrs and dataclasses write, compiled once: kept from start to start, beside modules' bytecode.

The one module that knows how they compile. Must not know which classes there are. Where nothing can be kept, as in a
folder that is only read, they are compiled at each start.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import importlib.util
import marshal
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attr._make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

_ATTRS: Final = vars(attr._make)
"""It asks for `compile` by this name, and finds the built-in one."""
_DATACLASSES: Final = vars(dataclasses)
"""They ask for `exec` likewise, and give it text."""
_SALT: Final = re.compile(r"hash\(\(\n +-?[0-9]+,\n")
"""What the hash of a class begins with: another number in each process, of which any will do. It is looked for by the
word before it: to try each line of each script takes milliseconds."""


def place(part: str) -> Path:
    """Say where those of a part of the start are kept: for this Python alone, as the bytecode of this module."""
    return Path(importlib.util.cache_from_source(__file__)).with_suffix(f".{part}")


@contextlib.contextmanager
def kept(place: Path) -> Iterator[None]:
    """Take from there what is compiled in the block, and keep there what was not yet."""
    before = _read(place)
    used: dict[tuple[str, str], CodeType] = {}

    def compile_(script: str, filename: str, mode: str) -> CodeType:
        key = filename, _SALT.sub("", script)
        if (code := before.get(key)) is None:
            code = builtins.compile(script, filename, mode, dont_inherit=True)
        used[key] = code
        return code

    def exec_(script: str, names: dict[str, Any], made: dict[str, Any]) -> None:
        builtins.exec(compile_(script, "<string>", "exec"), names, made)  # noqa: S102 - as dataclasses do

    _ATTRS["compile"], _DATACLASSES["exec"] = compile_, exec_
    try:
        yield
    finally:
        del _ATTRS["compile"], _DATACLASSES["exec"]
    if used.keys() - before.keys() and not sys.dont_write_bytecode:
        _write(place, used)


def _read(place: Path) -> dict[Any, CodeType]:
    try:
        found = marshal.loads(place.read_bytes())  # noqa: S302 - whoever may write here may write the modules' bytecode
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(place: Path, codes: dict[tuple[str, str], CodeType]) -> None:
    with contextlib.suppress(OSError):  # it is quicker with them, and works without
        file, temporary = tempfile.mkstemp(dir=place.parent, prefix=f"{place.name}.")
        try:
            with os.fdopen(file, "wb") as opened:
                opened.write(marshal.dumps(codes))
            Path(temporary).replace(place)
        except BaseException:
            Path(temporary).unlink()
            raise
