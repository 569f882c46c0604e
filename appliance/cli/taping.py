"""`appliance record`: listens to an appliance until told to stop, and writes what it hears on a tape.

Must not know the stream, nor the tape's form. Each break is followed by another try, from where the last one ended.
"""

from __future__ import annotations

import math
import random
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from appliance.cli.hearing import Hearing
from appliance.cli.listening import Lost, Refused, listen
from appliance.core.backoff import Backoff
from appliance.runtime.supervisor import leaves
from appliance.sources.tapes import lines
from appliance.sources.tapes.spool import Spool
from appliance.sources.tapes.writing import Tape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.cli.listening import Listening, Target

WITH_GAPS = 3
"""Exit status when the tape is good, and does not have all that was published."""

_FIRST, _LONGEST = 1.0, 30.0
"""Seconds between two tries to connect."""


@attrs.frozen(kw_only=True)
class Request:
    """What is to be recorded, and where."""

    target: Target
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    path: Path
    append: bool = False
    seconds: float | None = None
    every: float = 5.0
    """Seconds between two writes: what a crash can take."""


def record(request: Request, *, tell: Callable[[str], object], count: Callable[[int], object]) -> int:
    """Record until it is time, or a signal comes; give the exit status. `count` is told how many events are new.

    SourceError says why nothing can be heard, StoreError why nothing can be written.
    """
    recording = _Recording(request, tell, count)
    try:
        trio.run(recording.run)
    except BaseExceptionGroup as group:
        raise leaves(group)[0] from None
    return recording.sum_up()


@attrs.define(eq=False)
class _Recording:
    request: Request
    tell: Callable[[str], object]
    count: Callable[[int], object]
    hearing: Hearing = attrs.field(init=False)
    tape: Tape | None = None
    place: str | None = None
    spool: Spool = attrs.field(init=False)
    everything: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def __attrs_post_init__(self) -> None:
        self.spool = Spool(self.request.every)
        self.hearing = Hearing(self.tell, self.request.left_out)

    async def run(self) -> None:
        try:
            with self.everything:
                async with trio.open_nursery() as nursery:  # ends at a signal, in time, or by a failure
                    await nursery.start(self._watch_signals)
                    nursery.start_soon(self._write_on)
                    nursery.start_soon(self._listen_on)
        finally:
            if self.tape is not None:
                with self.tape, trio.CancelScope(shield=True):
                    await self._write(self.tape)

    def sum_up(self) -> int:
        hearing, gaps = self.hearing, self.hearing.gaps
        size = 0 if self.tape is None else self.tape.size
        self.tell(
            f"{self.request.path}: {hearing.events:,} events of {hearing.topics:,} topics, {size:,} bytes"
        )
        if gaps:
            self.tell(f"the tape has {gaps:,} gap{'' if gaps == 1 else 's'}")
        return WITH_GAPS if gaps else 0

    async def _watch_signals(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            await anext(aiter(signals))
            self.everything.cancel()

    async def _listen_on(self) -> None:
        backoff = Backoff(_FIRST, _LONGEST)
        while True:
            try:
                async with listen(self.request.target, self.request.names, self.place) as listening:
                    await self._begin(listening)
                    while True:
                        await self._take(listening)
                        backoff.reset()
            except (Lost, Refused) as error:
                # A topic may be unknown for a while when the appliance has begun anew.
                if self.tape is None or (isinstance(error, Refused) and not error.unknown):
                    raise
                retry_after = error.retry_after if isinstance(error, Lost) else 0.0
                wait = max(retry_after, backoff.next(random.random()))  # noqa: S311 - jitter, not a secret
                self.tell(f"{error}; again in {wait:.0f} s")
            await trio.sleep(wait)

    async def _begin(self, listening: Listening) -> None:
        request = self.request
        if self.tape is None:
            self.hearing.since = listening.since or time.time()
            self.tape = await trio.to_thread.run_sync(partial(Tape, request.path, append=request.append))
            # Only now, for how long it took to connect is no part of what was asked for.
            self.everything.deadline = trio.current_time() + (request.seconds or math.inf)
            if self.tape.cut:
                self.tell(
                    f"{request.path}: {self.tape.cut:,} bytes at its end were not finished, and are cut off"
                )
        self.tell(f"recording {', '.join(request.names)} from {request.target}")

    async def _take(self, listening: Listening) -> None:
        now, before = time.time(), self.hearing.events
        for told in await listening.next():
            taped = self.hearing.hear(told.text, now)
            if taped is not None:
                await self.spool.put(lines.write(taped))
            self.place = told.place or self.place
        self.count(self.hearing.events - before)

    async def _write_on(self) -> None:
        while True:
            await self.spool.due()
            if self.tape is not None:
                await self._write(self.tape)

    async def _write(self, tape: Tape) -> None:
        if self.spool:
            _, waiting = self.spool.first()
            await trio.to_thread.run_sync(tape.keep, waiting)
            self.spool.written(waiting)
