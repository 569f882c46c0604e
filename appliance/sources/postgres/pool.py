"""The connections to one database: at most as many as the settings say, lent one task at a time.

Must not know what is asked over them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from appliance.core.errors import SourceError
from appliance.sources.postgres.access import place
from appliance.sources.postgres.link import Link
from appliance.sources.postgres.wakes import Wakes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from appliance.sources.postgres.settings import PostgresSettings
    from appliance.sources.postgres.wakes import Wake

_TO_LISTEN = 2


class Pool:
    """Connections are made when they are needed, and kept for the next task while anybody uses the pool.

    It has no tasks of its own: whoever uses it does the work.
    """

    def __init__(self, settings: PostgresSettings) -> None:
        self._settings = settings
        self._free: list[Link] = []
        self._places = trio.Semaphore(settings.connections)
        # A second thread for each link cancels what the first one waits for.
        self._threads = trio.CapacityLimiter(2 * settings.connections)
        self._wakes = Wakes(take=self._take, discard=self._discard, where=place(settings))
        self._users = 0

    @contextlib.asynccontextmanager
    async def used(self) -> AsyncIterator[None]:
        """Keep connections open between two calls of `lend`, for as long as anybody does so."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            await self.close_idle()

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Link]:
        """A link for this task alone, as soon as there is one; it is closed when anything in the block fails."""
        link = await self._take()
        try:
            yield link
        except BaseException:
            await self._discard(link)
            raise
        if self._users and link.alive:
            self._free.append(link)
            self._places.release()
        else:
            await self._discard(link)

    def listening(self, name: str) -> AbstractAsyncContextManager[Wake]:
        """Listen to notices of `name` for as long as the block runs. All that listen share one connection."""
        if self._settings.connections < _TO_LISTEN:
            raise SourceError(
                f"`notify` takes a connection for itself, and the source has {self._settings.connections};"
                f" set `connections` to {_TO_LISTEN} or more, or leave `notify` out"
            )
        return self._wakes.listening(name)

    async def close_idle(self) -> None:
        """Close the connections that nobody has, if nobody uses the pool."""
        while self._free and not self._users:
            try:
                self._places.acquire_nowait()
            except trio.WouldBlock:
                return  # somebody is about to take what is free
            await self._discard(self._free.pop())

    async def _take(self) -> Link:
        """A link, and its place. With the place one may have any free link, and only without these a new one."""
        await self._places.acquire()
        try:
            while self._free:
                link = self._free.pop()
                if link.alive:
                    return link
                await link.close()
            return await self._made()
        except BaseException:
            self._places.release()
            raise

    async def _made(self) -> Link:
        link = Link(self._settings, threads=self._threads)
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        return link

    async def _discard(self, link: Link) -> None:
        """Close it, and only then give its place to another."""
        try:
            await link.close()
        finally:
            self._places.release()
