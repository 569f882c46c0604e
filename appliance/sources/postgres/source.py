"""The source `postgres`: each channel follows a table of its own, over connections that all share.

Must not know SQL. It has no tries of its own: what fails ends the producer, which is started again and goes on from
what was noted with the last rows that were told.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from appliance.sources.postgres.beginning import begin
from appliance.sources.postgres.examination import Examination, examine
from appliance.sources.postgres.paging import page
from appliance.sources.postgres.pool import Pool

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from appliance.api import Feed, Page, PageQuery
    from appliance.sources.postgres.settings import PostgresSettings, TableSettings
    from appliance.sources.postgres.wakes import Wake


class Postgres:
    """A database. Nothing is connected before somebody asks for rows."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._pool = Pool(settings)

    async def produce(self, feed: Feed, settings: TableSettings) -> None:
        """Publish the rows of a table until cancelled; SourceError says why there can be none."""
        async with self._pool.used(), self._woken(settings) as wake:
            async with self._pool.lend() as link:
                follower = await begin(link, feed, settings)
            woken = False
            while True:
                began = trio.current_time()
                async with self._pool.lend() as link:
                    await follower.poll(link, woken=woken)
                feed.ready()
                woken = await rest(began, settings.every, wake)

    async def page(self, channel: str, query: PageQuery, settings: TableSettings) -> Page:  # noqa: ARG002 - the interface of all sources
        """Rows of a table, newest first; RequestError says what is wrong with what a client gave.

        `since` is within, `until` is not.
        """
        async with self._pool.lend() as link:
            return await page(link, settings, query)

    async def examine(self, settings: TableSettings) -> Examination:
        """Look at a table without following it."""
        async with self._pool.lend() as link, self._woken(settings):
            return await examine(link, settings)

    def _woken(self, settings: TableSettings) -> AbstractAsyncContextManager[Wake | None]:
        if settings.notify is None:
            return contextlib.nullcontext()
        return self._pool.listening(settings.notify)


async def rest(began: float, every: float, wake: Wake | None) -> bool:
    """Wait until it is time, or a notice has come, and say which. The database rests as long as the last look took."""
    looked = trio.current_time()
    await trio.sleep(looked - began)
    with trio.move_on_at(began + every):
        if wake is not None:
            await wake.wait()
            return True
        await trio.sleep_forever()
    return False
