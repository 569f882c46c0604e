"""The census: what the sessions of the moment add up to.

Must not know how a session travels, nor who wants to know.
"""

from __future__ import annotations

import time
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import attrs

from appliance.runtime.status import Sample
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.core.outbox import Outbox
    from appliance.runtime.status import Traffic


class Counted(Protocol):
    """A session, as far as it is counted."""

    @property
    def dialect(self) -> str: ...

    @property
    def transport(self) -> str: ...

    @property
    def outbox(self) -> Outbox | None: ...

    def account(self) -> None:
        """Add to the traffic what has come and gone since the last time."""


@attrs.frozen
class Usage:
    """How much of a listener is used."""

    connections: int
    sessions: int
    most_connections: int
    most_sessions: int


@attrs.define
class Census:
    """`sessions` are by dialect and transport. `owed` is what all of them are owed, `most_owed` what the one is that is
    furthest behind.
    """

    sessions: Counter[tuple[str, ...]] = attrs.field(factory=Counter)
    owed: int = 0
    most_owed: int = 0


async def take(sessions: Collection[Counted]) -> Census:
    """Count all sessions, and have them account for themselves, while others get their turns."""
    census = Census()
    turn = perf_counter()
    for session in list(sessions):
        session.account()
        census.sessions[session.dialect, session.transport] += 1
        owed = 0 if session.outbox is None else session.outbox.owed
        if owed:
            census.owed += owed
            census.most_owed = max(census.most_owed, owed)
        turn = await turn_over(turn)
    return census


def sample(sessions: Collection[Counted], traffic: Traffic, *, deliveries: int) -> Sample:
    """Take what rates are made of."""
    for session in sessions:
        session.account()
    return Sample(
        at=time.monotonic(),
        deliveries=deliveries,
        sent_bytes=traffic.sent_bytes,
        received_bytes=traffic.received_bytes,
        opened=traffic.opened,
        closed=traffic.closed,
        errors=dict(traffic.errors),
    )
