"""Who is let in: most connections and sessions, of a listener, of an address and in all; most new ones a minute of an
address, and most requests a minute of whoever asks again and again.

Must not know sockets. Time comes in as an argument.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from appliance.core.errors import ErrorCode
from appliance.core.rates import Rates
from appliance.runtime.census import Usage

if TYPE_CHECKING:
    from collections.abc import Hashable

    from appliance.access.principals import Principal
    from appliance.edge.policy import Policy

_SOON = 5.0
"""Seconds after which to come back where all places are taken."""
MOST_TOLD = 64
"""Connections at once that have no place, and are told so; further ones are closed without a word."""


@attrs.frozen
class Refusal:
    """Why a client is not let in, in the dialect's code, and when it may try again. `limit` is the setting."""

    code: ErrorCode
    message: str
    retry_after: float
    limit: str | None = None


@attrs.define(eq=False)
class Place:
    """What a connection is counted as while it is open. With a `refusal` there is none for it, and it is told so."""

    policy: Policy
    refusal: Refusal | None = None
    origin: str | None = None


class Admission:
    """Counts what is open. Who is let in must say when it leaves. An `origin` is what counts of an address."""

    def __init__(self) -> None:
        self._connections: Counter[Policy] = Counter()
        self._sessions: Counter[Policy] = Counter()
        self._principals: Counter[tuple[str, str]] = Counter()
        self._origins: Counter[tuple[Policy, str]] = Counter()
        self._told = 0
        self._knocked = Rates()
        self._greeted = Rates()
        self._requested = Rates()
        self._asked = Rates()
        self._spread: float | None = None
        self._pressed = False

    def turn_away(self, spread: float) -> None:
        """Let no session in any more: each is told to come back, at some time within `spread` seconds."""
        self._spread = spread

    def press(self, pressed: bool) -> None:  # noqa: FBT001 - its whole message
        """Let no session in while memory is short, or do so again."""
        self._pressed = pressed

    @property
    def connections(self) -> int:
        return self._connections.total()

    @property
    def sessions(self) -> int:
        return self._sessions.total()

    @property
    def origins(self) -> int:
        """Addresses, by their prefixes, that have a connection."""
        return len(self._origins)

    @property
    def most_of_an_origin(self) -> int:
        """Connections of the address that has most."""
        return max(self._origins.values(), default=0)

    def usage(self, policy: Policy) -> Usage:
        """Say how much of a listener is used."""
        bounds = policy.bounds
        return Usage(self._connections[policy], self._sessions[policy], bounds.connections, bounds.sessions)

    def connect(self, policy: Policy) -> Place | None:
        """Count a connection in. Where there are too many it has a place to be told so; none, where even those are."""
        most = policy.limits.connections, policy.bounds.connections
        place = Place(policy)
        if self.connections < most[0] and self._connections[policy] < most[1]:
            self._connections[policy] += 1
            return place
        text = "Server at maximum capacity (limits.connections)"
        told = self._refuse(place, Refusal(ErrorCode.CONNECTION_FULL, text, _SOON, "connections"))
        return place if told else None

    def knock(self, policy: Policy, origin: str, now: float) -> bool:
        """Count a connection of any kind against the rate of its address; False when it is too early for it."""
        return not self._knocked.take((policy, origin), policy.bounds.handshakes_per_minute, now)

    def settle(self, place: Place, origin: str) -> bool:
        """Count a connection as one of an address. Where that has too many it is told, or False: not even that."""
        if place.refusal is not None:
            return True
        policy = place.policy
        refusal = self.visit(policy, origin)
        if refusal is None:
            place.origin = origin
            return True
        told = self._refuse(place, refusal)
        if told:
            self._connections[policy] -= 1
        return told

    def disconnect(self, place: Place) -> None:
        if place.refusal is not None:
            self._told -= 1
        else:
            self._connections[place.policy] -= 1
        if place.origin is not None:
            self.depart(place.policy, place.origin)

    def visit(self, policy: Policy, origin: str) -> Refusal | None:
        """Count one more of an address in, or say why not: a connection, or a request that a proxy brings."""
        most = policy.bounds.connections_per_address
        if self._origins[policy, origin] >= most:
            text = f"At most {most} connections of one address at once (limits.connections_per_address)"
            return Refusal(ErrorCode.CONNECTION_FULL, text, _SOON, "connections_per_address")
        self._origins[policy, origin] += 1
        return None

    def depart(self, policy: Policy, origin: str) -> None:
        """Count one of an address out."""
        self._origins[policy, origin] -= 1
        if not self._origins[policy, origin]:
            del self._origins[policy, origin]

    def _refuse(self, place: Place, refusal: Refusal) -> bool:
        if self._told >= MOST_TOLD:
            return False
        self._told += 1
        place.refusal = refusal
        return True

    def greet(self, policy: Policy, address: str, now: float) -> Refusal | None:
        """Count a session to be of an address against its rate; addresses of a Unix socket are all one."""
        most, who = policy.bounds.connections_per_minute, (policy, policy.origin(address))
        return _counted(
            self._greeted, who, most, now, what="connections a minute", limit="connections_per_minute"
        )

    def request(self, policy: Policy, origin: str, now: float) -> Refusal | None:
        """Count a request of any kind against the rate of its address."""
        most, what = policy.bounds.requests_per_minute, "requests a minute of one address"
        return _counted(self._requested, (policy, origin), most, now, what=what, limit="requests_per_minute")

    def ask(self, policy: Policy, who: Hashable, now: float) -> Refusal | None:
        """Count a request of someone against the rate of messages: each of them is one."""
        most, what = policy.bounds.messages_per_minute, "requests a minute"
        return _counted(self._asked, (policy, who), most, now, what=what, limit="messages_per_minute")

    def open(self, policy: Policy, principal: Principal | None = None) -> Refusal | None:
        """Count a session in, as that of a principal where there is one already; or say why not."""
        bounds = policy.bounds
        if self._spread is not None:
            wait = random.random() * self._spread  # noqa: S311 - to spread clients, no secret
            return Refusal(ErrorCode.SERVER_RESTART, "The server restarts", wait)
        if self._pressed:
            text = "Memory is short (limits.memory)"
            return Refusal(ErrorCode.CONNECTION_FULL, text, _SOON, "memory")
        if self.sessions >= policy.limits.sessions or self._sessions[policy] >= bounds.sessions:
            text = "Server at maximum capacity (limits.sessions)"
            return Refusal(ErrorCode.CONNECTION_FULL, text, _SOON, "sessions")
        refused = None if principal is None else self.enter(principal)
        if refused is None:
            self._sessions[policy] += 1
        return refused

    def close(self, policy: Policy, principal: Principal | None = None) -> None:
        self._sessions[policy] -= 1
        if principal is not None:
            self.leave(principal)

    def enter(self, principal: Principal) -> Refusal | None:
        """Count a session as that of a principal, or say why not."""
        most, who = principal.entitlements.sessions, _who(principal)
        if most is not None and self._principals[who] >= most:
            return Refusal(
                ErrorCode.CONNECTION_FULL,
                f"At most {most} sessions of {principal.name!r} at once",
                _SOON,
                "sessions of a principal",
            )
        self._principals[who] += 1
        return None

    def leave(self, principal: Principal) -> None:
        who = _who(principal)
        self._principals[who] -= 1
        if not self._principals[who]:
            del self._principals[who]


def _counted(rates: Rates, who: Hashable, most: int, now: float, *, what: str, limit: str) -> Refusal | None:
    wait = rates.take(who, most, now)
    if not wait:
        return None
    return Refusal(ErrorCode.RATE_LIMITED, f"At most {most} {what} (limits.{limit})", wait, limit)


def _who(principal: Principal) -> tuple[str, str]:
    """Whoever has several keys is one; an issuer of tokens cannot make one that counts as somebody with a key."""
    return principal.kind, principal.name
