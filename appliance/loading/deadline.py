"""Calls a plugin's code in a thread, and gives up on it when it takes too long.

Must not know what is called. A loop without end cannot be cancelled; it is interrupted, as Ctrl-C would. One that was
left to itself would slow down the whole process, for it shares the interpreter with everything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_AGAIN = 0.05
"""Seconds until a thread that was interrupted, and has not ended, is interrupted again."""
_TIMES = 20


class TooLongError(Exception):
    """It took longer than it may. `ended` says whether its thread has ended, or still runs."""

    def __init__(self, *, ended: bool) -> None:
        super().__init__("it took too long")
        self.ended = ended


class _Interrupted(BaseException):
    """Raised inside the thread."""


@attrs.define(eq=False)
class _Call(Generic[T]):
    work: Callable[[], T]
    done: trio.Event = attrs.field(factory=trio.Event)
    results: list[T] = attrs.field(factory=list)
    errors: list[BaseException] = attrs.field(factory=list)
    lock: threading.Lock = attrs.field(factory=threading.Lock)
    running: bool = False
    given_up: bool = False

    def run(self, token: trio.lowlevel.TrioToken) -> None:
        with contextlib.suppress(_Interrupted, trio.RunFinishedError):
            try:
                with self.lock:
                    self.running = not self.given_up
                if self.running:
                    self.results.append(self.work())
            except _Interrupted:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whoever waits gets it, whatever it is
                self.errors.append(error)
            except BaseException as error:  # noqa: BLE001 - it would end whoever waits, Ctrl-C for one
                self.errors.append(RuntimeError(f"raised {error!r}"))
            finally:
                with self.lock:
                    self.running = False
                token.run_sync_soon(self.done.set)

    def interrupt(self, thread: threading.Thread) -> None:
        with self.lock:
            self.given_up = True
            # Under the lock, for around it the thread is not in the plugin's code.
            if self.running and thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident), ctypes.py_object(_Interrupted)
                )

    def given(self) -> T:
        for error in self.errors:
            raise error
        return self.results[0]


async def call(work: Callable[[], T], *, seconds: float) -> T:
    """Give what `work` gives, or raise what it raises; TooLongError when it has not ended in time."""
    this = _Call(work)
    token = trio.lowlevel.current_trio_token()
    thread = threading.Thread(target=this.run, args=(token,), name="plugin", daemon=True)
    thread.start()
    try:
        with trio.move_on_after(seconds):
            await this.done.wait()
            return this.given()
        for _ in range(_TIMES):
            this.interrupt(thread)
            await trio.sleep(_AGAIN)
            if not thread.is_alive():
                break
    finally:
        this.interrupt(thread)  # nobody waits any more when this was cancelled
    raise TooLongError(ended=not thread.is_alive())
