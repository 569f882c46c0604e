"""What systemd is told of this process: that it serves, is alive, reads its settings again, stops (sd_notify).

Must not know when any of that is so. Where nothing listens, all of it is said to nobody.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_log = structlog.get_logger()

VARIABLE: Final = "NOTIFY_SOCKET"
_PATIENCE: Final = 1.0
"""Seconds that a message may wait for room: systemd that is busy for longer has not read many others either."""


class Notifier:
    """Says short things to the socket at `address`, as systemd writes it: a path, or a name in the abstract with @."""

    def __init__(self, address: str | None) -> None:
        self._lost = False
        self._address = address
        self._socket: socket.socket | None = None
        if address is not None and address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.settimeout(_PATIENCE)

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Notifier:
        """Speak to whom the environment names; the name goes, so that no child speaks for this process."""
        return cls(environment.pop(VARIABLE, None))

    def ready(self) -> None:
        """Say that all listeners serve: after a start, and after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Say that settings are read; it is over with `ready`."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, within: float) -> None:
        """Say that the process ends, in so many seconds at most."""
        self._say("STOPPING=1", _extended(within))

    def extend(self, within: float) -> None:
        """Ask for so many seconds from now for what is going on, should the unit give less."""
        self._say(_extended(within))

    def status(self, text: str) -> None:
        """Say in a line how things are, for people."""
        self._say(f"STATUS={' '.join(text.split())}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._say("WATCHDOG=1")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _say(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        name = self._address.replace("@", "\0", 1) if self._address.startswith("@") else self._address
        try:
            self._socket.sendto("\n".join(lines).encode(), name)
        except OSError as error:
            if not self._lost:
                self._lost = True
                _log.warning("systemd was not told", message=lines[0], error=error.strerror or str(error))
        else:
            self._lost = False


def _extended(seconds: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={round(seconds * 1_000_000)}"


def watchdog_interval(environment: MutableMapping[str, str]) -> float | None:
    """Take from the environment within how many seconds systemd wants to hear `alive`, if it does from this process."""
    interval, process = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
    if process and process != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        return int(interval) / 1_000_000 or None
    return None
