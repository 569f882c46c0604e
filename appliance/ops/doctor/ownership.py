"""Whose a file is, and what others may do with it.

Must not judge.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOT: Final = 0
OTHERS: Final = 0o077
OTHERS_WRITE: Final = 0o022


@attrs.frozen(kw_only=True)
class Entry:
    """A file or folder that is there: whose it is, and what its owner, its group and others may do with it."""

    path: Path
    owner: int
    mode: int
    is_folder: bool = False


def look(path: Path) -> Entry | None:
    """Look at what is there; nothing where it is not, or cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    mode = found.st_mode
    return Entry(path=path, owner=found.st_uid, mode=stat.S_IMODE(mode), is_folder=stat.S_ISDIR(mode))


def seen(paths: Iterable[Path]) -> tuple[Entry, ...]:
    return tuple(entry for path in paths if (entry := look(path)) is not None)
