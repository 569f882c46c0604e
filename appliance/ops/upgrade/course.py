"""The course of a restart, as it is seen from outside: whether the unit has come to serve, and goes on serving.

Must not know how it is looked at, nor what is done when it does not.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from appliance.settings.quantities import time_text

if TYPE_CHECKING:
    from appliance.ops.upgrade.unit import State


class Stage(enum.Enum):
    STOPPING = "the one before stops"
    STARTING = "it starts"
    WATCHED = "it is READY"
    DONE = "it has been for long enough"


class FailedError(Exception):
    """It does not serve; the message says what it did instead."""


@attrs.define(kw_only=True)
class Course:
    """Of one restart. `began` is when it was first seen to start, if it was. Times are in seconds."""

    ready_within: float
    watch: float
    began: float | None = attrs.field(default=None, init=False)
    _invocation: str = attrs.field(default="", init=False)
    _ready: float | None = attrs.field(default=None, init=False)

    def follow(self, seen: State, now: float, *, started: bool | None) -> Stage:
        """Say how far it has come; FailedError when it will not come further.

        `started` is what systemd says of the restart that it was asked for, and None as long as it says nothing.
        """
        if self._ready is None:
            if started is None:
                return self._before_ready(seen, now)
            if not started:
                raise FailedError(f"it ended before it was READY{_result(seen)}")
            self._ready, self._invocation = now, seen.invocation
        lasted = now - self._ready
        if seen.invocation != self._invocation or seen.restarts or not seen.serves:
            raise FailedError(f"it ended {lasted:.1f} s after it was READY{_result(seen)}")
        return Stage.DONE if lasted >= self.watch else Stage.WATCHED

    def _before_ready(self, seen: State, now: float) -> Stage:
        if self.began is None and not seen.starts:
            return Stage.STOPPING
        self.began = now if self.began is None else self.began
        if now - self.began > self.ready_within:
            raise FailedError(f"it was not READY within {time_text(self.ready_within)}")
        return Stage.STARTING


def _result(seen: State) -> str:
    return "" if seen.result == "success" else f" ({seen.result})"
