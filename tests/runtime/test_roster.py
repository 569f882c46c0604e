"""Channels that come, change and go, and producers that behave badly, with a real hub and a clock that jumps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from structlog.testing import capture_logs

from appliance.api import Channel, Feed, Mode
from appliance.core.errors import PublishError, RequestError, SourceError
from appliance.core.history import Retention
from appliance.loading.configured import Configured
from appliance.runtime.answers import Answers
from appliance.runtime.feed import Workshop
from appliance.runtime.hub import Hub
from appliance.runtime.journal import Journal
from appliance.runtime.pages import Pages
from appliance.runtime.roster import Roster
from appliance.runtime.status import Sample, Status
from appliance.settings.fields import Seconds
from appliance.settings.tree import ProducerSettings, RestartSettings
from tests.runtime.stage import lines
from tests.runtime.test_hub import Ear, join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from trio.testing import MockClock

    Produce = Callable[[Feed, Any], Awaitable[None]]

KEEP = Retention(count=1000, age=None, size=1_000_000)


async def count(feed: Feed, step: int) -> None:
    await trio.sleep(0.5)
    async for beat in feed.every(1):
        await feed.publish({"n": beat * step}, key="all")


def channel(name: str, produce: Produce = count, step: int = 1, **configured: Any) -> Configured:
    made = Channel(name=name, mode=Mode.LOG, message=name, produce=produce, topics=("all",))
    return Configured(made, step, KEEP, None, **configured)


async def hang(_feed: Feed, _settings: object) -> None:
    await trio.sleep_forever()


@attrs.define(eq=False)
class Scene:
    hub: Hub
    status: Status
    roster: Roster
    producers: ProducerSettings = attrs.field(factory=ProducerSettings)

    def bodies(self, name: str) -> list[bytes]:
        return [entry.body for entry in self.hub.topic(name).after(0)]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    hub = Hub(epoch="e", most_topics=100, most_bytes=10_000)
    status = Status(partial(Sample, 0, 0, 0, 0, 0, 0, {}))
    workshop = Workshop(
        hub=hub,
        journal=Journal(hub),
        threads=trio.CapacityLimiter(2),
        most_watched=10,
        transform=lambda event: event,
        most_events=lambda: made.producers.events_per_second,
        settled=trio.lowlevel.checkpoint,
    )
    roster = Roster(
        workshop,
        status,
        Answers(hub, within=lambda: 1.0),
        Pages(hub, transform=lambda event: event, within=lambda: 1.0),
        restart=lambda: RestartSettings(first=Seconds(1), most=Seconds(1)),
        producers=lambda: made.producers,
    )
    made = Scene(hub, status, roster)
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(roster.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_channels_come_change_and_go_while_offsets_go_on(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    await scene.roster.put(channel("a"))
    await scene.roster.put(channel("b"))
    ear = Ear()
    join(scene.hub, "a:all", ear)
    await trio.sleep(3)
    await scene.roster.put(channel("a", step=100))
    await trio.sleep(2)
    await scene.roster.take("a")
    with pytest.raises(RequestError, match="does not exist"):
        scene.hub.topic("a:all")
    assert [topic.name for topic in scene.hub.matching("*")] == ["b:all"]
    assert set(scene.roster.channels) == set(scene.status.health) == {"b"}
    await trio.sleep(5)
    await scene.roster.put(channel("a", step=7))
    await trio.sleep(2)
    assert scene.bodies("a:all") == [b'{"n":%d}' % n for n in (0, 1, 2, 0, 100, 0, 7)]
    assert ear.heard == [("a:all", offset) for offset in range(1, 8)]
    assert scene.bodies("b:all") == [b'{"n":%d}' % n for n in range(len(scene.bodies("b:all")))]


async def test_readers_are_told_in_the_words_of_the_new_channel(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    await scene.roster.put(channel("a"))
    ear = Ear()
    join(scene.hub, "a:all", ear)
    await trio.sleep(1)
    changed = channel("a")
    await scene.roster.put(attrs.evolve(changed, channel=attrs.evolve(changed.channel, message="other")))
    await trio.sleep(1)
    assert scene.hub.topic("a:all").message == "other"
    assert [offset for _, offset in ear.heard] == [1, 2]
    assert lines(ear.offers[1][2])


async def test_one_that_does_not_stop_is_cut_off_and_its_place_taken(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    refused: list[str] = []

    async def stubborn(feed: Feed, _: object) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 60):
            async for _beat in feed.every(1):
                try:
                    await feed.publish({"n": "stubborn"}, key="all")
                except PublishError as error:
                    refused.append(str(error))

    await scene.roster.put(channel("a", stubborn))
    await trio.sleep(1.5)
    with capture_logs() as log:
        await scene.roster.put(channel("a"))
    [told] = [line for line in log if line["event"] == "producer does not stop"]
    assert (told["channel"], told["seconds"]) == ("a", 5)
    before = len(scene.bodies("a:all"))
    await trio.sleep(3)
    assert scene.bodies("a:all")[before:] == [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    assert refused
    assert "has ended" in refused[0]


async def test_a_flood_is_slowed_told_of_and_ended_when_it_keeps_on(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    scene.producers = ProducerSettings(events_per_second=1000.0, offences=5, window=Seconds(60))

    async def flood(feed: Feed, _: object) -> None:
        while True:
            await feed.publish({}, key="all")

    with capture_logs() as log:
        await scene.roster.put(channel("flood", flood))
        await scene.roster.put(channel("calm"))
        await trio.sleep(3)
        published = scene.status.health["flood"].events
        assert published < 8 * 1000
        await trio.sleep(30)
    health = scene.status.health["flood"]
    assert health.quarantined is not None
    assert "it floods, too often (producers.offences" in health.quarantined
    assert (health.healthy, health.running) == (False, False)
    assert [line["channel"] for line in log if line["event"] == "producer quarantined"] == ["flood"]
    assert len(scene.bodies("calm:all")) >= 30
    await scene.roster.put(channel("flood"))
    assert scene.status.health["flood"].quarantined is None


async def test_a_silent_channel_is_stale_starts_anew_and_is_fresh_again(
    scene: Scene,
    autojump_clock: MockClock,
) -> None:
    starts: list[float] = []

    async def hang_twice(feed: Feed, _: object) -> None:
        starts.append(trio.current_time())
        if len(starts) < 3:
            await trio.sleep_forever()
        await count(feed, 1)

    await scene.roster.put(channel("a", hang_twice, stale_after=10.0))
    await scene.roster.put(channel("quiet", hang))
    health, changes = scene.status.health["a"], []
    # Health is told in wall-clock time, which this clock does not move: so the test does.
    opened, before = health.opened, autojump_clock.current_time()
    with capture_logs() as log:
        while len(starts) < 3:
            await trio.sleep(1)
            now = opened + autojump_clock.current_time() - before
            if health.started_at is not None and health.started_at < opened + 1:
                health.started_at = opened + starts[-1] - before
            changes += [(round(now - opened), name, health.stale) for name in scene.roster.look(now, 1)]
    assert changes == [(11, "a", True)]
    assert [line["event"] for line in log].count("channel is stale") == 1
    assert "published nothing for 10 s" in str(health.last_error)
    await trio.sleep(1)
    assert scene.roster.look(opened, 1) == ["a"]
    assert not health.stale
    assert not scene.status.health["quiet"].stale


async def test_one_that_fails_after_an_hour_starts_again_and_hurts_nobody(
    scene: Scene,
    autojump_clock: MockClock,  # noqa: ARG001 - its time jumps
) -> None:
    async def fail_later(feed: Feed, _: object) -> None:
        await feed.publish({"n": "begun"}, key="all")
        await trio.sleep(3600)
        raise ValueError("tired")

    await scene.roster.put(channel("late", fail_later))
    await scene.roster.put(channel("calm"))
    with capture_logs() as log:
        await trio.sleep(3700)
    [told] = [line for line in log if line["event"] == "producer failed"]
    assert (told["channel"], told["error"]) == ("late", "ValueError: tired")
    health = scene.status.health["late"]
    assert (health.errors, health.recovery_attempts, health.running) == (1, 1, True)
    assert len(scene.bodies("late:all")) == 2
    assert scene.status.health["calm"].events == 3700


@pytest.mark.parametrize(("silences", "ended"), [(3, True), (0, False)])
async def test_one_that_stays_silent_is_quarantined_unless_it_may(
    scene: Scene, autojump_clock: MockClock, silences: int, *, ended: bool
) -> None:
    scene.producers = ProducerSettings(silences=silences)
    await scene.roster.put(channel("a", hang, stale_after=10.0))
    health = scene.status.health["a"]
    opened, before = health.opened, autojump_clock.current_time()
    for _ in range(20):
        now = opened + autojump_clock.current_time() - before
        health.started_at = now - 11  # which the wall clock tells, and that does not jump
        scene.roster.look(now, 1)
        await trio.sleep(5)
    assert (health.quarantined is not None) == ended
    assert health.running != ended
    if ended:
        assert "it publishes nothing, 3 times in a row" in str(health.quarantined)


async def test_a_channel_that_has_failed_is_well_when_it_says_so_or_has_run_for_long(
    scene: Scene, autojump_clock: MockClock
) -> None:
    attempts: list[Feed] = []

    async def produce(feed: Feed, _settings: object) -> None:
        attempts.append(feed)
        if len(attempts) % 2:
            raise SourceError("the database is away: start it")
        await trio.sleep_forever()

    await scene.roster.put(channel("a", produce))
    health = scene.status.health["a"]
    opened, before = health.opened, autojump_clock.current_time()
    await trio.sleep(2)
    assert (health.running, health.healthy) == (True, False)
    attempts[-1].ready()
    assert health.healthy
    health.failing = True
    for past, well in ((50, False), (70, True)):  # restart.calm is 60 s
        now = opened + autojump_clock.current_time() - before
        health.started_at = now - past
        scene.roster.look(now, 1)
        assert health.healthy is well
