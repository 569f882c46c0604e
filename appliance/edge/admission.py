"""Who is let in: most connections and sessions, of a listener and in all, and most new ones a minute of an address.

Must not know sockets. Time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from appliance.core.buckets import Bucket
from appliance.core.errors import ErrorCode

if TYPE_CHECKING:
    from appliance.edge.policy import Policy

MOST_ADDRESSES = 65_536
"""Addresses remembered at once; those that have been quiet for a minute are forgotten first."""


@attrs.frozen
class Refusal:
    """Why a client is not let in, in the dialect's code, and when it may try again."""

    code: ErrorCode
    message: str
    retry_after: float


class Admission:
    """Counts what is open. Who is let in must say when it leaves."""

    def __init__(self) -> None:
        self._connections: Counter[Policy] = Counter()
        self._sessions: Counter[Policy] = Counter()
        self._addresses: dict[tuple[Policy, str], Bucket] = {}

    @property
    def connections(self) -> int:
        return self._connections.total()

    @property
    def sessions(self) -> int:
        return self._sessions.total()

    def connect(self, policy: Policy) -> bool:
        """Count a connection in; False when there are too many."""
        most = policy.limits.connections, policy.bounds.connections
        if self.connections >= most[0] or self._connections[policy] >= most[1]:
            return False
        self._connections[policy] += 1
        return True

    def disconnect(self, policy: Policy) -> None:
        self._connections[policy] -= 1

    def greet(self, policy: Policy, address: str, now: float) -> Refusal | None:
        """Count a connection of an address against its rate; addresses of a Unix socket are all one."""
        most = policy.bounds.connections_per_minute
        bucket = self._addresses.get((policy, address))
        if bucket is None or bucket.size != most:
            self._forget_the_quiet(now)
            bucket = self._addresses[policy, address] = Bucket.per_minute(most, now)
        wait = bucket.take(now)
        if not wait:
            return None
        return Refusal(
            ErrorCode.RATE_LIMITED,
            f"At most {most} connections a minute (limits.connections_per_minute)",
            wait,
        )

    def open(self, policy: Policy) -> Refusal | None:
        """Count a session in, or say why not."""
        bounds = policy.bounds
        if self.sessions >= policy.limits.sessions or self._sessions[policy] >= bounds.sessions:
            return Refusal(ErrorCode.CONNECTION_FULL, "Server at maximum capacity (limits.sessions)", 5.0)
        self._sessions[policy] += 1
        return None

    def close(self, policy: Policy) -> None:
        self._sessions[policy] -= 1

    def _forget_the_quiet(self, now: float) -> None:
        if len(self._addresses) < MOST_ADDRESSES:
            return
        quiet = [key for key, bucket in self._addresses.items() if bucket.is_full(now)]
        for key in quiet or list(self._addresses)[: MOST_ADDRESSES // 2]:
            del self._addresses[key]
