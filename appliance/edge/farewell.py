"""The end of all sessions at a stop: each is handed what it is owed, told when to come back, and waited for.

Must not know why the appliance stops, nor what comes after.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from appliance.core.errors import ErrorCode
from appliance.edge.session import RESTART
from appliance.edge.surroundings import Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from appliance.edge.connection import Reception
    from appliance.edge.http.server import Server
    from appliance.edge.surroundings import Ongoing
    from appliance.settings.tree import StopSettings

_DRAINED_BY = 0.6
"""Share of the stop's deadline after which sessions are closed even though some are owed events."""
_SPOKEN_BY = 1.0
"""Seconds in which who came just before the stop can say what for, and be answered."""
_LOOK_AGAIN = 0.02
"""Seconds between two looks at who is still there."""


async def say_goodbye(
    reception: Reception,
    http: Server,
    settled: Callable[[], Awaitable[None]],
    *,
    stop: StopSettings,
    deadline: float,
) -> None:
    """Return when the last has gone, or at the deadline. `settled` returns once nobody is owed anything."""
    around, begun = reception.around, trio.current_time()
    around.admission.turn_away(stop.retry)  # of who was let in by the listener, and asks only now
    with trio.move_on_after(stop.deadline * _DRAINED_BY):
        await settled()
    ended: set[Ongoing] = set()
    _end(around.sessions, ended, stop)
    with trio.move_on_at(min(begun + _SPOKEN_BY, deadline)):
        await trio.lowlevel.checkpoint()  # who was let in last has not begun to arrive
        while reception.arriving:  # noqa: ASYNC110 - once in the process's life
            await trio.sleep(_LOOK_AGAIN)
    await http.stop()
    for scope in list(reception.arriving):
        scope.cancel()
    with trio.move_on_at(deadline):
        while around.admission.sessions:
            _end(around.sessions, ended, stop)  # admitted before, and there only now
            await trio.sleep(_LOOK_AGAIN)


def _end(sessions: Iterable[Ongoing], ended: set[Ongoing], stop: StopSettings) -> None:
    """End those that are not yet ended, each with another time to come back."""
    for session in set(sessions) - ended:
        ended.add(session)
        wait = random.random() * stop.retry  # noqa: S311 - to spread clients, no secret
        session.end(Ending(RESTART, ErrorCode.SERVER_RESTART, wait))
