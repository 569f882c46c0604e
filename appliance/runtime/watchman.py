"""The watchman: a thread that sees when a plugin keeps the loop to itself, and interrupts it where it stands.

A task that never waits cannot be cancelled. But a signal's function runs between two steps of Python, and what it
raises is raised there: in the plugin's own code, never amid that of trio or of the appliance, which may return first.
So an endless loop ends, and a call that sleeps returns. What holds the interpreter itself, in C, can only be waited
for: the log says so.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

import structlog
import trio

from appliance.core.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_log = structlog.get_logger()

_SIGNAL = signal.SIGURG
"""Which nothing else here uses, and whoever gets it unasked may pass over."""
_BEAT = 0.05
"""Seconds between two signs of life of the loop."""
_AGAIN = 0.02
"""Seconds between two attempts at an interruption: the plugin may be within a call that must not be interrupted."""
_OURS = ("trio", "appliance", "outcome", "structlog")


class BlockedError(BaseException):
    """Raised within a plugin that has kept the loop to itself. It is no Exception, lest `except Exception` hide it."""


class Watchman:
    """`patience` gives the seconds for which the loop may stand still, `is_plugin` tells a plugin's module by its name.

    To be run in the main thread.
    """

    def __init__(self, *, patience: Callable[[], float], is_plugin: Callable[[str], bool]) -> None:
        self._patience = patience
        self._is_plugin = is_plugin
        self._turned = time.monotonic()
        self._told = False
        self._stopped = threading.Event()
        self.delays = Histogram()
        """How much later than it asked for the loop has given it its turns."""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        before = signal.signal(_SIGNAL, self._interrupt)
        thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="watchman", daemon=True
        )
        self._turned = time.monotonic()
        thread.start()
        try:
            task_status.started()
            while True:
                self._turned, self._told = time.monotonic(), False
                await trio.sleep(_BEAT)
                self.delays.observe(max(0.0, self._late))
        finally:
            self._stopped.set()
            signal.signal(_SIGNAL, before)

    @property
    def _late(self) -> float:
        return time.monotonic() - self._turned - _BEAT

    def _watch(self, main: int) -> None:
        """In a thread: knock when the loop stands still."""
        while not self._stopped.wait(max(_AGAIN, self._patience() - self._late)):
            if self._late >= self._patience():
                signal.pthread_kill(main, _SIGNAL)
                self._tell(main)

    def _tell(self, main: int) -> None:
        """Say it once for each standstill: a call in C may not let the signal's function run."""
        if self._told or self._late < 2 * self._patience():
            return
        self._told = True
        frame = sys._current_frames().get(main)  # noqa: SLF001 - the only way to see another thread
        _log.error(
            "the loop stands still",
            seconds=round(self._late, 1),
            within=self._place(frame),
            remedy="let a plugin do what blocks in `await feed.blocking(...)`",
        )

    def _interrupt(self, _number: int, frame: FrameType | None) -> None:
        """In the main thread, wherever it is."""
        within_ours = False
        while frame is not None and self._late >= self._patience():
            name = str(frame.f_globals.get("__name__", ""))
            if not self._is_plugin(name):
                within_ours = within_ours or name.partition(".")[0] in _OURS
                frame = frame.f_back
            elif within_ours:
                self._wait_for(frame)
                return
            else:
                raise self._error(frame)

    def _wait_for(self, frame: FrameType) -> None:
        """Interrupt a plugin at its next line, when what it has called returns."""
        if sys.gettrace() is not None:
            return  # somebody debugs, and can see for himself

        def spring(at: FrameType, _event: str, _argument: object) -> None:
            sys.settrace(None)
            if self._late >= self._patience():
                raise self._error(at)

        frame.f_trace = spring
        sys.settrace(_trace_nothing)

    def _place(self, frame: FrameType | None) -> str:
        """Name the innermost line of a plugin, or of whatever it is."""
        innermost = frame
        while frame is not None and not self._is_plugin(str(frame.f_globals.get("__name__", ""))):
            frame = frame.f_back
        at = frame or innermost
        return "nowhere" if at is None else f"{at.f_code.co_filename}:{at.f_lineno}"

    def _error(self, frame: FrameType) -> BlockedError:
        return BlockedError(
            f"{frame.f_code.co_filename}:{frame.f_lineno}: kept the loop to itself for {self._late:.1f} s: "
            "wait with trio, or do what blocks in `await feed.blocking(...)`"
        )


def _trace_nothing(_frame: FrameType, _event: str, _argument: object) -> None:
    """Take no interest in what is called: only a frame that has a function of its own is traced."""
