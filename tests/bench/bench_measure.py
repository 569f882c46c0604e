"""What a process costs, seen from outside: its CPU time and its memory.

Must not know what the process does. Linux only.
"""

from __future__ import annotations

import ctypes
import os
import platform
import time
from importlib import metadata
from pathlib import Path

import attrs

_libc = ctypes.CDLL(None, use_errno=True)


@attrs.frozen
class Process:
    pid: int

    def cpu(self) -> float:
        """Seconds of CPU that all its threads have used, in user and kernel.

        What `/proc/PID/stat` says in ticks of 10 ms, the process's own clock says in nanoseconds.
        """
        clock = ctypes.c_int()
        if _libc.clock_getcpuclockid(self.pid, ctypes.byref(clock)):
            raise ProcessLookupError(self.pid)
        return time.clock_gettime(clock.value)

    def resident(self) -> int:
        """Bytes of memory in use, shared libraries included."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError(self.pid)


def machine() -> dict[str, str | int]:
    """What the figures were taken on, and with which peers."""
    found: dict[str, str | int] = {
        "cores": os.cpu_count() or 0,
        "load": f"{os.getloadavg()[0]:.2f}",
        "Linux": platform.release(),
        "Python": platform.python_version(),
    }
    for name in ("websockets", "fastapi", "uvicorn", "uvloop", "httptools", "asyncpg"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found
