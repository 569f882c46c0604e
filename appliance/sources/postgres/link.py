"""A connection to the database as tasks use it: each call runs in a thread, and ends at once when it is cancelled.

Must not know the protocol, nor who shares the connection.
"""

from __future__ import annotations

import contextlib
import select
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from appliance.sources.postgres import faults
from appliance.sources.postgres.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.sources.postgres.settings import PostgresSettings

T = TypeVar("T")

_MORE = 1.0  # seconds after which the connection's own deadline has certainly passed
_FAREWELL = 2.0
_HASTE = 0.5


class Link:
    """One connection. A call that fails or is cancelled closes it.

    It serves one task at a time. `threads` bounds the threads of all links that share it.
    """

    def __init__(self, settings: PostgresSettings, *, threads: trio.CapacityLimiter) -> None:
        self._connection = Connection(settings)
        self._settings = settings
        self._threads = threads
        self._version = 0
        self._cancelled = False

    @property
    def version(self) -> int:
        """The server's `server_version_num`: 160003 for 16.3."""
        return self._version

    async def open(self) -> None:
        with trio.move_on_after(self._settings.connect_timeout + _MORE) as scope:
            await self._call(self._connection.open, patience=_HASTE)
        if scope.cancelled_caught:
            raise faults.unreachable(TimeoutError(), self._settings)
        self._version = self._connection.version

    async def fetch(self, sql: str, *params: str | None) -> list[list[Any]]:
        """Run one statement, whose $1, $2… are given as text, and give its rows."""
        return await self._call(partial(self._connection.run, sql, params))

    async def heard(self) -> set[str]:
        """The names that notices have come for since the last call. Shows too that the server answers."""
        return await self._call(self._connection.heard)

    async def wait_readable(self) -> None:
        """Wait until the server sends something unasked; at once when it has hung up."""
        opened = self._connection.opened
        if opened is None:
            raise faults.lost(ConnectionError(), self._settings)
        await trio.lowlevel.wait_readable(opened)

    @property
    def usable(self) -> bool:
        """Whether no call has failed or was cancelled."""
        return self._connection.opened is not None and not self._cancelled

    @property
    def alive(self) -> bool:
        """Whether it is usable and the server has not hung up; for a link on which nothing is expected."""
        opened = self._connection.opened
        if opened is None or self._cancelled:
            return False
        poll = select.poll()
        poll.register(opened, select.POLLIN)
        return not poll.poll(0)

    async def close(self) -> None:
        """End it, and give the server a little time to let go of it; cancellation waits as long."""
        with trio.move_on_after(_FAREWELL, shield=True):
            await self._call(self._connection.close)

    async def _call(self, work: Callable[[], T], *, patience: float = _FAREWELL) -> T:
        """Run in a thread. When cancelled, have the server give up too, and wait for that with some patience:
        the place that the connection has there is free when this ends.
        """
        ended = trio.Event()
        tell = trio.lowlevel.current_trio_token().run_sync_soon
        begun = False

        def run() -> T:
            nonlocal begun
            begun = True
            try:
                return work()
            finally:
                with contextlib.suppress(trio.RunFinishedError):
                    tell(ended.set)

        try:
            return await trio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._threads)
        except trio.Cancelled:
            self._cancelled = True
            with trio.move_on_after(patience, shield=True):
                # One that looks for the address of a host cannot be waited for, and has nothing to lose.
                if begun and self._connection.opened is not None:
                    await self._interrupt()
                    await ended.wait()
            if not ended.is_set():
                self._connection.sever()
            raise

    async def _interrupt(self) -> None:
        cancel = self._connection.cancel
        await trio.to_thread.run_sync(cancel, abandon_on_cancel=True, limiter=self._threads)
