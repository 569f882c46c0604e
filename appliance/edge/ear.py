"""How a session hears its client: message by message, not too many of them, and not for ever when there is none.

Must not know what a message says, nor what becomes of who sends too many or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from appliance.core.buckets import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.edge.policy import Policy
    from appliance.edge.websocket import Socket

_LOOKS: Final = 8
"""How often, in the time that a session may be idle, it is looked at: it ends that part of the time late at most."""
_LOOK_AGAIN: Final = 60.0
"""Seconds after which it is looked at anyway: a reload may have changed how long it may be idle."""


class Ear:
    """`taken` counts what has left for the client: who is told something is not idle."""

    def __init__(self, socket: Socket, policy: Policy, taken: Callable[[], int]) -> None:
        self._socket = socket
        self._policy = policy
        self._taken = taken
        self.rate = policy.bounds.messages_per_minute
        self._messages = Bucket.per_minute(self.rate, trio.current_time())

    async def hear(self) -> str | bytes | None:
        """Give the next message; None when there has been none either way for as long as a session may be idle."""
        quiet_since, taken = trio.current_time(), self._taken()
        while True:
            idle = self._policy.limits.idle
            with trio.move_on_after(_LOOK_AGAIN if idle is None else min(idle / _LOOKS, _LOOK_AGAIN)):
                return await self._socket.receive()
            idle = self._policy.limits.idle
            if idle is None:
                continue
            if taken != self._taken():
                quiet_since, taken = trio.current_time(), self._taken()
            elif trio.current_time() - quiet_since >= idle:
                return None

    def count(self) -> float:
        """Count a message against the rate of the moment: 0, or how long it is too early."""
        now, most = trio.current_time(), self._policy.bounds.messages_per_minute
        if most != self.rate:
            self.rate, self._messages = most, Bucket.per_minute(most, now)
        return self._messages.take(now)
