"""What a rule knows of one key, by the time of its source.

Must not know the rule. It is told what of the events must be noted, for others need not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from .notes import Before, Known, key_name, window_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .notes import Place
    from .windows import Window


@attrs.define(eq=False)
class Track:
    """`since`: when the condition began to hold; `held`: whether it has held for its time; `told`: when of the last
    alert, and `again`: how many were of the same time; `raised`: whether it waits for what clears it.
    """

    place: Place
    windows: dict[str, Window]
    event: Mapping[str, Any] = attrs.field(factory=dict)
    before: Mapping[str, Any] | None = None
    at: float = -math.inf
    since: float | None = None
    held: bool = False
    raised: bool = False
    told: float = -math.inf
    again: int = 0

    def take(self, data: Mapping[str, Any], at: float) -> None:
        """Go on to the next event."""
        self.at = at
        self.before = self.event or None
        self.event = self._event(data, at)

    def standing(self, *, waits: bool) -> tuple[object, ...]:
        """What decides which alerts there will be. When a condition began counts where a rule waits for it to hold."""
        return self.raised, self.told, self.again, *((self.since, self.held) if waits else ())

    def notes(
        self, rule: str, *, begun: float | None, waits: bool, compares: bool
    ) -> Iterator[tuple[str, Any]]:
        """Give all that changed of it, as names and values. A rule that `compares` needs its newest event."""
        needs_event, before = compares or begun is not None, self.before if begun is not None else None
        known = Known(
            at=self.at,
            since=self.since if waits else None,
            begun=begun,
            held=self.held and waits,
            raised=self.raised,
            told=None if math.isinf(self.told) else self.told,
            again=self.again,
            data=self.event.get("data") if needs_event else None,
            before=Before(before["at"], before["data"]) if compares and before else None,
        )
        yield key_name(rule, self.place), msgspec.to_builtins(known)
        for field, window in self.windows.items():
            for piece, text in window.changes():
                yield window_name(rule, self.place, field, piece), text

    def names(self, rule: str) -> Iterator[str]:
        """Give the names of all that was noted of it."""
        yield key_name(rule, self.place)
        for field, window in self.windows.items():
            for piece in window.pieces:
                yield window_name(rule, self.place, field, piece)

    def recall(self, known: Known, *, waits: bool) -> None:
        """Go on with what was noted, but for windows."""
        self.at = known.at
        if known.data is not None:
            self.event = self._event(known.data, known.at)
        if known.before is not None:
            self.before = self._event(known.before.data, known.before.at)
        if waits:
            self.since, self.held = known.since, known.held
        self.raised = known.raised
        self.told = -math.inf if known.told is None else known.told
        self.again = known.again

    def _event(self, data: Mapping[str, Any], at: float) -> dict[str, Any]:
        channel, key = self.place
        return {**data, "key": key, "channel": channel, "at": at, "data": data}
