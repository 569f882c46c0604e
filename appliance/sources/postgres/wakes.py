"""Wakes: notices of the database (LISTEN) that bring a look at a table forward. Nothing depends on their coming.

Must not know how connections are made, nor what is done at a wake.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Final

import structlog
import trio

from appliance.core.backoff import Backoff
from appliance.core.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from appliance.sources.postgres.link import Link

_log = structlog.get_logger()

_QUIET: Final = 60.0
"""Seconds of silence after which the server is asked whether it is still there."""
_BREATH: Final = 0.01
_FIRST: Final = 0.5
_MOST: Final = 30.0


class Wake:
    """What one listener waits on."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    async def wait(self) -> None:
        """Return when a notice came since the last wait, or when some may have been missed."""
        await self._rung.wait()
        self._rung = trio.Event()

    def ring(self) -> None:
        self._rung.set()


class Wakes:
    """All that listen in one database, on one connection.

    One of them reads it for all. When it leaves, another goes on with the same connection, or makes it anew where
    it was left with a question open. The last closes it.
    """

    def __init__(
        self,
        *,
        take: Callable[[], Awaitable[Link]],
        discard: Callable[[Link], Awaitable[None]],
        where: str,
    ) -> None:
        self._take = take
        self._discard = discard
        self._where = where
        self._listeners: dict[str, set[Wake]] = {}
        self._turn = trio.Lock()
        self._link: Link | None = None
        self._listened: set[str] = set()
        self._pause = trio.CancelScope()
        self._trouble: str | None = None
        self._backoff = Backoff(_FIRST, _MOST)

    @contextlib.asynccontextmanager
    async def listening(self, name: str) -> AsyncIterator[Wake]:
        wake = Wake()
        failure: Exception | None = None
        self._listeners.setdefault(name, set()).add(wake)
        self._pause.cancel()
        try:
            # Ends when the block does. What it raises goes around the nursery, which would make a group of it.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                try:
                    yield wake
                except Exception as error:  # noqa: BLE001 - raised again below
                    failure = error
                nursery.cancel_scope.cancel()
        finally:
            self._listeners[name].discard(wake)
            if not self._listeners[name]:
                del self._listeners[name]
            self._pause.cancel()
            if not self._listeners:
                await self._let_go()
        if failure is not None:
            raise failure

    async def _read(self) -> None:
        """Read notices, when it is one's turn."""
        async with self._turn:
            while True:
                try:
                    await self._follow()
                except SourceError as error:
                    self._note(str(error))
                    await self._let_go()
                    await trio.sleep(self._backoff.next(random.random()))  # noqa: S311 - jitter, not a secret

    async def _follow(self) -> None:
        """Ring for each notice, until the connection fails."""
        if self._link is not None and not self._link.usable:
            await self._let_go()
        if self._link is None:
            self._link = await self._take()
        link = self._link
        while True:
            name = self._changed()
            if name is None:
                with trio.move_on_after(_QUIET) as self._pause:
                    await link.wait_readable()
            elif name in self._listened:
                self._listened.discard(name)
                await link.fetch(f"UNLISTEN {_quoted(name)}")
            else:
                await link.fetch(f"LISTEN {_quoted(name)}")
                self._listened.add(name)
                # What was committed before is told to nobody.
                self._ring(name)
            heard = await link.heard()
            self._note(None)
            for noticed in heard:
                self._ring(noticed)
            if heard:
                # A flood of notices costs a round trip now and then, and not one each.
                await trio.sleep(_BREATH)

    def _changed(self) -> str | None:
        """A name that is to be listened to and is not yet, or no more."""
        return next(iter(self._listeners.keys() ^ self._listened), None)

    def _ring(self, name: str) -> None:
        for wake in self._listeners.get(name, ()):
            wake.ring()

    def _note(self, trouble: str | None) -> None:
        if trouble is None:
            self._backoff.reset()
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble is None:
            _log.info("notices come again", database=self._where)
        else:
            _log.warning(
                "no notices come",
                database=self._where,
                error=trouble,
                remedy="tables are looked at all the same",
            )

    async def _let_go(self) -> None:
        link, self._link = self._link, None
        self._listened.clear()
        if link is not None:
            await self._discard(link)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
