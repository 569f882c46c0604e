"""The memory of this process: what it holds, the most that it may, and how what is free is given back.

Must not know what holds it.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.ops.doctor import processes
from appliance.runtime.relief import Memory

if TYPE_CHECKING:
    from typing import Literal

_ITSELF: Final = Path("/proc/self/statm")
_RESIDENT: Final = 1
_SHARE: Final = 0.8
"""What of all memory may be held, where nothing is said: the rest is for what the kernel holds for the sockets."""


def look(said: int | Literal["off"] | None) -> Memory | None:
    """Say how much is held of how much; none where there is no limit, or the system does not tell."""
    used, limit = resident(), most(said)
    return None if used is None or limit is None else Memory(used, limit)


def resident() -> int | None:
    """Give the bytes that this process holds; none where the system does not tell."""
    try:
        pages = int(_ITSELF.read_text().split()[_RESIDENT])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def most(said: int | Literal["off"] | None) -> int | None:
    """Give the most bytes that it may hold: as is said, or a share of what there is; none for no limit."""
    if said is not None:
        return None if said == "off" else said
    return int(_SHARE * there_is())


def there_is() -> int:
    """Give the bytes of the machine, or of the group of processes where that has less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = processes.most_memory(names=("memory.high", "memory.max"))
    return machine if group is None else min(group, machine)


def trim() -> None:
    """Give back to the system what is garbage and what was freed. Where its library cannot, it does so by itself,
    sooner or later.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
