"""Who has a file: the other process that holds a lock on it, where the system tells.

Must not know what the lock is for. The file is not opened for this: closing it would give up the locks that this
process has on it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCKS: Final = Path("/proc/locks")


def holder(path: Path) -> int | None:
    """Give the number of a process that holds a lock on the file; None where none does, or the system does not tell."""
    try:
        found = path.stat()
        lines = _LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    return among(lines, f"{device}:{found.st_ino}")


def among(lines: Iterable[str], file: str) -> int | None:
    """Find the file, `device:inode`, in lines such as `1: POSIX  ADVISORY  WRITE 4711 fe:00:1038 0 EOF`."""
    for line in lines:
        match line.split():
            case [_, "POSIX", _, _, pid, locked, *_] if locked == file and int(pid) not in (0, os.getpid()):
                return int(pid)  # 0 is a process of another container
    return None
