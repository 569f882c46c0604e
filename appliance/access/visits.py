"""Who was let in, in the audit log: once in a while for the same one from the same address, however often it asks.

Must not know why. Time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from appliance.access.principals import Principal, Way

_log = structlog.get_logger("audit")

EVERY: Final = 3600.0
"""Seconds between two lines of the same visitor."""
MOST: Final = 10_000
"""Visitors that are remembered; those told longest ago are forgotten first."""


class Visits:
    """A visitor is a credential that is shown in the same way from the same address."""

    def __init__(self) -> None:
        self._told: dict[
            tuple[str, str, str | None, str, Way], float
        ] = {}  # in the order in which they were told

    def note(self, principal: Principal, address: str, way: Way, now: float) -> None:
        visitor = principal.kind, principal.name, principal.credential, address, way
        told = self._told.get(visitor)
        if told is not None and now - told < EVERY:
            return
        self._told.pop(visitor, None)
        if len(self._told) >= MOST:
            del self._told[next(iter(self._told))]
        self._told[visitor] = now
        _log.info("let in", client=address, way=way, **principal.told)
