"""A subscription with a limit: at most so many updates a second of one topic, the newest when more come.

Must not know what time it is: a clock and a way to be called later come in.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.history import Topic
    from appliance.core.outbox import Outbox


class Throttle:
    """Stands between the hub and an outbox for one topic of one session."""

    def __init__(
        self,
        outbox: Outbox,
        limit: float,
        *,
        clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._outbox = outbox
        self._pause = 1 / limit
        self._clock = clock
        self._call_at = call_at
        self._due = 0.0
        self._waiting = False
        self._stopped = False

    def offer(self, topic: Topic, offset: int, frame: bytes) -> None:
        """Take a live event: pass it on when the time has come, else keep the newest until then."""
        if self._waiting:
            self._outbox.hold(topic, offset, frame)
        elif (now := self._clock()) >= self._due:
            self._due = now + self._pause
            self._outbox.renew(topic, offset, frame)
        else:
            self._waiting = True
            self._outbox.hold(topic, offset, frame)
            self._call_at(self._due, partial(self._release, topic))

    def stop(self) -> None:
        """Call nobody any more; what the outbox holds stays with it."""
        self._stopped = True

    def _release(self, topic: Topic) -> None:
        if self._stopped:
            return
        self._waiting = False
        self._due = self._clock() + self._pause
        self._outbox.release(topic)
