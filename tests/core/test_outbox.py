"""What a session is owed: at once while the socket takes it, from the histories when it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import chain, passages
from appliance.core.events import Entry, Mode
from appliance.core.history import Retention, Topic
from appliance.core.outbox import Lost, Outbox

if TYPE_CHECKING:
    from appliance.core.passages import Passage

BURST = 100
PLENTY = 1 << 30


class Reading:
    """`label:offset` for an entry, `label:first-last` for a gap."""

    def __init__(self, topic: Topic, label: str, *, silent: bool = False) -> None:
        self.topic = topic
        self._label = label
        self._silent = silent

    def frame(self, entry: Entry) -> bytes:
        return b"%s:%d " % (self._label.encode(), entry.offset)

    def passage(self, first: int) -> Passage:
        return passages.read(self.topic, first, self.frame, block=2)

    def gap(self, first: int, last: int) -> bytes:
        return b"" if self._silent else b"%s:%d-%d " % (self._label.encode(), first, last)


class Scene:
    """An outbox, the topics that it reads, and how often it said that it has something."""

    def __init__(self) -> None:
        self.changes = 0
        self.outbox = Outbox(self._changed, chain.root(), burst=BURST)
        self._readings: dict[Topic, Reading] = {}

    def topic(self, label: str, mode: Mode, *, count: int = 1000) -> Topic:
        made = Topic(label, mode, "m", f"epoch of {label}", Retention(count=count, age=None, size=1 << 30))
        self.follow(Reading(made, label))
        return made

    def follow(self, reading: Reading) -> None:
        self._readings[reading.topic] = reading
        self.outbox.follow(reading)

    def publish(self, topic: Topic, times: int = 1) -> None:
        for _ in range(times):
            entry = topic.append(b"{}", at=0, received=0)
            self.outbox.offer(topic, entry.offset, self._readings[topic].frame(entry))

    def collect(self) -> list[str]:
        return self.outbox.collect().decode().split()

    def take(self, budget: int = PLENTY) -> list[str]:
        return self.outbox.take(budget).decode().split()

    def take_all(self, budget: int = PLENTY) -> list[str]:
        got: list[str] = []
        while frames := self.take(budget):
            got += frames
        return got

    def _changed(self, outbox: Outbox) -> None:
        assert outbox is self.outbox
        self.changes += 1


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_open_outbox_gathers_frames_and_says_so_once(scene: Scene) -> None:
    state, log = scene.topic("s", Mode.STATE), scene.topic("l", Mode.LOG)
    scene.publish(state, 2)
    scene.publish(log)
    scene.outbox.put(b"answer ")
    assert scene.changes == 1
    assert scene.collect() == ["s:1", "s:2", "l:1", "answer"]
    assert scene.outbox.taken == 4
    scene.publish(state)
    assert scene.changes == 2
    assert scene.collect() == ["s:3"]


def test_an_empty_outbox_gives_nothing(scene: Scene) -> None:
    assert scene.collect() == []
    assert scene.take() == []
    assert scene.outbox.taken == 0


@pytest.mark.parametrize("mode", Mode)
def test_what_is_over_the_burst_comes_from_the_history_and_nothing_is_left_out(
    scene: Scene, mode: Mode
) -> None:
    topic = scene.topic("t", mode)
    scene.publish(topic, 200)
    assert scene.outbox.chain.size < 2 * BURST
    first = scene.take(BURST)
    assert first + scene.take_all() == [f"t:{offset}" for offset in range(1, 201)]
    assert scene.outbox.open
    assert scene.outbox.conflated == 0


def test_of_a_state_a_full_socket_gets_the_newest_and_a_notice(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.publish(topic)
    scene.collect()
    scene.outbox.shut()
    scene.publish(topic, 5)
    assert scene.take() == ["s:2-5", "s:6"]
    assert scene.take() == []
    assert scene.outbox.conflated == 4
    scene.publish(topic)
    assert scene.collect() == ["s:7"]


def test_one_event_that_waited_needs_no_notice(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.outbox.shut()
    scene.publish(topic)
    assert scene.take() == ["s:1"]
    assert scene.outbox.conflated == 0


def test_who_asked_to_be_told_less_gets_no_notice(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.follow(Reading(topic, "s", silent=True))
    scene.outbox.shut()
    scene.publish(topic, 3)
    assert scene.take() == ["s:3"]


def test_of_a_log_a_full_socket_gets_everything(scene: Scene) -> None:
    topic = scene.topic("l", Mode.LOG)
    scene.outbox.shut()
    scene.publish(topic, 5)
    assert scene.take_all() == ["l:1", "l:2", "l:3", "l:4", "l:5"]


def test_a_shut_outbox_holds_no_frames(scene: Scene) -> None:
    state, log = scene.topic("s", Mode.STATE), scene.topic("l", Mode.LOG)
    scene.outbox.shut()
    scene.publish(state, 1000)
    scene.publish(log, 1000)
    assert scene.outbox.chain.size == 0
    assert scene.changes == 0


def test_a_log_that_has_moved_on_is_lost(scene: Scene) -> None:
    topic = scene.topic("l", Mode.LOG, count=3)
    scene.publish(topic)
    scene.collect()
    scene.outbox.shut()
    scene.publish(topic, 5)
    with pytest.raises(Lost) as caught:
        scene.take()
    assert (caught.value.topic, caught.value.first, caught.value.last) == ("l", 2, 3)
    assert scene.outbox.positions() == {"l": ("epoch of l", 1)}


def test_what_is_not_taken_because_of_a_loss_is_not_counted_as_taken(scene: Scene) -> None:
    state, log = scene.topic("s", Mode.STATE), scene.topic("l", Mode.LOG, count=3)
    scene.outbox.shut()
    scene.publish(state, 2)
    scene.publish(log, 5)
    with pytest.raises(Lost):
        scene.take()
    positions = scene.outbox.positions()
    scene.outbox.forget(state)
    scene.outbox.forget(log)
    scene.outbox.put(b"goodbye ")
    assert scene.collect() == ["goodbye"]
    assert positions == {"s": ("epoch of s", 0), "l": ("epoch of l", 0)}


def test_a_state_that_has_moved_on_is_told(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE, count=3)
    scene.publish(topic, 2)
    scene.outbox.replay([(topic, 0)])
    scene.collect()
    scene.outbox.shut()
    scene.outbox.replay([(topic, 1)])
    scene.publish(topic, 8)
    assert scene.take() == ["s:2-9", "s:10"]


def test_answers_go_before_what_is_owed(scene: Scene) -> None:
    topic = scene.topic("l", Mode.LOG)
    scene.outbox.shut()
    scene.publish(topic)
    scene.outbox.put(b"answer ")
    assert scene.take() == ["answer", "l:1"]


@pytest.mark.parametrize("mode", Mode)
def test_a_budget_is_kept_about(scene: Scene, mode: Mode) -> None:
    topic = scene.topic("t", mode)
    for _ in range(50):
        topic.append(b"{}", at=0, received=0)
    scene.outbox.shut()
    scene.outbox.replay([(topic, 0)])
    shares = []
    while share := scene.take(20):
        shares.append(share)
        assert sum(map(len, share[:-2])) < 20  # two are given together
    assert [frame for share in shares for frame in share] == [f"t:{offset}" for offset in range(1, 51)]


def test_who_has_caught_up_is_told_of_gaps_as_before(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.publish(topic, 50)
    assert len(scene.take_all()) == 50
    scene.outbox.shut()
    scene.publish(topic, 3)
    assert scene.take() == ["s:51-52", "s:53"]


def test_who_is_far_behind_in_one_topic_still_hears_of_the_others(scene: Scene) -> None:
    busy, quiet = scene.topic("busy", Mode.LOG), scene.topic("quiet", Mode.STATE)
    scene.outbox.shut()
    scene.publish(busy, 1000)
    scene.publish(quiet)
    assert "quiet:1" not in scene.take(50)
    assert "quiet:1" in scene.take(50)


def test_a_replay_that_is_little_goes_at_once(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    for _ in range(3):
        topic.append(b"{}", at=0, received=0)
    scene.outbox.put(b"answer ")
    scene.outbox.replay([(topic, 1)])
    scene.publish(topic)
    assert scene.changes == 1
    assert scene.collect() == ["answer", "s:2", "s:3", "s:4"]
    assert scene.outbox.open


def test_a_replay_of_nothing_is_nothing(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.outbox.replay([(topic, 0)])
    assert scene.changes == 0
    scene.publish(topic, 2)
    scene.collect()
    scene.outbox.replay([(topic, 2)])
    assert scene.collect() == []


def test_a_large_replay_goes_as_the_socket_takes_it(scene: Scene) -> None:
    topic = scene.topic("l", Mode.LOG)
    for _ in range(100):
        topic.append(b"{}", at=0, received=0)
    scene.outbox.replay([(topic, 0)])
    assert scene.changes == 1
    assert not scene.outbox.open
    scene.publish(topic)
    assert scene.take_all() == [f"l:{offset}" for offset in range(1, 102)]


def test_who_has_missed_much_waits_for_its_turn(scene: Scene) -> None:
    topic = scene.topic("l", Mode.LOG)
    for _ in range(129):
        topic.append(b"{}", at=0, received=0)
    scene.outbox.put(b"subscribed ")
    scene.outbox.replay([(topic, 0)])
    assert scene.changes == 1
    assert not scene.outbox.open
    assert scene.collect() == ["subscribed"]
    assert scene.take_all() == [f"l:{offset}" for offset in range(1, 130)]
    assert scene.outbox.open


def test_a_replay_takes_nothing_from_what_is_owed(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.outbox.shut()
    scene.publish(topic, 4)
    scene.outbox.replay([(topic, 3)])
    assert scene.take_all() == ["s:1", "s:2", "s:3", "s:4"]


def test_a_forgotten_topic_is_owed_no_more(scene: Scene) -> None:
    kept, left = scene.topic("kept", Mode.LOG), scene.topic("left", Mode.LOG)
    scene.outbox.shut()
    scene.publish(kept)
    scene.publish(left)
    scene.outbox.forget(left)
    assert scene.take_all() == ["kept:1"]
    assert set(scene.outbox.positions()) == {"kept"}


def test_a_topic_goes_on_in_other_words(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    scene.outbox.shut()
    scene.publish(topic, 2)
    scene.follow(Reading(topic, "other"))
    assert scene.take() == ["other:1-1", "other:2"]


def test_what_a_limit_would_have_left_out_is_owed_when_it_goes(scene: Scene) -> None:
    topic, other = scene.topic("s", Mode.STATE), scene.topic("o", Mode.LOG)
    scene.publish(other, 50)
    scene.collect()
    topic.append(b"{}", at=0, received=0)
    scene.outbox.renew(topic, 1, b"s:1 ")
    scene.follow(Reading(topic, "s"))
    scene.publish(topic, 2)
    assert [frame for frame in scene.take_all() if frame.startswith("s")] == ["s:1", "s:2", "s:3"]


def test_positions_tell_what_has_left(scene: Scene) -> None:
    read, owed = scene.topic("read", Mode.LOG), scene.topic("owed", Mode.LOG)
    scene.publish(read, 3)
    scene.publish(owed, 2)
    scene.collect()
    scene.outbox.shut()
    scene.publish(owed, 2)
    assert scene.outbox.positions() == {"read": ("epoch of read", 3), "owed": ("epoch of owed", 2)}


def test_what_is_held_leaves_when_it_is_released(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    topic.append(b"{}", at=0, received=0)
    scene.outbox.hold(topic, 1, b"s:1 ")
    scene.outbox.hold(topic, 2, b"s:2 ")
    assert scene.outbox.positions() == {"s": ("epoch of s", 0)}
    assert scene.collect() == []
    scene.outbox.release(topic)
    scene.outbox.release(topic)
    assert scene.collect() == ["s:2"]


def test_what_is_held_but_has_left_with_the_history_is_not_owed(scene: Scene) -> None:
    topic = scene.topic("s", Mode.STATE)
    for _ in range(3):
        topic.append(b"{}", at=0, received=0)
    scene.outbox.shut()
    scene.outbox.replay([(topic, 0)])
    scene.outbox.hold(topic, 2, b"s:2 ")
    scene.outbox.hold(topic, 3, b"s:3 ")
    assert scene.take(8) == ["s:1", "s:2"]
    assert scene.outbox.positions() == {"s": ("epoch of s", 2)}
    scene.outbox.release(topic)
    assert scene.take_all() == ["s:3"]


steps = st.lists(
    st.tuples(st.just("publish"), st.integers(0, 2))
    | st.tuples(st.sampled_from(["write", "shut", "take"]), st.integers(1, 60)),
    max_size=80,
)


@given(steps)
def test_whatever_comes_each_event_leaves_once_or_is_declared_left_out(taken: list[tuple[str, int]]) -> None:
    scene = Scene()
    topics = [scene.topic("0", Mode.LOG), scene.topic("1", Mode.STATE), scene.topic("2", Mode.STATE, count=2)]
    got: list[str] = []
    stalled = False
    for step, number in [*taken, ("take", PLENTY)]:
        if step == "publish":
            scene.publish(topics[number])
        elif step == "shut" and scene.outbox.open:
            stalled = True
            got += scene.collect()
            scene.outbox.shut()
        elif step == "write" and scene.outbox.open:
            got += scene.collect()
        elif step == "take" and not scene.outbox.open:
            got += scene.take(number)
            stalled = not scene.outbox.open
        assert scene.outbox.chain.size <= 2 * BURST
    got += scene.take_all() if stalled or not scene.outbox.open else scene.collect()
    for topic in topics:
        following = 1
        for name, _, place in (frame.partition(":") for frame in got):
            if name == topic.name:
                first, _, last = place.partition("-")
                assert int(first) == following
                assert not last or topic.mode is Mode.STATE
                following = int(last or first) + 1
        assert following == topic.last + 1


def test_what_concerns_nobody_is_left_out_without_a_word(scene: Scene) -> None:
    class Even(Reading):
        def frame(self, entry: Entry) -> bytes:
            return b"" if entry.offset % 2 else super().frame(entry)

    topic = scene.topic("l", Mode.LOG)
    scene.follow(Even(topic, "l"))
    scene.outbox.shut()
    scene.publish(topic, 5)
    assert scene.take_all() == ["l:2", "l:4"]
    assert scene.outbox.open
    assert scene.outbox.taken == 2
    scene.outbox.replay([(topic, 4)])
    assert scene.outbox.open
    assert scene.collect() == []


@given(
    serials=st.lists(st.sampled_from("abc"), max_size=40),
    budget=st.integers(1, 60),
    open_at_first=st.booleans(),
)
def test_an_ordered_outbox_gives_what_is_owed_in_the_order_in_which_it_happened(
    serials: list[str], budget: int, *, open_at_first: bool
) -> None:
    outbox = Outbox(lambda _: None, chain.root(), burst=BURST, ordered=True)
    topics = {
        label: Topic(label, Mode.LOG, "m", "e", Retention(count=1000, age=None, size=1 << 30))
        for label in "abc"
    }
    for topic in topics.values():
        outbox.follow(Reading(topic, topic.name))
    expected = []
    for serial, label in enumerate(serials, 1):
        entry = topics[label].append(b"{}", at=0, received=0, serial=serial)
        expected.append(f"{label}:{entry.offset}")
    if not open_at_first:
        outbox.shut()
    outbox.replay((topic, 0) for topic in topics.values())
    got = outbox.collect().decode().split()
    while frames := outbox.take(budget):
        got += frames.decode().split()
    assert got == expected


@attrs.frozen
class Numbered:
    """A reading whose frames say which serials they are of."""

    topic: Topic

    def frame(self, entry: Entry) -> bytes:
        return b"%d:%d " % (entry.serial, entry.serial)

    def passage(self, first: int) -> Passage:
        return passages.read(self.topic, first, self.frame, block=2)

    def gap(self, first: int, last: int) -> bytes:
        serials = [entry.serial for entry in self.topic.after(0) if first <= entry.offset <= last]
        return b"gap:%b " % b",".join(b"%d" % serial for serial in serials)


@given(
    steps=st.lists(
        st.one_of(st.sampled_from(["state", "other", "log", "shut"]), st.integers(1, 60)), max_size=80
    ),
    budget=st.integers(1, 60),
)
def test_in_an_ordered_outbox_all_that_is_older_than_an_entry_is_sent_before_it_or_told_to_be_left_out(
    steps: list[str | int], budget: int
) -> None:
    outbox = Outbox(lambda _: None, chain.root(), burst=BURST, ordered=True)
    keep = Retention(count=1000, age=None, size=1 << 30)
    topics = {
        name: Topic(name, Mode.LOG if name == "log" else Mode.STATE, "m", "e", keep)
        for name in ("state", "other", "log")
    }
    for topic in topics.values():
        outbox.follow(Numbered(topic))
    published = 0
    got: list[str] = []
    for step in steps:
        if step == "shut":
            outbox.shut()
        elif isinstance(step, int):
            got += (outbox.collect() if outbox.open else outbox.take(step)).decode().split()
        else:
            published += 1
            topic = topics[step]
            entry = topic.append(b"{}", at=0, received=0, serial=published)
            outbox.offer(topic, entry.offset, Numbered(topic).frame(entry))
    got += outbox.collect().decode().split()
    while frames := outbox.take(budget):
        got += frames.decode().split()
    known: set[int] = set()
    newest = 0
    for frame in got:
        head, _, serials = frame.partition(":")
        known |= {int(serial) for serial in serials.split(",")}
        if head != "gap":
            assert int(head) > newest
            newest = int(head)
            assert known >= set(range(1, newest + 1))
    assert known == set(range(1, published + 1))


def test_what_all_share_is_refused_by_who_is_behind(scene: Scene) -> None:
    assert scene.outbox.share(b"shared ")
    assert scene.changes == 1
    assert scene.collect() == ["shared"]
    scene.outbox.shut()
    assert not scene.outbox.share(b"shared ")
    assert scene.take() == []
    for _ in range(BURST):
        scene.outbox.share(b"shared ")
    assert not scene.outbox.open
    assert len(scene.collect()) < BURST / 2


def test_what_is_owed_is_what_has_not_left(scene: Scene) -> None:
    state, log = scene.topic("s", Mode.STATE), scene.topic("l", Mode.LOG)
    assert scene.outbox.owed == 0
    scene.publish(state)
    scene.publish(log)
    scene.outbox.put(b"answer ")
    assert scene.outbox.owed == 3
    scene.collect()
    assert scene.outbox.owed == 0
    scene.outbox.shut()
    scene.publish(state, 5)
    scene.publish(log, 5)
    scene.outbox.put(b"answer ")
    assert scene.outbox.owed == len(["answer", "newest of the state"]) + 5
    assert scene.outbox.owed == len([frame for frame in scene.take_all() if "-" not in frame])
    assert scene.outbox.owed == 0


def test_of_a_state_that_is_to_come_whole_each_event_is_owed(scene: Scene) -> None:
    scene.publish(scene.topic("s", Mode.STATE), 200)
    owed = scene.outbox.owed
    assert owed == 200
    assert len(scene.take_all()) == owed


def test_gaps_are_counted_and_what_is_left_out_in_them(scene: Scene) -> None:
    first, second = scene.topic("a", Mode.STATE), scene.topic("b", Mode.STATE)
    scene.outbox.shut()
    scene.publish(first, 3)
    scene.publish(second, 5)
    scene.take_all()
    assert (scene.outbox.gaps, scene.outbox.conflated) == (2, 2 + 4)
