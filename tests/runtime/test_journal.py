"""The journal between a hub and a store that can fail, be slow, and be opened anew after a crash."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing

from appliance.api import Channel, Event, Mode
from appliance.core.errors import StoreError
from appliance.core.history import Position, Retention
from appliance.core.idempotency import KeyReusedError
from appliance.core.kept import Kept, change
from appliance.core.topics import Aliases
from appliance.loading.configured import Configured
from appliance.runtime import journal as module
from appliance.runtime.hub import Hub, Prepared
from appliance.runtime.intake import Intake
from appliance.runtime.journal import Journal, Place
from appliance.runtime.submission import Submission
from appliance.settings.tree import PublishSettings
from tests.runtime.test_hub import Ear, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from appliance.core.kept import Batch

KEEP = Retention(count=5, age=None, size=1_000_000)


@attrs.define(eq=False, slots=False)
class Memory:
    """A store whose contents outlive the journals that write to it. `open` gates what is written."""

    batches: list[Batch] = attrs.field(factory=list)
    states: defaultdict[str, dict[str, Any]] = attrs.field(factory=lambda: defaultdict(dict))
    forgotten: list[str] = attrs.field(factory=list)
    fails: str = ""
    behind: list[bool] = attrs.field(factory=list)
    open: threading.Event = attrs.field(factory=threading.Event)
    identity: str = "disk"

    @property
    def number(self) -> int:
        return max((each.entry.number for batch in self.batches for each in batch.records), default=0)

    def write(self, batch: Batch) -> None:
        assert self.open.wait(10)
        if self.fails:
            raise StoreError(self.fails)
        numbers = [record.entry.number for record in batch.records]
        assert numbers == sorted(set(numbers))
        self.batches.append(batch)
        for channel, changes in batch.states.items():
            change(self.states[channel], changes)

    def topics(self, channel: str) -> Sequence[Kept]:
        found: dict[str, list[Any]] = {}
        firsts: dict[str, int] = {}
        for batch in self.batches:
            firsts.update(batch.firsts)
            for record in batch.records:
                if record.channel == channel:
                    kept = found.setdefault(record.topic, [])
                    if kept and kept[-1].entry.offset + 1 != record.entry.offset:
                        kept.clear()  # it begins anew
                    kept.append(record)
        return [
            Kept(
                name,
                records[-1].epoch,
                records[-1].entry.offset,
                [each.entry for each in records if each.entry.offset >= firsts.get(name, 1)],
            )
            for name, records in found.items()
        ]

    def state(self, channel: str) -> Mapping[str, Any]:
        return self.states[channel]

    def forget(self, channel: str) -> None:
        self.forgotten.append(channel)

    @property
    def sizes(self) -> tuple[int, int]:
        return 0, 0

    def fall_behind(self) -> None:
        self.behind.append(True)

    def catch_up(self) -> None:
        self.behind.append(False)


def channel(name: str, *, durable: bool) -> Configured:
    both = Channel(name=name, mode=Mode.LOG, message=name, route=lambda event, _: ("all", event.key))
    return Configured(both, None, KEEP, None, durable=durable)


@attrs.define(eq=False)
class Scene:
    """One life of the process: `crash` ends it, and the next one finds what the store has."""

    store: Memory
    hub: Hub
    journal: Journal
    nursery: trio.Nursery

    @classmethod
    async def begin(
        cls, store: Memory, nursery: trio.Nursery, *, epoch: str = "one", most: int = 100
    ) -> Scene:
        hub = Hub(epoch=epoch, most_topics=100, most_bytes=10_000, store=store.identity, number=store.number)
        journal = Journal(hub, store, most_waiting=lambda: most)
        await nursery.start(journal.run)
        scene = cls(store, hub, journal, nursery)
        await scene.adopt(channel("kept", durable=True))
        await scene.adopt(channel("fleeting", durable=False))
        return scene

    async def adopt(self, configured: Configured) -> None:
        opened = partial(self.hub.open, configured.channel, configured.settings, configured.retention)
        await self.journal.adopt(configured, opened)

    def event(self, data: object, *, of: str = "kept", key: str = "a") -> Prepared:
        return self.hub.prepare(Event(of, key, {"n": data}, 1.0))

    def bodies(self, topic: str) -> list[bytes]:
        return [entry.body for entry in self.hub.topic(topic).after(0)]


@pytest.fixture
async def store() -> Memory:
    memory = Memory()
    memory.open.set()
    return memory


@pytest.fixture
async def scene(store: Memory) -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:  # ends with the test
        yield await Scene.begin(store, nursery)
        store.open.set()
        nursery.cancel_scope.cancel()


async def test_nobody_is_told_before_it_is_on_disk(scene: Scene) -> None:
    ear = Ear()
    scene.hub.prepare(Event("kept", "a", {}, 1.0))
    join(scene.hub, "kept:a", ear)
    scene.store.open.clear()
    async with trio.open_nursery() as nursery:  # ends when both have published
        for number in range(2):
            nursery.start_soon(scene.journal.publish_kept, [scene.event(number)])
        with trio.move_on_after(0.05):
            await trio.sleep_forever()
        assert ear.heard == []
        scene.store.open.set()
    assert ear.heard == [("kept:a", 1), ("kept:a", 2)]


async def test_a_publisher_is_told_where_its_events_are(scene: Scene) -> None:
    places = await scene.journal.publish_kept([scene.event(1), None, scene.event(2, of="fleeting", key="b")])
    assert places == (
        (Place("kept:all", "one", 1), Place("kept:a", "one", 1)),
        (),
        (Place("fleeting:all", "one", 1), Place("fleeting:b", "one", 1)),
    )
    (batch,) = scene.store.batches
    assert [(record.topic, record.entry.offset, record.entry.number) for record in batch.records] == [
        ("kept:all", 1, 1),
        ("kept:a", 1, 2),
    ]


async def test_what_comes_while_the_disk_is_busy_is_one_batch(scene: Scene) -> None:
    scene.store.open.clear()
    async with trio.open_nursery() as nursery:  # ends when all have published
        nursery.start_soon(scene.journal.publish_kept, [scene.event("first")])
        await trio.testing.wait_all_tasks_blocked()
        for number in range(20):
            nursery.start_soon(scene.journal.publish_kept, [scene.event(number)])
        await trio.testing.wait_all_tasks_blocked()
        scene.store.open.set()
    assert [len(batch.records) for batch in scene.store.batches] == [2, 40]
    assert scene.hub.topic("kept:all").last == 21


async def test_the_next_life_goes_on_where_the_last_one_ended(scene: Scene, store: Memory) -> None:
    for number in range(8):
        await scene.journal.publish(
            [scene.event(number)], channel="kept", note={"at": number, f"n{number}": 1}
        )
    await scene.journal.publish([], channel="kept", note={f"n{number}": None for number in range(7)})
    await scene.journal.publish([scene.event("lost", of="fleeting")])
    await scene.journal.settled()
    position = Position("one", 6)
    async with trio.open_nursery() as nursery:  # ends with this life
        after = await Scene.begin(store, nursery, epoch="two")
        assert after.journal.state("kept") == {"at": 7, "n7": 1}
        topic = after.hub.topic("kept:a")
        assert (topic.epoch, topic.last, topic.first) == ("one", 8, 4)  # five are kept
        assert topic.resume(position).recovered
        assert after.bodies("kept:a") == [b'{"n":%d}' % number for number in range(3, 8)]
        assert after.hub.known("fleeting:a") is None
        places = await after.journal.publish_kept([after.event(8), after.event(0, key="new")])
        assert places[0][1] == Place("kept:a", "one", 9)
        assert places[1] == (Place("kept:all", "one", 10), Place("kept:new", "two", 1))
        nursery.cancel_scope.cancel()


async def test_serials_follow_the_order_of_what_was_kept(scene: Scene, store: Memory) -> None:
    for number in range(4):
        await scene.journal.publish_kept([scene.event(number, key="ab"[number % 2])])
    async with trio.open_nursery() as nursery:  # ends with this life
        after = await Scene.begin(store, nursery, epoch="two")
        a, b = (list(after.hub.topic(f"kept:{key}").after(0)) for key in "ab")
        serials = [entry.serial for pair in zip(a, b, strict=True) for entry in pair]
        assert serials == sorted(serials)
        nursery.cancel_scope.cancel()


async def test_on_a_full_disk_only_who_must_know_that_it_is_kept_is_refused(scene: Scene) -> None:
    ear = Ear()
    scene.event("made")
    join(scene.hub, "kept:a", ear)
    scene.store.fails = "make room"
    with pytest.raises(StoreError, match="make room"):
        await scene.journal.publish_kept([scene.event(1), scene.event(2, key="unknown")])
    assert ear.heard == []
    assert scene.hub.known("kept:unknown") is None
    failing = [scene.journal.failing]
    await scene.journal.publish_kept([scene.event("as ever", of="fleeting")])
    await scene.journal.publish([scene.event(3)], channel="kept", note={"at": 3})
    await scene.journal.settled()
    assert ear.heard == [("kept:a", 1)]
    assert (scene.journal.statistics()["behind"], scene.journal.state("kept")) == (2, {"at": 3})
    scene.store.fails = ""
    with pytest.raises(StoreError):  # a second has not passed since the last try
        await scene.journal.publish_kept([scene.event(4)])
    assert [*failing, scene.journal.failing] == ["make room", "make room"]


async def test_what_was_told_meanwhile_is_kept_as_soon_as_it_can_be(
    scene: Scene, store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    await scene.journal.publish_kept([scene.event(0)])
    store.fails = "make room"
    for number in range(1, 4):
        await scene.journal.publish(
            [scene.event(number)], channel="kept", note={"at": number, f"n{number}": 1}
        )
        await scene.journal.settled()
    assert (scene.journal.statistics()["behind"], store.number, store.behind) == (6, 2, [True])
    store.fails = ""
    await eventually(lambda: store.behind == [True, False])
    assert (scene.journal.failing, scene.journal.statistics()["behind"], store.number) == (None, 0, 8)
    await scene.journal.publish_kept([scene.event(4)])
    await agrees(scene, store)


async def test_of_more_than_can_wait_the_topics_themselves_are_kept(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    async with trio.open_nursery() as nursery:  # ends with the test
        scene = await Scene.begin(store, nursery, most=6)
        await scene.journal.publish([scene.event(0)], channel="kept", note={"old": 1})
        await scene.journal.settled()
        store.fails = "make room"
        for number in range(1, 20):
            note = {"at": number, "old": None}
            await scene.journal.publish(
                [scene.event(number, key="ab"[number % 2])], channel="kept", note=note
            )
            await scene.journal.settled()
        store.fails = ""
        await eventually(lambda: scene.journal.failing is None)
        assert scene.journal.statistics()["behind"] == 0
        await scene.journal.publish_kept([scene.event(20)])
        await agrees(scene, store)
        nursery.cancel_scope.cancel()


async def eventually(fits: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not fits():  # noqa: ASYNC110 - it has no event to wait for
            await trio.sleep(0.01)


async def agrees(scene: Scene, store: Memory) -> None:
    """See that the next life would go on where this one is."""
    async with trio.open_nursery() as nursery:  # ends with the next life
        after = await Scene.begin(store, nursery, epoch="two")
        assert after.journal.state("kept") == scene.journal.state("kept")
        for topic in scene.hub.matching("kept:*"):
            found = after.hub.topic(topic.name)
            assert (found.epoch, found.last) == (topic.epoch, topic.last)
            assert [(each.offset, each.body, each.number) for each in found.after(0)] == [
                (each.offset, each.body, each.number) for each in topic.after(0)
            ]
        assert after.hub.number == scene.hub.number
        nursery.cancel_scope.cancel()


async def test_what_a_silent_topic_lets_go_of_leaves_the_disk(
    scene: Scene, store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP", 0.01)
    await scene.journal.publish_kept([scene.event(n) for n in range(4)])
    topic = scene.hub.topic("kept:a")
    topic.retention = attrs.evolve(topic.retention, age=60.0)
    topic.expire(time.time() + 61)
    await scene.journal.publish_kept(
        [scene.event(0, key="other")]
    )  # from here on, it looks each hundredth of a second
    await eventually(lambda: store.batches[-1].firsts.get("kept:a") == 5)


async def test_producers_do_not_wait_for_the_disk(scene: Scene) -> None:
    scene.store.open.clear()
    await scene.journal.publish([scene.event(1)], channel="kept", note={"at": 1})
    assert scene.journal.state("kept") == {"at": 1}
    assert scene.bodies("kept:a") == []
    scene.store.open.set()
    await scene.journal.settled()
    assert scene.bodies("kept:a") == [b'{"n":1}']


async def test_at_the_end_nobody_is_left_waiting_to_know(store: Memory) -> None:
    refused: list[str] = []
    async with trio.open_nursery() as publishers:  # ends when all know
        async with trio.open_nursery() as nursery:  # ends with this life
            scene = await Scene.begin(store, nursery, most=3)

            async def publish(number: int) -> None:
                try:
                    await scene.journal.publish_kept([scene.event(number, key=str(number))] * 2)
                except StoreError as error:
                    refused.append(f"{number}: {error}")

            store.open.clear()
            publishers.start_soon(publish, 1)  # is being written
            await trio.testing.wait_all_tasks_blocked()
            for number in (2, 3):  # waits to be, and waits for room
                publishers.start_soon(publish, number)
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            store.open.set()
        publishers.start_soon(publish, 4)  # comes late
        publishers.cancel_scope.deadline = trio.current_time() + 10  # which reaches nobody who is shielded
    assert sorted(refused) == [f"{number}: the appliance is stopping" for number in (2, 3, 4)]
    with trio.fail_after(10):
        await scene.journal.publish([scene.event(5, key="5")])  # nobody asks what became of it
        await scene.journal.settled()
    assert scene.bodies("kept:1") == [b'{"n":1}'] * 2
    assert [scene.hub.known(f"kept:{number}") for number in (2, 3, 4, 5)] == [None] * 4
    async with trio.open_nursery() as nursery:  # ends with the next life
        after = await Scene.begin(store, nursery, epoch="two")
        assert after.hub.topic("kept:all").last == 2
        nursery.cancel_scope.cancel()


async def test_publishers_wait_for_room(store: Memory) -> None:
    store.open.clear()
    async with trio.open_nursery() as nursery:  # ends with the test
        scene = await Scene.begin(store, nursery, most=3)
        done: list[int] = []

        async def publish(number: int) -> None:
            await scene.journal.publish([scene.event(number)] * 2)
            done.append(number)

        async with trio.open_nursery() as publishers:  # ends when all have published
            for number in range(5):
                publishers.start_soon(publish, number)
            await trio.testing.wait_all_tasks_blocked()
            assert len(done) < 5
            store.open.set()
        await scene.journal.settled()
        assert sorted(done) == [0, 1, 2, 3, 4]
        assert scene.hub.topic("kept:a").last == 10
        nursery.cancel_scope.cancel()


async def test_a_channel_that_cannot_be_read_goes_on_in_memory(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_channel: str) -> Sequence[Kept]:
        raise StoreError("an entry is damaged: move the file away")

    async with trio.open_nursery() as nursery:  # ends with the test
        scene = await Scene.begin(store, nursery)
        monkeypatch.setattr(store, "topics", damaged)
        configured = channel("broken", durable=True)
        await scene.adopt(configured)
        await scene.journal.publish([scene.event(1, of="broken")], channel="broken", note={"at": 1})
        assert scene.bodies("broken:a") == [b'{"n":1}']
        with pytest.raises(StoreError, match="damaged"):
            await scene.journal.publish_kept([scene.event(2, of="broken")])
        await scene.journal.publish_kept([scene.event(3)])
        told = scene.journal.statistics()
        assert (told["is_healthy"], told["channels"]) == (False, ["broken", "kept"])
        assert "damaged" in told["reason"]
        nursery.cancel_scope.cancel()


async def test_without_the_store_that_there_should_be_nothing_is_promised() -> None:
    hub = Hub(epoch="e", most_topics=100, most_bytes=10_000)
    journal = Journal(hub, unusable="store.db is damaged: move it away")
    for configured in (channel("kept", durable=True), channel("fleeting", durable=False)):
        await journal.adopt(configured, partial(hub.open, configured.channel, None, KEEP))
    with pytest.raises(StoreError, match=r"store\.db is damaged"):
        await journal.publish_kept([hub.prepare(Event("kept", "a", {}, 1.0))])
    await journal.publish_kept([hub.prepare(Event("fleeting", "a", {}, 1.0))])
    await journal.publish([hub.prepare(Event("kept", "a", {}, 1.0))], channel="kept", note={"at": 1})
    assert (hub.topic("kept:a").last, hub.topic("fleeting:a").last, journal.state("kept")) == (
        1,
        1,
        {"at": 1},
    )


async def test_a_topic_that_somebody_let_go_of_meanwhile_is_there_again(scene: Scene) -> None:
    prepared = scene.event(1, key="rare")
    scene.hub.release(scene.hub.topic("kept:rare"))
    ear = Ear()
    await scene.journal.publish_kept([scene.event(0, key="rare")])
    join(scene.hub, "kept:rare", ear)
    await scene.journal.publish_kept([prepared])
    assert ear.heard == [("kept:rare", 2)]
    assert scene.bodies("kept:rare") == [b'{"n":0}', b'{"n":1}']
    offsets = [
        each.entry.offset
        for batch in scene.store.batches
        for each in batch.records
        if each.topic == "kept:rare"
    ]
    assert offsets == [1, 2]


async def test_a_channel_that_is_not_durable_any_more_is_forgotten(scene: Scene) -> None:
    await scene.journal.publish_kept([scene.event(1)])
    await scene.adopt(channel("kept", durable=False))
    await scene.journal.publish_kept([scene.event(2)])
    assert "kept" in scene.store.forgotten
    assert len(scene.store.batches) == 1
    assert scene.bodies("kept:a") == [b'{"n":1}', b'{"n":2}']


async def test_without_a_store_notes_last_as_long_as_the_process() -> None:
    hub = Hub(epoch="e", most_topics=100, most_bytes=10_000)
    journal = Journal(hub)
    configured = channel("kept", durable=True)
    opened: Callable[[], object] = partial(hub.open, configured.channel, None, KEEP)
    await journal.adopt(configured, opened)
    await journal.publish([hub.prepare(Event("kept", "a", {}, 1.0))], channel="kept", note={"x": 1, "y": 2})
    await journal.publish([], channel="kept", note={"x": None})
    assert journal.state("kept") == {"y": 2}
    assert hub.topic("kept:a").last == 1


# --- What is answered under an idempotency key. ---


def desk(scene: Scene, **settings: Any) -> Intake:
    channels = {name: channel(name, durable=name == "kept") for name in ("kept", "fleeting")}
    return Intake(
        {name: attrs.evolve(configured, publishable=True) for name, configured in channels.items()},
        hub=scene.hub,
        journal=scene.journal,
        health={},
        aliases=Aliases({}),
        transform=lambda event: event,
        settings=lambda: PublishSettings(**settings),
    )


@attrs.frozen
class Anybody:
    name: str = "alice"

    def may_publish(self, _channel: str) -> bool:
        return True


def submission(key: str, *channels: str, n: int = 1) -> Submission:
    events = [{"channel": name, "key": "a", "data": {"n": n}} for name in channels]
    return Submission(events=events, within="events", key=key)


async def test_a_retry_after_a_restart_publishes_nothing_anew(scene: Scene, store: Memory) -> None:
    intake = desk(scene)
    await intake.take_up()
    first = await intake.take(submission("k", "kept", "fleeting"), Anybody())
    await intake.take(submission("volatile", "fleeting"), Anybody())
    async with trio.open_nursery() as nursery:  # ends with the next life
        after = await Scene.begin(store, nursery, epoch="two")
        intake = desk(after)
        await intake.take_up()
        again = await intake.take(submission("k", "kept", "fleeting"), Anybody())
        assert (again.duplicate, again.events) == (True, (first.events[0], ()))
        assert after.hub.topic("kept:a").last == 1
        with pytest.raises(KeyReusedError):
            await intake.take(submission("k", "kept", n=2), Anybody())
        # What was not kept is gone, and may be published again.
        assert not (await intake.take(submission("volatile", "fleeting"), Anybody())).duplicate
        nursery.cancel_scope.cancel()


async def test_no_more_answers_are_kept_than_are_remembered(scene: Scene, store: Memory) -> None:
    intake = desk(scene, keys=3)
    await intake.take_up()
    for number in range(10):
        await intake.take(submission(f"k{number}", "kept"), Anybody())
        assert len(store.states[":answers"]) <= 4
    async with trio.open_nursery() as nursery:  # ends with the next life
        after = await Scene.begin(store, nursery, epoch="two")
        intake = desk(after, keys=3)
        await intake.take_up()
        duplicates = [
            (await intake.take(submission(f"k{n}", "kept"), Anybody())).duplicate for n in (9, 8, 1)
        ]
        assert duplicates == [True, True, False]
        nursery.cancel_scope.cancel()


async def test_what_could_not_be_kept_leaves_its_key_free(
    scene: Scene, store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN", 0.01)
    intake = desk(scene)
    await intake.take_up()
    store.fails = "make room"
    with pytest.raises(StoreError):
        await intake.take(submission("k", "kept"), Anybody())
    store.fails = ""
    await trio.sleep(0.02)
    assert not (await intake.take(submission("k", "kept"), Anybody())).duplicate


async def test_what_the_store_takes_to_keep_a_batch_is_measured(scene: Scene) -> None:
    assert scene.journal.writes.count == 0
    await scene.journal.publish_kept([scene.event(1)])
    await scene.journal.publish_kept([scene.event(2, of="fleeting")])
    assert scene.journal.writes.count == 1
    scene.store.fails = "make room"
    with pytest.raises(StoreError):
        await scene.journal.publish_kept([scene.event(3)])
    assert scene.journal.writes.count == 1
