"""A limit on updates: how often, which ones, and that the newest always comes."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import chain, passages
from appliance.core.events import Mode
from appliance.core.history import Retention, Topic
from appliance.core.outbox import Outbox
from appliance.core.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.events import Entry
    from appliance.core.passages import Passage


@attrs.define
class Clock:
    """Time that is moved by hand, and what is to be called then."""

    now: float = 100.0
    calls: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    count: int = 0

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.calls, (when, self.count, call))

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and self.calls[0][0] <= end:
            self.now, _, call = heapq.heappop(self.calls)
            call()
        self.now = end


@attrs.frozen
class Reading:
    topic: Topic

    def frame(self, entry: Entry) -> bytes:
        return b"%d;" % entry.offset

    def passage(self, first: int) -> Passage:
        return passages.read(self.topic, first, self.frame)

    def gap(self, first: int, last: int) -> bytes:  # noqa: ARG002 - a limit leaves things out knowingly
        return b""


class Scene:
    """One topic behind a throttle, and the times at which its updates come out."""

    def __init__(self, limit: float) -> None:
        self.clock = Clock()
        self.topic = Topic("price:BTC", Mode.STATE, "m", "e1", Retention(count=100, age=None, size=10_000))
        self.outbox = Outbox(lambda _: None, chain.root(), burst=1000)
        self.outbox.follow(Reading(self.topic))
        self.throttle = Throttle(self.outbox, limit, clock=lambda: self.clock.now, call_at=self.clock.call_at)

    def publish(self) -> None:
        entry = self.topic.append(b"{}", at=0, received=0)
        self.throttle.offer(self.topic, entry.offset, b"%d;" % entry.offset)

    def collect(self) -> list[int]:
        return _offsets(self.outbox.collect())

    def take(self) -> list[int]:
        """As the flusher does when the socket takes things again."""
        got = []
        while data := self.outbox.take(1000):
            got += _offsets(data)
        return got


def _offsets(data: bytes) -> list[int]:
    return [int(offset) for offset in data.split(b";")[:-1]]


@pytest.fixture
def scene() -> Scene:
    return Scene(limit=2)


def test_the_first_goes_at_once_and_the_newest_when_its_time_has_come(scene: Scene) -> None:
    for _ in range(4):
        scene.publish()
    assert scene.collect() == [1]
    scene.clock.advance(0.4)
    assert scene.collect() == []
    scene.clock.advance(0.2)
    assert scene.collect() == [4]


def test_a_pause_counts_from_the_one_before(scene: Scene) -> None:
    scene.publish()
    scene.publish()
    scene.clock.advance(0.5)
    scene.publish()
    assert scene.collect() == [1, 2]
    scene.clock.advance(0.5)
    assert scene.collect() == [3]
    scene.clock.advance(10)
    scene.publish()
    assert scene.collect() == [4]


def test_who_has_stopped_is_told_no_more(scene: Scene) -> None:
    scene.publish()
    scene.publish()
    scene.throttle.stop()
    scene.outbox.forget(scene.topic)
    scene.clock.advance(10)
    assert scene.collect() == [1]


def test_what_is_held_is_owed(scene: Scene) -> None:
    scene.publish()
    scene.publish()
    scene.publish()
    assert scene.outbox.positions() == {"price:BTC": ("e1", 1)}
    scene.clock.advance(0.5)
    assert scene.outbox.positions() == {"price:BTC": ("e1", 3)}


def test_what_the_history_has_given_is_not_given_again(scene: Scene) -> None:
    scene.outbox.shut()
    scene.publish()
    scene.publish()
    assert scene.take() == [2]
    scene.clock.advance(10)
    assert scene.collect() == []
    scene.publish()
    assert scene.collect() == [3]


def test_a_shut_outbox_owes_the_newest(scene: Scene) -> None:
    scene.outbox.shut()
    for _ in range(5):
        scene.publish()
        scene.clock.advance(1)
    assert scene.outbox.positions() == {"price:BTC": ("e1", 0)}
    assert scene.take() == [5]


def test_an_outbox_that_is_busy_keeps_to_the_limit(scene: Scene) -> None:
    other = Topic("price:ETH", Mode.STATE, "m", "e2", Retention(count=100, age=None, size=10_000))
    for _ in range(2):
        scene.outbox.offer(other, 1, b"x" * 600)
    assert not scene.outbox.open
    for _ in range(4):
        scene.publish()
    scene.outbox.collect()
    assert scene.take() == [4]


@given(
    st.floats(0.1, 10),
    st.lists(st.sampled_from(["publish", "shut", "take"]) | st.floats(0.01, 3), max_size=60),
)
def test_each_comes_once_and_the_newest_in_the_end(limit: float, steps: list[str | float]) -> None:
    scene = Scene(limit)
    got: list[int] = []
    stalled = False
    for step in [*steps, "take", 1 / limit]:
        if step == "publish":
            scene.publish()
        elif step == "shut":
            stalled = True
            scene.outbox.shut()
        elif step == "take":
            stalled = False
        elif isinstance(step, float):
            scene.clock.advance(step)
        got += [] if stalled else scene.take()
    assert got == sorted(set(got))
    assert got[-1:] == ([scene.topic.last] if scene.topic.last else [])


@given(st.floats(0.1, 10), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_two_come_within_the_pause(limit: float, steps: list[float]) -> None:
    scene = Scene(limit)
    came: list[tuple[float, int]] = []

    def changed(outbox: Outbox) -> None:
        [offset] = _offsets(outbox.collect())
        came.append((scene.clock.now, offset))

    outbox = Outbox(changed, chain.root(), burst=1000)
    scene.throttle = Throttle(outbox, limit, clock=lambda: scene.clock.now, call_at=scene.clock.call_at)
    for step in steps:
        scene.publish()
        scene.clock.advance(step)
    scene.clock.advance(1 / limit)
    assert came[-1][1] == scene.topic.last
    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(came)]
    assert all(pause >= 1 / limit - 1e-9 for pause in pauses)
