"""A table that a test follows by hand: polls one by one, into a feed in memory that may die at any instant."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec
import trio

from appliance.api import Mode
from appliance.sources.postgres.beginning import Follower, begin
from appliance.sources.postgres.link import Link
from appliance.sources.postgres.settings import PostgresSettings, TableSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from appliance.api import Row
    from tests.postgres import Fresh

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Died(Exception):  # noqa: N818 - what happened to the appliance, not an error of it
    """The appliance was killed."""


@attrs.define
class Log:
    """Keeps warnings."""

    warnings: list[dict[str, Any]] = attrs.field(factory=list)

    def warning(self, event: str, **fields: Any) -> None:
        self.warnings.append({"event": event, **fields})


@attrs.frozen
class Event:
    key: str
    data: dict[str, Any]
    at: float | None
    body: bytes


@attrs.define
class Disk:
    """What is there after a kill: events and notes, as JSON has them."""

    state: dict[str, Any] = attrs.field(factory=dict)
    events: list[Event] = attrs.field(factory=list)

    def told(self, field: str) -> list[Any]:
        """A field of each event's data, in the order in which they were told."""
        return [event.data[field] for event in self.events]


@attrs.define
class MemoryFeed:
    """Keeps rows and note together or not at all; `dies` says at which call, and on which side of it, the end comes."""

    disk: Disk = attrs.field(factory=Disk)
    mode: Mode = Mode.LOG
    dies: Callable[[int], Literal["before", "after"] | None] = lambda _: None
    channel: str = "rows"
    log: Any = attrs.field(factory=Log)
    calls: int = 0
    readiness: trio.Event = attrs.field(factory=trio.Event)
    told: trio.Event = attrs.field(factory=trio.Event)

    @property
    def state(self) -> Mapping[str, Any]:
        return self.disk.state

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        self.calls += 1
        death = self.dies(self.calls)
        events = []
        for row in rows:
            body = _encode(row.data)
            events.append(Event(row.key, msgspec.json.decode(body), row.at, body))
            await trio.lowlevel.cancel_shielded_checkpoint()
        changes = json.loads(json.dumps(note or {}))
        if death == "before":
            raise Died
        self.disk.events += events
        for name, value in changes.items():
            if value is None:
                self.disk.state.pop(name, None)
            else:
                self.disk.state[name] = value
        self.told.set()
        self.told = trio.Event()
        if death == "after":
            raise Died

    def ready(self) -> None:
        self.readiness.set()


class RecordedLink(Link):
    """A link that keeps what was asked."""

    statements: list[str]
    values: list[tuple[str | None, ...]]

    async def fetch(self, sql: str, *params: str | None) -> list[list[Any]]:
        self.statements.append(sql)
        self.values.append(params)
        return await super().fetch(sql, *params)


def address(fresh: Fresh, **changes: Any) -> PostgresSettings:
    said = {"socket": str(fresh.server.socket), "port": fresh.server.port, "database": fresh.name}
    return PostgresSettings(**{**said, **changes})


@contextlib.asynccontextmanager
async def linked(fresh: Fresh) -> AsyncIterator[RecordedLink]:
    link = RecordedLink(address(fresh), threads=trio.CapacityLimiter(2))
    link.statements, link.values = [], []
    await link.open()
    try:
        yield link
    finally:
        await link.close()


class Following:
    """A producer that a test polls, and ends and starts again."""

    def __init__(self, link: RecordedLink, feed: MemoryFeed, settings: TableSettings) -> None:
        self.link = link
        self.feed = feed
        self.settings = settings
        self._follower: Follower | None = None

    async def poll(self, *, woken: bool = False) -> list[dict[str, Any]]:
        """Look once, at the first time after beginning; gives the data of what was told."""
        before = len(self.feed.disk.events)
        if self._follower is None:
            self._follower = await begin(self.link, self.feed, self.settings)  # type: ignore[arg-type] # as much of a feed as it takes
        self.link.statements.clear()
        await self._follower.poll(self.link, woken=woken)
        return [event.data for event in self.feed.disk.events[before:]]

    def restart(self, **changes: Any) -> None:
        """Forget all but what is on disk."""
        self._follower = None
        self.feed = attrs.evolve(self.feed, calls=0, dies=lambda _: None)
        self.settings = attrs.evolve(self.settings, **changes)

    def kill_at(self, call: int, side: Literal["before", "after"]) -> None:
        """End it at one of the next calls of `publish_all`."""
        self.feed.calls = 0
        self.feed.dies = lambda number: side if number == call else None


@contextlib.asynccontextmanager
async def following(fresh: Fresh, mode: Mode = Mode.LOG, **settings: Any) -> AsyncIterator[Following]:
    said = {"table": "rows", "key": "symbol", "time": "time"}
    if "query" in settings:
        del said["table"]
    table = TableSettings(**{**said, **settings})
    async with linked(fresh) as link:
        yield Following(link, MemoryFeed(mode=mode), table)


TABLE = """
CREATE TABLE rows (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  time timestamptz NOT NULL DEFAULT now(),
  symbol text, price numeric
);
CREATE INDEX ON rows (time, id);
"""
NUMBERED = f"""
{TABLE}
ALTER TABLE rows ADD COLUMN xid xid8 DEFAULT pg_current_xact_id();
CREATE INDEX ON rows (xid, id);
"""
