"""The unit of systemd: whether systemd knows when the appliance serves, stalls and stops.

Must not know how units are put in place.
"""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from appliance.ops.doctor.findings import Kind, note, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.ops.doctor.findings import Finding

USUAL: Final = "appliance.service"
_BOOTED: Final = Path("/run/systemd/system")
_PROPERTIES: Final = "LoadState,Type,Restart,WatchdogUSec,TimeoutStopUSec,LimitNOFILE,MemoryMax"
_PATIENCE: Final = 10.0
_TELLING: Final = ("notify", "notify-reload")
_GRACE: Final = 2.0
_SHORT: Final = 5.0
_SPANS: Final = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
    "month": 2629800.0,
    "y": 31557600.0,
}
_SPAN: Final = re.compile(r"([\d.]+)(us|ms|s|min|h|d|w|month|y)")


@attrs.frozen(kw_only=True)
class Facts:
    """`properties` are what systemd says of the unit; nothing where systemd does not run this machine.

    `deadline` is how many seconds a stop may take by the configuration.
    """

    name: str
    properties: Mapping[str, str] | None
    deadline: float

    @property
    def is_there(self) -> bool:
        return self.properties is not None and self.properties.get("LoadState") == "loaded"

    def number(self, name: str) -> int | None:
        """A limit that the unit sets; nothing where it sets none."""
        said = (self.properties or {}).get(name, "") if self.is_there else ""
        return int(said) if said.isdigit() else None


def gather(name: str | None, *, deadline: float) -> Facts:
    """Ask for the unit of that name, or for the one that the appliance is usually run by."""
    name = name or USUAL
    properties = _shown(name) if _BOOTED.is_dir() else None
    return Facts(name=name, properties=properties, deadline=deadline)


def _shown(name: str) -> dict[str, str] | None:
    command = ["systemctl", "show", f"--property={_PROPERTIES}", "--", name]
    try:
        done = subprocess.run(  # noqa: S603 - of systemd, with a unit's name
            command, capture_output=True, text=True, timeout=_PATIENCE, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def judge(facts: Facts) -> Iterator[Finding]:
    if facts.properties is None:
        yield ok(Kind.UNIT, "no systemd to ask")
    elif not facts.is_there:
        yield note(
            Kind.UNIT,
            f"{facts.name} is not installed",
            why="nothing starts the appliance with the machine, or again when it ends",
            remedy="`appliance systemd install`, unless something else looks after it",
        )
    else:
        found = [*_told(facts, facts.properties)]
        yield from found or [ok(Kind.UNIT, f"{facts.name} tells systemd when it serves, stalls and stops")]


def _told(facts: Facts, properties: Mapping[str, str]) -> Iterator[Finding]:
    edit = f"in `systemctl edit {facts.name}`"
    if (kind := properties.get("Type", "")) not in _TELLING:
        yield warning(
            Kind.UNIT,
            f"{facts.name} has Type={kind}",
            why="systemd takes it for started before it serves, and what comes after it starts too soon",
            remedy=f"`Type=notify-reload` {edit}",
        )
    watchdog = span(properties.get("WatchdogUSec", ""))
    if not watchdog or math.isinf(watchdog):
        yield warning(
            Kind.UNIT,
            f"{facts.name} has no watchdog",
            why="a process that stalls is never restarted",
            remedy=f"`WatchdogSec=30` {edit}",
        )
    elif watchdog < _SHORT:
        yield warning(
            Kind.UNIT,
            f"{facts.name} has a watchdog of {watchdog:g} s",
            why="on a busy machine it ends a process that is well",
            remedy=f"`WatchdogSec=30` {edit}",
        )
    if properties.get("Restart") == "no":
        yield warning(
            Kind.UNIT,
            f"{facts.name} has Restart=no",
            why="when the process ends nobody is served until somebody sees it",
            remedy=f"`Restart=on-failure` {edit}",
        )
    stop, need = span(properties.get("TimeoutStopUSec", "")), facts.deadline + _GRACE
    if stop is not None and stop < need:
        yield warning(
            Kind.UNIT,
            f"{facts.name} is given {stop:g} s to stop, and stop.deadline is {facts.deadline:g} s",
            why="it is killed while clients are still sent what they are owed",
            remedy=f"`TimeoutStopSec={need + 3:.0f}` {edit}",
        )


def span(text: str) -> float | None:
    """The seconds of a time as systemd writes it, such as `1min 30s`; nothing where it is none."""
    if text == "infinity":
        return math.inf
    if text == "0":
        return 0.0
    found = _SPAN.findall(text)
    return sum(float(number) * _SPANS[unit] for number, unit in found) if found else None
