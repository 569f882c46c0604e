"""The metrics of the process, under the names that Prometheus' own libraries use.

Must not know the other metrics.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

from appliance.ops.metrics.family import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.ops.metrics.instruments import Reading
    from appliance.ops.metrics.process import Process


def _of(value: Callable[[Process], float]) -> Callable[[Reading], float | None]:
    return lambda at: None if at.process is None else value(at.process)


def _cpu(_: Reading) -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _most_files(_: Reading) -> float:
    most, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if most == resource.RLIM_INFINITY else most


PROCESS: Final = (
    counter("process_cpu_seconds_total", "CPU time that the process has used, in seconds", _cpu),
    gauge(
        "process_resident_memory_bytes",
        "Memory that the process holds",
        _of(lambda process: process.resident),
    ),
    gauge(
        "process_virtual_memory_bytes",
        "Memory that the process could use",
        _of(lambda process: process.virtual),
    ),
    gauge(
        "process_start_time_seconds",
        "When the process started, in seconds since 1970",
        _of(lambda process: process.started),
    ),
    gauge(
        "process_open_fds",
        "Open files of the process: connections, and some for itself",
        _of(lambda process: process.open_files),
    ),
    gauge("process_max_fds", "Most open files of the process (`ulimit -n`, `LimitNOFILE=`)", _most_files),
)
