"""The instruments: the statistics that the parts of the appliance keep anyway, and one reading of them.

Must not know how a reading is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.ops.metrics import process
from appliance.runtime import census

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    import trio

    from appliance.loading.ledger import PluginState
    from appliance.ops.metrics.process import Process
    from appliance.runtime.census import Census, Counted, Usage
    from appliance.runtime.flusher import Flusher
    from appliance.runtime.hub import Hub
    from appliance.runtime.intake import Intake
    from appliance.runtime.journal import Journal
    from appliance.runtime.readiness import Readiness
    from appliance.runtime.relief import Relief
    from appliance.runtime.status import Status
    from appliance.runtime.watchman import Watchman
    from appliance.settings.tree import Settings


@attrs.frozen(kw_only=True)
class Instruments:
    """The callables give what is so at the moment: `listeners` by their addresses, `addresses` how many clients come
    from and the most connections of one, `certificate` when it ends, `files`
    the bytes of the store's file and of its write-ahead log.
    """

    status: Status
    flusher: Flusher
    relief: Relief
    watchman: Watchman
    hub: Hub
    journal: Journal
    intake: Intake
    threads: trio.CapacityLimiter
    sessions: Callable[[], Collection[Counted]]
    listeners: Callable[[], Mapping[str, Usage]]
    addresses: Callable[[], tuple[int, int]]
    settings: Callable[[], Settings]
    plugins: Callable[[], Iterable[PluginState]]
    readiness: Callable[[], Readiness]
    certificate: Callable[[], float | None]
    files: Callable[[], tuple[int, int] | None]

    async def read(self) -> Reading:
        """Read what takes time, or is to be the same for several families."""
        counted = await census.take(self.sessions())
        return Reading(
            self,
            census=counted,
            process=await process.look(),
            listeners=self.listeners(),
            settings=self.settings(),
            store=self.journal.statistics(),
            files=self.files(),
        )


@attrs.frozen
class Reading:
    """What families are read from: the instruments themselves, and what was read of them before."""

    instruments: Instruments
    census: Census = attrs.field(kw_only=True)
    process: Process | None = attrs.field(kw_only=True)
    listeners: Mapping[str, Usage] = attrs.field(kw_only=True)
    settings: Settings = attrs.field(kw_only=True)
    store: Mapping[str, Any] = attrs.field(kw_only=True)
    files: tuple[int, int] | None = attrs.field(kw_only=True)
