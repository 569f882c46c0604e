"""What waits to be kept, written in its order as far as that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.api import Channel, Event, Mode
from appliance.core.errors import StoreError
from appliance.core.history import Retention
from appliance.core.kept import Batch, Record
from appliance.runtime.backlog import Backlog
from appliance.runtime.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Mapping


class Disk:
    """Takes so many batches."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.batches: list[Batch] = []

    async def write(self, batch: Batch) -> None:
        if len(self.batches) == self.room:
            raise StoreError("full")
        self.batches.append(batch)

    async def kept(self, _channel: str) -> Mapping[str, Any]:
        return {"old": 1, "at": 1}


@pytest.fixture
def hub() -> Hub:
    made = Hub(epoch="e", most_topics=9, most_bytes=1000, store="s")
    made.open(Channel(name="a", mode=Mode.LOG, message="m"), None, Retention(count=3, age=None, size=10_000))
    return made


def told(hub: Hub, number: int) -> Batch:
    """Publish an event, and give the batch that it is."""
    (topic,) = hub.enter(hub.prepare(Event("a", "xy"[number % 2], {"n": number}, 1.0)), 1.0, kept=True)
    assert topic.latest is not None
    return Batch(records=[Record("a", topic.name, topic.epoch, topic.latest)], states={"a": {"at": number}})


async def test_batches_are_written_in_their_order_until_one_is_not(hub: Hub) -> None:
    backlog, disk = Backlog(hub, most=lambda: 10), Disk(room=2)
    batches = [told(hub, number) for number in range(4)]
    for batch in (*batches, Batch()):
        backlog.put_off(batch)
    assert (backlog.events, bool(backlog)) == (4, True)
    with pytest.raises(StoreError):
        await backlog.write(disk.write, states={}, kept=disk.kept)
    assert (backlog.events, disk.batches) == (2, batches[:2])
    disk.room = 9
    await backlog.write(disk.write, states={}, kept=disk.kept)
    assert (backlog.events, bool(backlog), disk.batches) == (0, False, batches)


async def test_past_its_bound_it_is_what_the_topics_have(hub: Hub) -> None:
    backlog, disk = Backlog(hub, most=lambda: 5), Disk(room=9)
    for number in range(20):
        backlog.put_off(told(hub, number))
    states = {"a": {"at": 19}}
    await backlog.write(disk.write, states=states, kept=disk.kept)
    (batch,) = disk.batches
    assert [(each.topic, each.entry.body) for each in batch.records] == [
        (f"a:{'xy'[number % 2]}", b'{"n":%d}' % number) for number in range(14, 20)
    ]
    assert batch.states == {"a": {"old": None, "at": 19}}
    assert not backlog
