"""The journal: events of durable channels are kept on disk before anybody is told of them, with what producers note.

Must not know how they are kept, nor who publishes. One task writes, a batch at a time: what comes meanwhile is the
next batch. So offsets are given when a batch is made, and are the same when its events enter their topics.

Producers do not wait for the disk. When nothing can be kept, what they publish is told all the same, and kept as soon
as that is possible; only who must know that an event is kept is refused.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
import structlog
import trio

from appliance.core.errors import StoreError
from appliance.core.histogram import Histogram
from appliance.core.kept import Batch, change
from appliance.runtime.backlog import Backlog
from appliance.runtime.numbering import Numbering
from appliance.runtime.turns import turn_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from appliance.core.history import Topic
    from appliance.core.kept import Kept, Record
    from appliance.loading.configured import Configured
    from appliance.runtime.hub import Hub, Prepared

_log = structlog.get_logger()

S = TypeVar("S")
T = TypeVar("T")

_MOST_AT_ONCE = 2_000
"""Events of one batch, which others wait for; more only where one publisher gives more."""
AGAIN = 1.0
"""Seconds between two tries to keep what could not be kept."""
SWEEP = 60.0
"""Seconds between two looks at what topics without events have let go of, for the disk to let go of it too."""
_ENDED = "the appliance is stopping"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Store(Protocol):
    """What keeps batches. Called in a thread, once at a time; raises StoreError.

    `identity` is that of its numbers, the newest of which is `number`. `sizes` are bytes: of its file, and of its log.
    """

    @property
    def identity(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def sizes(self) -> tuple[int, int]: ...

    def write(self, batch: Batch) -> None: ...

    def topics(self, channel: str) -> Sequence[Kept]: ...

    def state(self, channel: str) -> Mapping[str, Any]: ...

    def forget(self, channel: str) -> None: ...

    def fall_behind(self) -> None:
        """Take note that clients have been told what is not kept: should the process end now, their positions end."""

    def catch_up(self) -> None:
        """Take note that all is kept again."""


@attrs.frozen
class Place:
    """What an event became: an entry of a topic."""

    topic: str
    epoch: str
    offset: int


Places = tuple[tuple[Place, ...], ...]


@attrs.define(eq=False)
class _Entry:
    """What one publisher gives, until it is in its topics or refused."""

    events: Sequence[Prepared | None]
    channel: str = ""
    note: Mapping[str, Any] = _NOTHING
    noting: Callable[[Places], Mapping[str, Any]] | None = None
    must_be_kept: bool = False
    done: trio.Event = attrs.field(factory=trio.Event)
    places: Places = ()
    error: StoreError | None = None


class Journal:
    """`run` it where there is a store. `most_waiting`: events that may wait for the disk before publishers do."""

    def __init__(
        self,
        hub: Hub,
        store: Store | None = None,
        *,
        most_waiting: Callable[[], int] = lambda: _MOST_AT_ONCE,
        unusable: str | None = None,
    ) -> None:
        """`unusable` says why there is no store where there should be one."""
        self._hub = hub
        self._store = store
        self._most_waiting = most_waiting
        self._thread = trio.CapacityLimiter(1)
        self._durable: set[str] = set()
        self._unkept: dict[str, str] = {}
        self._stateful: set[str] = set()
        self._states: dict[str, dict[str, Any]] = {}
        self._firsts: dict[str, int] = {}
        self._waiting: deque[_Entry] = deque()
        self._events_waiting = 0
        self._room = trio.Event()
        self._more = trio.Event()
        self._writing = trio.Lock()
        self._backlog = Backlog(hub, most=most_waiting)
        self._again = self._sweep = 0.0
        self._ended = False
        self.failing = unusable
        """Why nothing can be kept at the moment."""
        self.writes = Histogram()
        """How long the store took to keep a batch."""

    def statistics(self) -> dict[str, Any]:
        return {
            "is_healthy": self.failing is None and not self._unkept,
            "reason": self.failing or next(iter(self._unkept.values()), None),
            "channels": sorted(self._durable | self._unkept.keys()),
            "kept": self._hub.number - self._backlog.events,
            "waiting": self._events_waiting,
            "behind": self._backlog.events,
        }

    async def adopt_state(self, name: str) -> Mapping[str, Any]:
        """Take up notes that are no channel's; gives those that are kept."""
        if self._store is not None:
            async with self._writing:
                change(self._states.setdefault(name, {}), await self._in_thread(self._store.state, name))
                self._stateful.add(name)
        return self.state(name)

    def keeps(self, channel: str) -> bool:
        """Whether what is published into a channel is to be kept."""
        return channel in self._durable

    def state(self, channel: str) -> Mapping[str, Any]:
        """Give what the producers of a channel have noted."""
        return MappingProxyType(self._states.setdefault(channel, {}))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep what is published until cancelled. Who waits then to know that something is kept, is refused."""
        task_status.started()
        try:
            while True:
                with trio.move_on_after(AGAIN if self._backlog else SWEEP if self._durable else math.inf):
                    await self._more.wait()
                self._more = trio.Event()
                while self._waiting or (self._backlog and self._is_due()) or self._is_sweeping():
                    async with self._writing:
                        with trio.CancelScope(shield=True):  # what is on disk must also be told
                            await self._keep(list(self._take()))
        finally:
            self._ended = True
            while self._waiting:
                self._refuse(self._waiting.popleft(), _ENDED)
            self._room.set()

    async def adopt(self, configured: Configured, opened: Callable[[], object]) -> None:
        """Take up a channel: `opened` opens it in the hub, where it goes on from what is kept of it."""
        name, store = configured.channel.name, self._store
        if store is None:
            opened()
            if configured.durable and self.failing:
                self._unkept[name] = self.failing
            return
        async with self._writing:
            if not configured.durable:
                await self._in_thread(store.forget, name)
                self._durable.discard(name)
                opened()
            elif name in self._durable:
                opened()
            else:
                try:
                    topics = await self._in_thread(store.topics, name)
                    state = await self._in_thread(store.state, name)
                except StoreError as error:
                    _log.error("nothing of a channel can be kept", channel=name, reason=str(error))
                    self._unkept[name] = str(error)
                    opened()
                    return
                opened()
                self._hub.restore(name, topics, time.time())
                self._states.setdefault(name, {}).update(state)
                for kept in topics:
                    self._firsts[kept.topic] = kept.entries[0].offset if kept.entries else kept.last + 1
                self._durable.add(name)

    async def publish(
        self, events: Sequence[Prepared | None], *, channel: str = "", note: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Publish all events, in their order, and change the state of a channel by a note.

        Waits for no disk, but for room where too many events wait for it already. Once it has begun, cancellation
        waits for it.
        """
        entry = _Entry(events, channel, note)
        if self._is_durable(entry):
            await self._hand_in(entry)
        with trio.CancelScope(shield=True):
            if not self._is_durable(entry):
                await self._enter(entry, time.time())
            change(self._states.setdefault(channel, {}), note)

    async def publish_kept(
        self,
        events: Sequence[Prepared | None],
        *,
        channel: str = "",
        noting: Callable[[Places], Mapping[str, Any]] | None = None,
    ) -> Places:
        """Publish all events once they are kept, or raise StoreError and publish none.

        Gives the places of each; None, an event that is left out, has none. `noting` gives what is to be noted of the
        places of those that are kept, with them.
        """
        for event in events:
            if event is not None and event.channel in self._unkept:
                raise StoreError(self._unkept[event.channel])
        entry = _Entry(events, channel, noting=noting, must_be_kept=True)
        if not self._is_durable(entry):
            with trio.CancelScope(shield=True):
                await self._enter(entry, time.time())
            return entry.places
        await self._hand_in(entry)
        with trio.CancelScope(shield=True):
            await entry.done.wait()
        if entry.error is not None:
            raise entry.error
        change(self._states.setdefault(channel, {}), entry.note)
        return entry.places

    async def settled(self) -> None:
        """Wait until all that was published is told."""
        while self._waiting:
            await self._waiting[-1].done.wait()
        async with self._writing:
            pass  # what was being written is told

    async def _hand_in(self, entry: _Entry) -> None:
        while self._waiting and self._events_waiting + len(entry.events) > self._most_waiting():
            await self._room.wait()
        if self._ended:
            self._refuse(entry, _ENDED)
            return
        self._waiting.append(entry)
        self._events_waiting += len(entry.events)
        self._more.set()

    async def _in_thread(self, work: Callable[[S], T], argument: S) -> T:
        return await trio.to_thread.run_sync(work, argument, limiter=self._thread)

    def _is_durable(self, entry: _Entry) -> bool:
        if entry.note and entry.channel in self._durable:
            return True
        return any(event is not None and event.channel in self._durable for event in entry.events)

    def _take(self) -> Iterator[_Entry]:
        """Take what waits, as far as it is one batch."""
        room = _MOST_AT_ONCE
        while self._waiting and room > 0:
            entry = self._waiting.popleft()
            room -= max(1, len(entry.events))
            self._events_waiting -= len(entry.events)
            yield entry
        self._room.set()
        self._room = trio.Event()

    async def _keep(self, entries: list[_Entry]) -> None:
        """Write what is to be published, then publish it."""
        received = time.time()
        batch = self._batch(entries, received)
        try:
            await self._write(batch)
        except StoreError as error:
            for entry in [entry for entry in entries if entry.must_be_kept]:
                self._refuse(entry, str(error))
                entries.remove(entry)
            batch = self._batch(entries, received)
            self._backlog.put_off(batch)
        self._firsts.update(batch.firsts)
        for entry in entries:
            await self._enter(entry, received)
            entry.done.set()

    def _is_sweeping(self) -> bool:
        return bool(self._durable) and self.failing is None and trio.current_time() >= self._sweep

    def _is_due(self) -> bool:
        """Whether it is time to try again what has failed."""
        return self.failing is not None and trio.current_time() >= self._again

    async def _write(self, batch: Batch) -> None:
        """Write what was put off before, and a batch; StoreError when that cannot be."""
        store = self._store
        assert store is not None  # noqa: S101 - else nothing is durable
        if self.failing is not None and not self._is_due():
            raise StoreError(self.failing)
        try:
            states = {name: self._states.get(name, {}) for name in self._durable | self._stateful}
            write, kept = partial(self._in_thread, store.write), partial(self._in_thread, store.state)
            await self._backlog.write(write, states=states, kept=kept)
            if batch.records or batch.states or batch.firsts:
                begun = perf_counter()
                await self._in_thread(store.write, batch)
                self.writes.observe(perf_counter() - begun)
        except StoreError as error:
            self._again = trio.current_time() + AGAIN
            if self.failing is None:
                _log.error("nothing can be kept, streaming goes on in memory", reason=str(error))
                await self._tell(store.fall_behind)
            self.failing = str(error)
            raise
        if self.failing is not None:
            self.failing = None
            _log.info("all is kept again")
            await self._tell(store.catch_up)

    async def _tell(self, change: Callable[[], None]) -> None:
        try:
            await trio.to_thread.run_sync(change, limiter=self._thread)
        except OSError as error:
            _log.warning(
                "the store cannot note whether it is behind",
                reason=str(error),
                remedy="if the appliance is killed now, let clients begin anew",
            )

    def _refuse(self, entry: _Entry, reason: str) -> None:
        """Publish nothing of it, and let topics go that were only made for that."""
        entry.error = StoreError(reason)
        entry.done.set()
        for topic in {topic for event in entry.events if event is not None for topic in event.topics}:
            self._hub.release(topic)

    def _batch(self, entries: Sequence[_Entry], received: float) -> Batch:
        numbering = Numbering(self._hub, received)
        states: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        for entry in entries:
            kept = [
                numbering.add(event) if event is not None and event.channel in self._durable else []
                for event in entry.events
            ]
            if entry.noting is not None:
                entry.note = entry.noting(tuple(tuple(map(_place, records)) for records in kept))
            if entry.note and entry.channel in self._durable | self._stateful:
                states[entry.channel].update(entry.note)
        topics: Iterable[Topic] = numbering.topics
        if self._is_sweeping():
            self._sweep = trio.current_time() + SWEEP
            topics = (topic for name in self._durable for topic in self._hub.matching(f"{name}:*"))
        known = self._firsts
        firsts = {each.name: each.first for each in topics if each.first > known.setdefault(each.name, 1)}
        return Batch(records=numbering.records, states=states, firsts=firsts)

    async def _enter(self, entry: _Entry, received: float) -> None:
        places: list[tuple[Place, ...]] = []
        turn = perf_counter()
        for event in entry.events:
            entered = []
            if event is not None:
                entered = self._hub.enter(event, received, kept=event.channel in self._durable)
            if entry.must_be_kept:  # nobody else asks for them
                places.append(tuple(Place(topic.name, topic.epoch, topic.last) for topic in entered))
            turn = await turn_over(turn)
        entry.places = tuple(places)


def _place(record: Record) -> Place:
    return Place(record.topic, record.epoch, record.entry.offset)
