"""Who is let in: most connections and sessions, of a listener and in all; most new ones a minute of an address, and
most requests a minute of whoever asks again and again.

Must not know sockets. Time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from appliance.core.buckets import Bucket
from appliance.core.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Hashable

    from appliance.edge.policy import Policy

MOST_REMEMBERED = 65_536
"""Rates remembered at once; those of who has been quiet for a minute are forgotten first."""


@attrs.frozen
class Refusal:
    """Why a client is not let in, in the dialect's code, and when it may try again."""

    code: ErrorCode
    message: str
    retry_after: float


class _Rates:
    """What each who comes has left of its rate."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, Bucket] = {}

    def take(self, who: Hashable, most: int, now: float) -> float:
        """Count one: 0, or how long it is too early."""
        bucket = self._buckets.get(who)
        if bucket is None or bucket.size != most:
            self._forget_the_quiet(now)
            bucket = self._buckets[who] = Bucket.per_minute(most, now)
        return bucket.take(now)

    def _forget_the_quiet(self, now: float) -> None:
        if len(self._buckets) < MOST_REMEMBERED:
            return
        quiet = [who for who, bucket in self._buckets.items() if bucket.is_full(now)]
        for who in quiet or list(self._buckets)[: MOST_REMEMBERED // 2]:
            del self._buckets[who]


class Admission:
    """Counts what is open. Who is let in must say when it leaves."""

    def __init__(self) -> None:
        self._connections: Counter[Policy] = Counter()
        self._sessions: Counter[Policy] = Counter()
        self._greeted = _Rates()
        self._asked = _Rates()

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
        wait = self._greeted.take((policy, address), most, now)
        if not wait:
            return None
        return Refusal(
            ErrorCode.RATE_LIMITED,
            f"At most {most} connections a minute (limits.connections_per_minute)",
            wait,
        )

    def ask(self, policy: Policy, who: Hashable, now: float) -> Refusal | None:
        """Count a request of someone against the rate of messages: each of them is one."""
        most = policy.bounds.messages_per_minute
        wait = self._asked.take((policy, who), most, now)
        if not wait:
            return None
        return Refusal(
            ErrorCode.RATE_LIMITED, f"At most {most} requests a minute (limits.messages_per_minute)", wait
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
