"""The backlog: what clients have been told while nothing could be kept, and what is to be kept as soon as it can be.

Must not know the store. It holds so many events; when there are more, all that the topics still have takes their place.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from appliance.core.kept import Batch, Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.runtime.hub import Hub


class Backlog:
    """`most` gives the events that it holds."""

    def __init__(self, hub: Hub, *, most: Callable[[], int]) -> None:
        self._hub = hub
        self._most = most
        self._batches: deque[Batch] = deque()
        self._overflowed = False
        self.events = 0

    def __bool__(self) -> bool:
        return self._overflowed or bool(self._batches)

    def put_off(self, batch: Batch) -> None:
        if not (batch.records or batch.states):
            return
        self.events += len(batch.records)
        if not self._overflowed:
            self._batches.append(batch)
        if self.events > self._most():
            self._batches.clear()
            self._overflowed = True

    async def write(
        self,
        write: Callable[[Batch], Awaitable[object]],
        *,
        states: Mapping[str, Mapping[str, Any]],
        kept: Callable[[str], Awaitable[Mapping[str, Any]]],
    ) -> None:
        """Write all that was put off, in its order, until `write` raises.

        `states` are those of the channels now, `kept` gives what is kept of one.
        """
        while self._batches:
            await write(self._batches[0])
            self.events -= len(self._batches.popleft().records)
        if self._overflowed:
            for channel, now in states.items():
                gone = dict.fromkeys(name for name in await kept(channel) if name not in now)
                await write(Batch(records=self._all_of(channel), states={channel: {**gone, **now}}))
            self._overflowed, self.events = False, 0

    def _all_of(self, channel: str) -> list[Record]:
        topics = self._hub.matching(f"{channel}:*")
        records = [
            Record(channel, topic.name, topic.epoch, entry) for topic in topics for entry in topic.after(0)
        ]
        return sorted(records, key=lambda record: record.entry.number)
