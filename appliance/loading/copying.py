"""The other end of a template: a process that forks a copy of itself for whoever asks, and tells how each has ended.

Must not know what the copies do. It ends with who asks, or when nobody has for a while.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import selectors
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ORDER: Final = b"\n"
"""Asks for a copy. With it come what are to be its standard input, output and error, and the line that tells of it."""
_FILES: Final = 4


def serve(work: Callable[[], object], *, idle: float) -> None:
    """Take orders on standard input, until it ends or nobody has asked for so many seconds. Each copy does the work.

    The line of a copy is told its number, or as a negative one why there is none, and its status once it has ended. A
    copy is ended, with all that it has started, when the other end of its line is shut.
    """
    with socket.socket(fileno=os.dup(0)) as orders:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        _Copying(orders, work).run(idle)


def kill(copy: int) -> None:
    """End a copy, and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(copy, signal.SIGKILL)  # it may not be the head of its group yet
    _kill_rest(copy)


def _kill_rest(copy: int) -> None:
    """End what a copy has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(copy, signal.SIGKILL)


class _Copying:
    def __init__(self, orders: socket.socket, work: Callable[[], object]) -> None:
        self._orders: socket.socket | None = orders
        self._work = work
        self._lines: dict[int, socket.socket] = {}
        self._selector = selectors.PollSelector()  # has no file that a copy would have, too
        self._woken, waking = socket.socketpair()
        self._waking = waking
        waking.settimeout(0.0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        self._selector.register(orders, selectors.EVENT_READ, self._obey)
        self._selector.register(self._woken, selectors.EVENT_READ, self._tell)

    def run(self, idle: float) -> None:
        while self._orders is not None or self._lines:
            ready = self._selector.select(None if self._lines else idle)
            if not ready:
                return
            for key, _ in ready:
                key.data()

    def _obey(self) -> None:
        """Make a copy, or see that nobody is left to ask for one."""
        assert self._orders is not None  # noqa: S101 - it is looked at no longer, otherwise
        order, files, _, _ = socket.recv_fds(self._orders, len(ORDER), _FILES)
        if not order:
            self._selector.unregister(self._orders)
            self._orders = None
            return
        *standard, number = files
        line = socket.socket(fileno=number)
        try:
            copy = os.fork()
        except OSError as error:
            copy = -(error.errno or errno.EAGAIN)
        if not copy:
            self._be_copy(standard, line)
        for file in standard:
            os.close(file)
        _say(line, copy)
        if copy < 0:
            line.close()
            return
        self._lines[copy] = line
        self._selector.register(line, selectors.EVENT_READ, lambda: self._end(copy))

    def _end(self, copy: int) -> None:
        if copy in self._lines:
            self._selector.unregister(self._lines[copy])
            kill(copy)

    def _tell(self) -> None:
        """Tell of the copies that have ended; what they have started ends, too."""
        self._woken.recv(4_096)
        for copy, line in list(self._lines.items()):
            ended, status = os.waitpid(copy, os.WNOHANG)
            if ended:
                _kill_rest(copy)
                with contextlib.suppress(KeyError):
                    self._selector.unregister(line)
                del self._lines[copy]
                with line:
                    _say(line, os.waitstatus_to_exitcode(status))

    def _be_copy(self, standard: Sequence[int], line: socket.socket) -> None:
        """Be as a process that has just been started."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, file in enumerate(standard):
                os.dup2(file, number)
                os.close(file)
            for each in (self._orders, self._woken, self._waking, line, *self._lines.values()):
                if each is not None:
                    each.close()
            importlib.invalidate_caches()
            self._work()
        except BaseException:  # noqa: BLE001 - nothing may get back to where copies are made
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)


def _say(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        line.sendall(b"%d\n" % number)
