"""A template: a process that has loaded what others stand on, and is copied for each of them, which takes a moment.

Must not know what they do; `copying` is the other end. It is started when it is asked for and not there, and ends with
us, or when nobody has asked for a while.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Final

import attrs
import trio

from appliance.loading.copying import ORDER, kill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST: Final = 64
"""Bytes of what is told of a copy, and more."""
_PATIENCE: Final = 5.0
"""Seconds that a template may take to end a copy: after them, both are ended from here."""


class Copy:
    """A process with its standard input, output and error. `status` is as of `subprocess`: None while it runs, and
    where the template has ended before it.
    """

    def __init__(self, line: socket.socket, *standard: int, forsake: Callable[[], object]) -> None:
        line.settimeout(0.0)
        self._forsake = forsake
        self._line = trio.socket.from_stdlib_socket(line)
        self._told = b""
        self.stdin, self.stdout, self.stderr = map(trio.lowlevel.FdStream, standard)

    @property
    def status(self) -> int | None:
        status, end, _ = self._told.partition(b"\n")[2].partition(b"\n")
        return int(status) if end else None

    @property
    def _number(self) -> int:
        return int(self._told.partition(b"\n")[0])

    async def begun(self) -> bool:
        """Wait until it is there; false, where the template has ended before. Raise OSError where there can be none."""
        while b"\n" not in self._told:
            if not await self._hear():
                return False
        if self._number < 0:
            raise OSError(-self._number, os.strerror(-self._number))
        return True

    async def wait(self) -> None:
        """Wait until it has ended, or the template has."""
        while self.status is None and await self._hear():
            pass

    def stop(self) -> None:
        """End it, and all that it has started, unless it has ended."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)

    async def end(self) -> None:
        """See to it that it has ended, and close what leads to it."""
        self.stop()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _PATIENCE):
            await self.wait()
        if self.status is None:
            self._forsake()
            kill(self._number)
        self.close()

    def close(self) -> None:
        self._line.close()
        for pipe in (self.stdin, self.stdout, self.stderr):
            pipe.close()

    async def _hear(self) -> bool:
        try:
            told = await self._line.recv(_MOST)
        except OSError:
            return False
        self._told += told
        return bool(told)


class Template:
    """One for all who need copies of the same, or of what another command starts, one after the other."""

    def __init__(self) -> None:
        self._running: _Running | None = None
        self._starting = trio.Lock()

    async def copy(self, command: tuple[str, ...], environment: Mapping[str, str]) -> Copy:
        """Give a new process of what is started by a command that ends in `copying.serve`, in this environment if it is
        not there. Raise OSError where there can be none.
        """
        for _ in range(2):  # it may have ended meanwhile, for nobody had asked it for long
            running = await self._get(command, environment)
            try:
                if (copy := await running.copy()) is not None:
                    return copy
            except trio.Cancelled:
                running.kill()  # it was waited for in vain
                await self._leave(running)
                raise
            await self._leave(running)
        raise BrokenPipeError(errno.EPIPE, "what is to start it ends by itself")

    async def _get(self, command: tuple[str, ...], environment: Mapping[str, str]) -> _Running:
        async with self._starting:
            if self._running is not None and self._running.command != command:
                await self._leave(self._running)
            if self._running is None:
                self._running = await _started(command, environment)
            return self._running

    async def _leave(self, running: _Running) -> None:
        """Ask it no more, and let it end."""
        if self._running is running:
            self._running = None
        await running.end()


@attrs.define(eq=False)
class _Running:
    """A template that has been started."""

    command: tuple[str, ...]
    _process: trio.Process
    _orders: socket.socket

    async def copy(self) -> Copy | None:
        """Give a new process, or None where the template has ended."""
        try:
            copy = self._asked()
        except BrokenPipeError:
            return None
        try:
            if await copy.begun():
                return copy
        except BaseException:
            copy.close()
            raise
        copy.close()
        return None

    def kill(self) -> None:
        self._process.kill()

    async def end(self) -> None:
        """It ends once its copies have."""
        self._orders.close()
        with trio.CancelScope(shield=True):
            await self._process.wait()

    def _asked(self) -> Copy:
        """Ask for a copy: it gets the far ends, and the near ones are ours."""
        with contextlib.ExitStack() as far, contextlib.ExitStack() as near:
            ours: list[int] = []
            theirs: list[int] = []
            for sides in ((far, near), (near, far), (near, far)):
                for end, side in zip(os.pipe(), sides, strict=True):
                    side.callback(os.close, end)
                    (ours if side is near else theirs).append(end)
            line, other = socket.socketpair()
            near.callback(line.close)
            with other:
                socket.send_fds(self._orders, [ORDER], [*theirs, other.fileno()])
            copy = Copy(line, *ours, forsake=self.kill)
            near.pop_all()
            return copy


async def _started(command: tuple[str, ...], environment: Mapping[str, str]) -> _Running:
    orders, theirs = socket.socketpair()
    with contextlib.ExitStack() as undo, theirs:
        undo.callback(orders.close)
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        undo.pop_all()
    orders.settimeout(0.0)
    trio.lowlevel.spawn_system_task(process.wait)  # nothing is left of it when it ends by itself
    return _Running(command, process, orders)
