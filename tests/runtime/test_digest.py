"""What changed since the last beat, against a hub and outboxes as they are, and a model of what each member knows."""

from __future__ import annotations

import heapq
import itertools
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from appliance.api import Channel, Event, Mode
from appliance.core import chain
from appliance.core.history import Retention
from appliance.core.outbox import Outbox
from appliance.core.scope import Scope
from appliance.runtime.digest import Digests, Subject
from appliance.runtime.flusher import Flusher
from appliance.runtime.hub import Hub
from appliance.runtime.timers import Timers
from tests.runtime.stage import Message, Socket, line, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.core.events import Entry
    from appliance.core.history import Topic

INTERVAL = 3.0
SINCE_1970 = 1000.0
"""What the fake clock's zero is for those who are told the time."""


@attrs.frozen
class Spoken:
    """Words that can be read back: all parts in one frame, or a frame for each. A `null` says nothing.

    `rendered` keeps the topics whose entries were rendered, in turn.
    """

    name: str = "spoken"
    together: bool = True
    rendered: list[str] = attrs.field(factory=list, eq=False)

    def part(self, topic: Topic) -> Callable[[Entry], bytes]:
        def render(entry: Entry) -> bytes:
            self.rendered.append(topic.name)
            return b"" if entry.body == b"null" else entry.body

        return render

    def compose(self, parts: Iterable[tuple[str, bytes]], now: float) -> Iterable[bytes]:
        told = [(key, json.loads(part)) for key, part in parts]
        groups = [told] if self.together else [[each] for each in told]
        for group in groups:
            yield line("digest", at=now, parts=group)


@attrs.frozen
class Only:
    """The keys named; none named: all."""

    keys: frozenset[str] = frozenset()

    def admits(self, key: str) -> bool:
        return not self.keys or key in self.keys


def subject(
    *keys: str,
    channel: str = "price",
    read: tuple[str, ...] = ("*",),
    words: Spoken | None = None,
    interval: float = INTERVAL,
) -> Subject:
    return Subject(
        channel=channel,
        keys=Only(frozenset(keys)),
        scope=Scope(read),
        words=words or Spoken(),
        interval=interval,
    )


class Clock:
    """Time that stands still but when it is moved, and calls at a later time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        heapq.heappush(self.calls, (when, next(self._order), call))

    def to(self, moment: float) -> None:
        """Make each call at its time."""
        while self.calls and self.calls[0][0] <= moment:
            self.now = max(self.now, self.calls[0][0])
            heapq.heappop(self.calls)[2]()
        self.now = moment

    def late(self, moment: float) -> None:
        """Make all calls that are due only now: something else took its time."""
        self.now = moment
        self.to(moment)


class Client:
    """An outbox that is emptied as a flusher would, unless its socket is full."""

    def __init__(self, root: chain.Chain, *, burst: int = 100_000) -> None:
        self.outbox = Outbox(lambda _: None, root, burst=burst)

    def stall(self) -> None:
        self.outbox.shut()

    def read(self) -> list[Message]:
        return lines(self.outbox.collect())

    def resume(self) -> list[Message]:
        return lines(self.outbox.take(100_000))

    @property
    def told(self) -> list[list[list[Any]]]:
        """The parts of each message since the last look."""
        return [message["parts"] for message in self.read()]


class House:
    """A hub, digests of it, and a clock."""

    def __init__(self) -> None:
        self.hub = Hub(epoch="e1", most_topics=100, most_bytes=10_000)
        for name in ("price", "portfolio"):
            self.hub.open(
                Channel(name=name, mode=Mode.STATE, message="m"),
                None,
                Retention(count=3, age=None, size=10_000),
            )
        self.clock = Clock()
        self.digests = Digests(
            self.hub,
            clock=lambda: self.clock.now,
            call_at=self.clock.call_at,
            now=lambda: SINCE_1970 + self.clock.now,
        )
        self.root = chain.root()

    def publish(self, key: str, data: Any, channel: str = "price") -> None:
        self.hub.publish(Event(channel, key, data, 0.0), 0.0)

    def client(self, *, burst: int = 100_000) -> Client:
        return Client(self.root, burst=burst)

    def join(self, client: Client, of: Subject | None = None) -> Callable[[], None]:
        return self.digests.join(of or subject(), client.outbox)


@pytest.fixture
def house() -> House:
    return House()


# One member.


def test_a_member_is_told_all_there_is_and_then_what_changes(house: House) -> None:
    house.publish("A", 1)
    house.publish("B", 2)
    client = house.client()
    house.join(client)
    assert client.told == []
    house.clock.to(3)
    assert client.read() == [{"kind": "digest", "at": SINCE_1970 + 3, "parts": [["A", 1], ["B", 2]]}]
    house.publish("B", 3)
    house.clock.to(6)
    assert client.told == [[["B", 3]]]


def test_a_silent_member_is_told_all_there_is_at_its_first_beat_thereafter(house: House) -> None:
    house.publish("A", 1)
    first, silent = house.client(), house.client()
    house.join(first)
    house.clock.to(2)
    house.digests.join(subject(), silent.outbox, silence=1.5)
    house.clock.to(3)
    assert (first.told, silent.told) == ([[["A", 1]]], [])
    house.publish("B", 1)
    house.clock.to(6)
    assert (first.told, silent.told) == ([[["B", 1]]], [[["A", 1], ["B", 1]]])


def test_of_several_changes_the_newest_is_told_and_those_that_changed_last_come_last(house: House) -> None:
    client = house.client()
    house.join(client)
    for key, value in [("A", 1), ("B", 1), ("A", 2), ("C", 1), ("B", 2)]:
        house.publish(key, value)
    house.clock.to(3)
    assert client.told == [[["A", 2], ["C", 1], ["B", 2]]]


def test_where_nothing_changed_nothing_is_said(house: House) -> None:
    client = house.client()
    house.join(client)
    house.clock.to(3)
    house.publish("A", 1)
    house.clock.to(6)
    house.publish("A", 1)
    house.clock.to(9)
    assert client.told == [[["A", 1]]]


def test_an_event_of_which_nothing_is_to_be_said_leaves_its_topic_as_it_was(house: House) -> None:
    house.publish("A", 1)
    house.publish("B", None)
    client = house.client()
    house.join(client)
    house.publish("A", None)
    house.publish("C", None)
    house.clock.to(3)
    assert client.told == [[["A", 1]]]


def test_only_what_was_chosen_and_may_be_read_is_told(house: House) -> None:
    chooser, reader = house.client(), house.client()
    house.publish("A", 1)
    house.join(chooser, subject("A", "D"))
    house.join(reader, subject(read=("price:B*", "price:D", "portfolio:A")))
    for key in ("B", "C", "D"):
        house.publish(key, 1)
    house.publish("A", 1, channel="portfolio")
    house.clock.to(3)
    assert chooser.told == [[["A", 1], ["D", 1]]]
    assert reader.told == [[["B", 1], ["D", 1]]]


def test_several_frames_are_taken_as_a_whole(house: House) -> None:
    client = house.client(burst=1)
    house.join(client, subject(words=Spoken(together=False)))
    house.publish("A", 1)
    house.publish("B", 2)
    house.clock.to(3)
    assert client.told == [[["A", 1]], [["B", 2]]]


def test_beats_are_steady_and_missed_ones_are_left_out(house: House) -> None:
    client = house.client()
    house.clock.to(1)
    house.join(client)
    times = []
    for moment in (3.9, 4, 7.5, 20.5, 21.9, 22):
        house.publish("A", moment)
        house.clock.late(moment)
        times += [message["at"] - SINCE_1970 for message in client.read()]
    assert times == [4, 7.5, 20.5, 22]


# A member that is full.


def test_who_missed_beats_is_told_all_of_them_in_one_message_of_newest_values(house: House) -> None:
    client = house.client()
    house.join(client)
    for key in ("A", "B", "C"):
        house.publish(key, 1)
    house.clock.to(3)
    client.read()
    client.stall()
    for beat, (key, value) in enumerate([("A", 2), ("B", 2), ("A", 3)], start=2):
        house.publish(key, value)
        house.clock.to(3 * beat)
    assert client.resume() == []
    house.clock.to(15)
    assert client.told == [[["B", 2], ["A", 3]]]
    house.publish("C", 2)
    house.clock.to(18)
    assert client.told == [[["C", 2]]]


async def test_a_client_with_a_full_socket_is_told_once_it_reads_again(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time jumps
) -> None:
    hub, timers, flusher = House().hub, Timers(), Flusher(stalled=lambda: 60.0)
    digests = Digests(hub, clock=trio.current_time, call_at=timers.call_at, now=trio.current_time)
    slow, quick = Socket(room=10), Socket()

    def publish(key: str, value: int) -> None:
        hub.publish(Event("price", key, {"value": value}, 0.0), 0.0)

    async with trio.open_nursery() as nursery:  # ends when cancelled
        await nursery.start(timers.run)
        await nursery.start(flusher.run)
        for socket in (slow, quick):
            digests.join(subject(), flusher.outbox(socket, slow=pytest.fail, burst=1000))
        publish("A", 1)
        for value in range(1, 4):
            publish("B", value)
            await trio.sleep(INTERVAL + 0.1)
        first = [["A", {"value": 1}], ["B", {"value": 1}]]
        second, third = [["B", {"value": 2}]], [["B", {"value": 3}]]
        assert [message["parts"] for message in quick.read()] == [first, second, third]
        slow.allow(None)
        await trio.sleep(INTERVAL)
        assert [message["parts"] for message in slow.read()] == [first, third]
        nursery.cancel_scope.cancel()


# Many members.


def test_members_that_are_equally_far_share_one_frame(house: House) -> None:
    first, second, late, stalled = (house.client() for _ in range(4))
    house.publish("A", 1)
    for client in (first, second, stalled):
        house.join(client)
    house.clock.to(3)
    assert first.outbox.chain is second.outbox.chain is stalled.outbox.chain is not house.root
    for client in (first, second, stalled):
        client.read()
    stalled.stall()
    others = [house.client(), late]
    for client in others:
        house.join(client)
    house.publish("B", 1)
    house.clock.to(6)
    assert first.outbox.chain.frame is second.outbox.chain.frame
    assert others[0].outbox.chain.frame is late.outbox.chain.frame
    assert (first.told, second.told) == ([[["B", 1]]], [[["B", 1]]])
    assert (late.told, stalled.resume()) == ([[["A", 1], ["B", 1]]], [])


def test_members_with_equal_subjects_have_one_digest(house: House) -> None:
    for _ in range(3):
        house.join(house.client(), subject("A", "B"))
        house.join(house.client(), subject("B", "A"))
    assert len(house.digests) == 1
    others = [
        subject("A"),
        subject("A", "B", channel="portfolio"),
        subject("A", "B", read=("price:*",)),
        subject("A", "B", words=Spoken("other")),
        subject("A", "B", interval=5.0),
    ]
    for other in others:
        house.join(house.client(), other)
    assert len(house.digests) == 1 + len(others)


def test_an_event_is_rendered_once_for_all_digests_of_equal_words(house: House) -> None:
    words = Spoken()
    house.publish("A", 1)
    for keys in [(), ("A",), ("A", "B")]:
        house.join(house.client(), subject(*keys, words=words))
    assert words.rendered == ["price:A"]
    house.publish("A", 2)
    house.publish("B", 1)
    house.clock.to(30)
    assert words.rendered == ["price:A", "price:A", "price:B"]


@attrs.define(eq=False)
class Counting:
    calls: int = 0

    def share(self, frame: bytes) -> bool:
        assert frame
        self.calls += 1
        return True


def test_a_beat_calls_each_member_once_and_none_when_nothing_changed(house: House) -> None:
    members = [Counting() for _ in range(1000)]
    for member in members:
        house.digests.join(subject(words=Spoken(together=False)), member)
    for key in ("A", "B", "C"):
        house.publish(key, 1)
    house.clock.to(3)
    assert {member.calls for member in members} == {1}
    house.clock.to(9)
    assert {member.calls for member in members} == {1}


# Coming and going.


def test_who_leaves_is_told_nothing_more(house: House) -> None:
    gone, there = house.client(), house.client()
    leave = house.join(gone)
    house.join(there)
    house.publish("A", 1)
    leave()
    house.clock.to(3)
    assert (gone.told, there.told) == ([], [[["A", 1]]])


def test_with_its_last_member_a_digest_ends(house: House) -> None:
    words = Spoken()
    leaves = [house.join(house.client(), subject(words=words)) for _ in range(2)]
    house.publish("A", 1)
    for leave in leaves:
        leave()
    assert len(house.digests) == 0
    house.publish("A", 2)
    house.publish("B", 1)
    assert words.rendered == ["price:A"]
    house.clock.to(3)
    assert house.clock.calls == []


def test_who_comes_back_is_told_everything_again_an_interval_later(house: House) -> None:
    client = house.client()
    leave = house.join(client)
    house.publish("A", 1)
    house.clock.to(3)
    leave()
    house.clock.to(4)
    house.publish("B", 1)
    house.join(client)
    house.clock.to(6.9)
    assert client.told == [[["A", 1]]]
    house.clock.to(7)
    assert client.told == [[["A", 1], ["B", 1]]]


def test_leaving_twice_takes_nothing_from_those_who_came_since(house: House) -> None:
    first, second = house.client(), house.client()
    leave = house.join(first)
    leave()
    house.join(second)
    house.join(first)
    leave()
    house.publish("A", 1)
    house.clock.to(3)
    assert (first.told, second.told) == ([[["A", 1]]], [[["A", 1]]])


# The model: what each member knows, and what it has yet to be told.

KEYS = ["A", "B", "C", "D"]
SUBJECTS = [
    subject(),
    subject("A", "B"),
    subject(read=("price:B", "price:C*")),
    subject(words=Spoken("other", together=False), interval=2.0),
]


@attrs.define(eq=False)
class Known:
    """What a member has been told, last at `since`, and the newest values that it must be told next."""

    client: Client
    of: Subject
    leave: Callable[[], None]
    owed: dict[str, int]
    since: float = 0.0
    view: dict[str, int] = attrs.field(factory=dict)
    stalled: bool = False


class Digesting(RuleBasedStateMachine):
    members: list[Known]

    @initialize()
    def begin(self) -> None:
        self.house = House()
        self.members = []
        self.values: dict[str, int] = {}
        self.due: dict[Subject, float] = {}

    def covered(self, of: Subject, key: str) -> bool:
        return of.keys.admits(key) and any(
            f"price:{key}".startswith(grant.rstrip("*")) for grant in of.scope.read
        )

    @rule(key=st.sampled_from(KEYS), value=st.integers(0, 2))
    def publish(self, key: str, value: int) -> None:
        self.house.publish(key, value)
        if self.values.get(key) == value:
            return
        self.values[key] = value
        for member in self.members:
            if self.covered(member.of, key):
                member.owed[key] = value

    @rule(of=st.sampled_from(SUBJECTS))
    def join(self, of: Subject) -> None:
        client = self.house.client()
        self.due.setdefault(of, self.house.clock.now + of.interval)
        owed = {key: value for key, value in self.values.items() if self.covered(of, key)}
        self.members.append(Known(client, of, self.house.join(client, of), owed))

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.members))
        self.members.remove(member)
        member.leave()
        if all(other.of != member.of for other in self.members):
            del self.due[member.of]
        assert len(self.house.digests) == len(self.due)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def stall_or_resume(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.members))
        if member.stalled:
            assert member.client.resume() == []
        else:
            member.client.stall()
        member.stalled = not member.stalled

    @rule(quarters=st.integers(1, 20))
    def pass_time(self, quarters: int) -> None:
        until = self.house.clock.now + quarters / 4
        while self.due and (next_beat := min(self.due.values())) <= until:
            self.house.clock.to(next_beat)
            self.beaten([of for of, due in self.due.items() if due == next_beat])
        self.house.clock.to(until)
        assert [member.client.read() for member in self.members] == [[] for _ in self.members]

    def beaten(self, subjects: list[Subject]) -> None:
        for of in subjects:
            self.due[of] += of.interval
        shared: dict[tuple[Subject, float], bytes] = {}
        for member in self.members:
            frame = member.client.outbox.chain.frame
            told = [dict(parts) for parts in member.client.told]
            if member.of not in subjects or member.stalled or not member.owed:
                assert told == []
                continue
            assert {key: value for parts in told for key, value in parts.items()} == member.owed
            assert sum(map(len, told)) == len(member.owed)
            assert len(told) == (1 if member.of.words == Spoken() else len(member.owed))
            assert shared.setdefault((member.of, member.since), frame) is frame
            member.view |= member.owed
            member.owed.clear()
            member.since = self.house.clock.now
            assert member.view == {
                key: value for key, value in self.values.items() if self.covered(member.of, key)
            }


TestDigesting = Digesting.TestCase
TestDigesting.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
