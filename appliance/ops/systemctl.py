"""systemd as it is asked and told things: `systemctl`, with its answers.

Must not know what the units are for.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from appliance.core.errors import StartError

_BOOTED: Final = Path("/run/systemd/system")
_WITHIN: Final = 120.0
"""Seconds that an answer may take: a unit that is stopped may take its time."""


def require() -> None:
    """Raise `StartError` where systemd does not run the machine."""
    if not _BOOTED.is_dir():
        raise StartError("systemd does not run this machine: start `appliance serve` by what does")


def version() -> int:
    """Give the version of systemd, such as 252."""
    return int(tell("--version").split()[1])


def tell(*words: str) -> str:
    """Tell systemd to do something, and give what it says; where it refuses, that is a StartError."""
    done = _run(words)
    if done.returncode:
        raise StartError(
            f"`systemctl {' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def show(unit: str, *properties: str) -> dict[str, str]:
    """Give what systemd knows of a unit, also of one that is not there."""
    told = tell("show", f"--property={','.join(properties)}", "--", unit)
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def is_enabled(unit: str) -> bool:
    return _run(("is-enabled", "--quiet", "--", unit)).returncode == 0


def is_active(unit: str) -> bool:
    """Whether it runs, or is about to."""
    return show(unit, "ActiveState").get("ActiveState") in (
        "active",
        "activating",
        "reloading",
        "deactivating",
    )


def _run(words: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - of systemd, with our own words
            ["systemctl", "--no-pager", "--no-ask-password", *words],  # noqa: S607 - wherever the system has it
            capture_output=True,
            text=True,
            timeout=_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"`systemctl {' '.join(words)}` cannot be asked: {error}") from error
