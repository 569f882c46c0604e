"""Relief: ends those who are owed most, where more gathers for somebody, or for all, than may be, or memory is short.

Who takes what it is sent is owed nothing for long, and does not notice. Must not know how a session travels, nor how
memory is measured.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Final, Literal, Protocol

import attrs
import structlog
import trio

from appliance.core.errors import ErrorCode, RequestError
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.settings.limits import LimitSettings

_log = structlog.get_logger()

LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
_CALM: Final = 0.95
"""Share of the most memory, below which it is no longer short."""
_AT_ONCE: Final = 0.25
"""Share of those who could go that goes at most in one look: less may be enough than it seems."""
_SOONEST, _LATEST = 5.0, 15.0
"""Seconds between which who is ended is told to come back."""

Reason = Literal["owed", "memory"]


class Debtor(Protocol):
    """A session, or a connection, for which bytes of its own gather."""

    @property
    def owed_bytes(self) -> int:
        """Bytes that are held for it alone, and that its socket has not taken."""

    def expel(self, error: RequestError) -> None:
        """End, with these words as far as the client can hear them."""

    def cut(self) -> None:
        """Hold nothing for it any longer."""


@attrs.frozen
class Memory:
    """Bytes that the process holds, and the most that it may before something is done."""

    used: int
    most: int


class Relief:
    """`debtors` are those of the moment. `memory` says how it is, where that is known; `trim` gives back what is free,
    and `press` is told whether memory is short.
    """

    def __init__(
        self,
        debtors: Callable[[], Iterable[Debtor]],
        *,
        limits: Callable[[], LimitSettings],
        memory: Callable[[], Memory | None],
        trim: Callable[[], None],
        press: Callable[[bool], None],
    ) -> None:
        self._debtors = debtors
        self._limits = limits
        self._memory = memory
        self._trim = trim
        self._press = press
        self._before: dict[Debtor, int] = {}
        self._leaving: set[Debtor] = set()
        self._cut: set[Debtor] = set()
        self._is_trimmed = False
        self.owed = 0
        self.most_owed = 0
        self.memory: Memory | None = None
        self.pressed = False
        self.ended: Counter[Reason] = Counter()

    @property
    def problem(self) -> str | None:
        """Say that memory is short, if it is."""
        memory = self.memory
        if not self.pressed or memory is None:
            return None
        mebibytes = memory.used // 1024**2, memory.most // 1024**2
        return f"memory is short: {mebibytes[0]} MiB of {mebibytes[1]} MiB (limits.memory), nobody is let in"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self.look()
        task_status.started()
        while True:
            await trio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """See how much is owed and how much memory there is, and end who is to go."""
        owed, there, turn = {}, set(), perf_counter()
        for debtor in list(self._debtors()):
            there.add(debtor)
            if size := debtor.owed_bytes:
                owed[debtor] = size
            turn = await turn_over(turn)
        # The rest is done in one turn.
        self.owed, self.most_owed = sum(owed.values()), max(owed.values(), default=0)
        cut, self._leaving = self._leaving, set()
        for debtor in cut:
            debtor.cut()  # it has had the time of a look, and may still hold what it is owed
        self._cut = (self._cut | cut) & there
        staying = {debtor: size for debtor, size in owed.items() if debtor not in self._cut}
        self._settle_debts(staying)
        lagging = [debtor for debtor in staying if debtor in self._before]
        self._before = staying
        self._relieve(lagging, staying, waiting=bool(cut))

    def _settle_debts(self, owed: dict[Debtor, int]) -> None:
        limits, left = self._limits(), sum(owed.values())
        most = max(limits.owed_bytes, 2 * limits.burst)  # who asks for one answer is not ended for it
        for debtor, size in sorted(owed.items(), key=lambda each: each[1], reverse=True):
            if left > limits.owed_bytes_in_all:
                self._end(debtor, "owed", "owed_bytes_in_all")
                left -= size
            elif size <= most:
                return
            elif size >= self._before.get(debtor, math.inf):  # it has taken nothing of that
                self._end(debtor, "owed", "owed_bytes")
                left -= size

    def _relieve(self, lagging: Iterable[Debtor], owed: dict[Debtor, int], *, waiting: bool) -> None:
        """Where memory is short, end some of those who were owed something at the last look already, the worst first:
        not before those have gone who are going.
        """
        memory = self.memory = self._measured(waiting=waiting)
        busy = waiting or bool(self._leaving)
        worst = sorted(lagging, key=lambda debtor: owed[debtor], reverse=True)
        short = memory is not None and memory.used > memory.most
        calm = memory is None or memory.used < memory.most * _CALM
        # In between, all is done that can be; where there is nothing to be done, it has to be enough.
        pressed = short or (self.pressed and not calm and (busy or bool(worst)))
        if pressed != self.pressed:
            self.pressed = pressed
            self._press(pressed)
            tell = _log.warning if pressed else _log.info
            tell("memory is short" if pressed else "memory is no longer short", **_told(memory))
        if memory is None or not pressed or busy:
            return
        excess = memory.used - memory.most * _CALM
        for debtor in worst[: math.ceil(len(worst) * _AT_ONCE)]:
            if excess > 0:
                self._end(debtor, "memory", "memory")
                excess -= owed[debtor]
        if self._leaving:
            self._is_trimmed = False
            _log.warning("sessions ended for want of memory", ended=len(self._leaving), **_told(memory))

    def _measured(self, *, waiting: bool) -> Memory | None:
        """Say how memory is, once what was freed is given back."""
        memory = self._memory()
        if memory is None or memory.used <= memory.most * (_CALM if self.pressed else 1):
            self._is_trimmed = False
        elif not waiting and not self._is_trimmed:
            self._trim()
            self._is_trimmed = True
            memory = self._memory()
        return memory

    def _end(self, debtor: Debtor, reason: Reason, limit: str) -> None:
        self.ended[reason] += 1
        self._leaving.add(debtor)
        wait = random.uniform(_SOONEST, _LATEST)  # noqa: S311 - to spread clients, no secret
        problem = f"more is owed to this client than can be held for it (limits.{limit})"
        debtor.expel(RequestError(ErrorCode.SLOW_CLIENT, problem, retry_after=wait, limit=limit))


def _told(memory: Memory | None) -> dict[str, int]:
    return {} if memory is None else {"used": memory.used, "most": memory.most}
