"""Readiness: whether new clients are well served here, and for people, what is wrong.

Must not know who asks, nor what becomes of who asks in vain.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from appliance.runtime.status import Health
    from appliance.settings.tree import Settings


class Phase(enum.Enum):
    """How far the appliance has come."""

    STARTING = "the listeners do not serve yet"
    SERVING = "the listeners serve"
    STOPPING = "the appliance is stopping"


@attrs.frozen
class Readiness:
    """Whether the appliance is able, and what is wrong: with one that is able, too.

    Reasons are for its operators: they hold what producers and the disk have said.
    """

    able: bool
    reasons: tuple[str, ...] = ()


@attrs.define(kw_only=True)
class Bearings:
    """What readiness depends on: the phase, the producers by channel, the journal's statistics of the store."""

    health: Mapping[str, Health]
    store: Callable[[], Mapping[str, Any]]
    settings: Callable[[], Settings]
    concerns: list[Callable[[], Iterable[str]]] = attrs.field(factory=list)
    """Each says what else is wrong that can be borne."""
    pressure: Callable[[], str | None] = lambda: None
    """Says why nobody is let in for the moment, if so."""
    phase: Phase = Phase.STARTING

    def readiness(self) -> Readiness:
        if self.phase is not Phase.SERVING:
            return Readiness(able=False, reasons=(self.phase.value,))
        found = [*self._store(), *self._channels(), *self._others()]
        if (pressure := self.pressure()) is not None:
            found.append((False, pressure))
        return Readiness(all(bearable for bearable, _ in found), tuple(reason for _, reason in found))

    def _others(self) -> Iterator[tuple[bool, str]]:
        return ((True, reason) for concern in self.concerns for reason in concern())

    def _store(self) -> Iterator[tuple[bool, str]]:
        """Give what is wrong, each with whether it can be borne."""
        store, required = self.store(), self.settings().store.required
        if not store["is_healthy"] and (required or store["channels"]):
            yield not required, f"nothing can be kept, streaming goes on in memory: {store['reason']}"

    def _channels(self) -> Iterator[tuple[bool, str]]:
        required = {name for name, own in self.settings().channels.items() if own.enabled and own.required}
        for name in sorted(required - self.health.keys()):
            yield False, f"channel {name} is not there: its plugin is missing, or was refused"
        for name, health in sorted(self.health.items()):
            problem = _problem(health)
            if problem is None and name in required and not health.able:
                problem = "it has published nothing yet, and its producer has not said that it can"
            if problem is not None:
                yield name not in required, f"channel {name}: {problem}"


def _problem(health: Health) -> str | None:
    """Say what is wrong with a channel that is not healthy."""
    if health.quarantined is not None:
        return f"its producer is quarantined: {health.quarantined}"
    if health.failing or not health.running:
        return f"its producer fails: {health.last_error or 'it does not run'}"
    if health.stale:
        return f"it has published nothing for {health.stale_after:g} s (stale_after)"
    return None
