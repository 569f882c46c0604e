"""The heartbeat: one task that finds clients that have gone without a word, spread evenly over the interval.

Must not know wire protocols: a session is pinged and closed through callables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from appliance.core.liveness import Liveness, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

_BEATS = 64
"""Beats an interval: at each, one share of the sessions is looked at."""


class Patient(Protocol):
    """Whose pulse is felt."""

    @property
    def received(self) -> int:
        """Bytes received so far."""

    def ping(self) -> None: ...

    def gone(self) -> None:
        """The client has not answered: end its session."""


class Heartbeat:
    def __init__(self, *, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._shares: list[dict[Patient, Liveness]] = [{} for _ in range(_BEATS)]
        self._asked: dict[Patient, Liveness] = {}
        self._next = 0

    def watch(self, patient: Patient) -> Callable[[], None]:
        """Look after a session; call what is returned when it has ended."""
        share = self._shares[self._next]
        self._next = (self._next + 1) % _BEATS
        share[patient] = Liveness(heard=trio.current_time(), received=patient.received)

        def leave() -> None:
            share.pop(patient, None)
            self._asked.pop(patient, None)

        return leave

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        beat = 0
        while True:
            await trio.sleep(self._interval / _BEATS)
            beat = (beat + 1) % _BEATS
            now = trio.current_time()
            for patients in (self._shares[beat], self._asked):
                for patient, liveness in list(patients.items()):
                    self._judge(patient, liveness, now)

    def _judge(self, patient: Patient, liveness: Liveness, now: float) -> None:
        verdict = liveness.judge(patient.received, now, interval=self._interval, timeout=self._timeout)
        if verdict is Verdict.PING:
            self._asked[patient] = liveness
            patient.ping()
        elif verdict is Verdict.GONE:
            self._asked.pop(patient, None)
            patient.gone()
        elif liveness.asked is None:
            self._asked.pop(patient, None)
