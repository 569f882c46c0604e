"""The clock: whether it is right, kept so, and quickly read.

Must not know what is judged by it.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor import processes
from appliance.ops.doctor.findings import Kind, note, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.ops.doctor.findings import Finding

_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_SLOW: Final = ("hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit")
_UNSYNCHRONISED: Final = 0x40
"""STA_UNSYNC of <sys/timex.h>."""
_REFUSED: Final = -1
_TOLERANCE: Final = 120.0
_ROOM: Final = 256
"""Bytes behind the fields that are read; the structure is smaller."""
_WHY: Final = "the times of events, and when keys and certificates end, go by it"


class _Timex(ctypes.Structure):
    """The first fields of `struct timex`."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * _ROOM),
    )


@attrs.frozen(kw_only=True)
class Facts:
    """`synchronised` and `source` are nothing where the system does not tell. `newest` is when a file that was made
    in the past was made, by itself.
    """

    now: float
    newest: float | None
    synchronised: bool | None
    source: str | None


def gather(now: float, files: Iterable[Path]) -> Facts:
    times = [file.stat().st_mtime for file in files if file.exists()]
    source = processes.text(_SOURCE)
    return Facts(
        now=now,
        newest=max(times, default=None),
        synchronised=_synchronised(),
        source=None if source is None else source.strip(),
    )


def _synchronised() -> bool | None:
    """What the kernel says of its clock, whoever keeps it: chrony, ntpd, systemd-timesyncd or the host."""
    if sys.platform != "linux":
        return None
    told = _Timex()  # with `modes` 0 it only tells
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    return None if state == _REFUSED else not told.status & _UNSYNCHRONISED


def judge(facts: Facts) -> Iterator[Finding]:
    if facts.newest is not None and facts.newest > facts.now + _TOLERANCE:
        told, made = (
            f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M}" for at in (facts.now, facts.newest)
        )
        yield problem(
            Kind.CLOCK,
            f"it says {told} UTC, and files of the appliance were written at {made}",
            why=_WHY,
            remedy="`timedatectl set-ntp true`; where there is no network, `timedatectl set-time`",
        )
    elif facts.synchronised is None:
        yield note(
            Kind.CLOCK,
            "this system does not tell whether it is synchronised",
            why=_WHY,
            remedy="see to it that something keeps it, such as chrony or systemd-timesyncd",
        )
    elif not facts.synchronised:
        yield warning(
            Kind.CLOCK,
            "nothing keeps it synchronised",
            why=_WHY,
            remedy="`timedatectl set-ntp true`, or `apt-get install chrony`; `timedatectl` shows what is in use",
        )
    else:
        yield ok(Kind.CLOCK, "synchronised")
    if facts.source in _SLOW:
        yield warning(
            Kind.CLOCK_SOURCE,
            f"{facts.source}, which takes a microsecond or more to read",
            why="it is read for each event and each write, so that all of them take longer",
            remedy=f"`cat {_SOURCE.with_name('available_clocksource')}`, and write `tsc` or the hypervisor's own to"
            f" {_SOURCE}",
        )
    elif facts.source is not None:
        yield ok(Kind.CLOCK_SOURCE, facts.source)
