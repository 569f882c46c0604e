"""A folder of unpacked packages, held by all who run from it, so that nobody removes it under them.

Must not know how it came there; what it imports is paid for at each start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def hold(folder: Path) -> bool:
    """Hold the folder until this process ends, and tell whether it is there to be held."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    if not (_shared(held) and _is_at(held, folder)):
        os.close(held)
        return False
    with contextlib.suppress(OSError):  # of another user, or on a disk that is only read
        os.utime(folder)  # the last use, by which the oldest is known
    return True


def _shared(held: int) -> bool:
    """Keep others from removing it, unless one is about to."""
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: there, nothing is ever removed
    return True


def _is_at(held: int, folder: Path) -> bool:
    """Whether what was opened is still there, or was removed before it was locked."""
    try:
        return os.path.samestat(os.fstat(held), folder.stat())
    except FileNotFoundError:
        return False
