"""Hub, subscribers, outboxes, flusher and timers, with clients that come, go, stall and resume, against a model.

The model keeps every event of every topic in plain lists. Each client's `Witness` reads what arrives and knows
nothing else; `Delivery` knows what was published, and says what must have arrived.
"""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import attrs
import trio
import trio.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from appliance.api import Channel
from appliance.core.errors import RequestError
from appliance.core.events import Event, Mode
from appliance.core.history import Position, Resumption, Retention
from appliance.core.places import by_topic
from appliance.core.scope import EVERYTHING
from appliance.core.subscriptions import Joined, Terms
from appliance.runtime.flusher import Flusher
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Sight
from appliance.runtime.subscriber import Subscriber
from appliance.runtime.timers import Timers
from tests.runtime.stage import Lines, Message, Socket, line
from tests.runtime.witness import Witness
from tests.stepwise import Stepwise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")
Names: TypeAlias = dict[str, tuple[str | None, float | None]]
"""What a client has subscribed to: by name, under which label and with what limit."""

FORM = Lines()
BURST = 400
"""Bytes, so that a few events are too many for one write."""
LARGE = 40_000
"""Bytes, so that two events are more than a client that catches up is handed at a time."""
STALLED = 60.0
KEPT = {
    Mode.STATE: Retention(count=5, age=40, size=130_000),
    Mode.LOG: Retention(count=6, age=40, size=130_000),
}
AT_ONCE = 3
"""Events before the flusher has its turn: fewer than a topic keeps."""

CHANNELS = (
    Channel(name="state", mode=Mode.STATE, message="m", topics=("a",), open=True),
    Channel(
        name="log",
        mode=Mode.LOG,
        message="m",
        topics=("all", "x*"),
        route=lambda event, _: (event.key, "all"),
    ),
)
EVENTS = [("state", "a"), ("state", "b"), ("state", "c"), ("log", "x"), ("log", "y"), ("log", "all")]
PATTERNS = ["*", "state:*", "state:b*", "log:*"]
NAMES = ["state:a", "state:b", "state:c", "log:all", "log:x", "log:y", "log:never"]

MOST_CLIENTS = 5

several_events = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.sampled_from([0, 0, 0, 0, LARGE])), min_size=1, max_size=8
)
several_names = st.lists(st.sampled_from(NAMES + PATTERNS), min_size=1, max_size=3, unique=True)
limits = st.sampled_from([None, None, None, None, None, 0.5, 4.0])
some_client = st.integers(0, 5)


@contextlib.asynccontextmanager
async def running(*tasks: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:  # ends with the block
        for task in tasks:
            nursery.start_soon(task)
        yield
        nursery.cancel_scope.cancel()


@attrs.define
class Record:
    """All events of a topic, and how many of the first have left its history."""

    name: str
    mode: Mode
    declared: bool
    epoch: str
    events: list[tuple[object, int, float]] = attrs.field(factory=list)
    gone: int = 0

    @property
    def last(self) -> int:
        return len(self.events)

    @property
    def there(self) -> bool:
        """Whether patterns cover it."""
        return self.declared or bool(self.events)

    @property
    def snapshot(self) -> int:
        """The offset that a new reader begins behind."""
        return max(0, self.last - 1) if self.mode is Mode.STATE else self.last

    def add(self, body: object, size: int, now: float) -> None:
        self.events.append((body, size, now))
        kept = KEPT[self.mode]
        while self.last - self.gone > kept.count or sum(e[1] for e in self.events[self.gone :]) > kept.size:
            self.gone += 1

    def expire(self, now: float) -> None:
        age = KEPT[self.mode].age
        while age is not None and self.gone < self.last and self.events[self.gone][2] < now - age:
            self.gone += 1

    def resumption(self, position: Position) -> Resumption:
        """Say how a reader that comes back must be served."""
        missed = set(range(position.offset + 1, self.last + 1))
        there = set(range(self.gone + 1, self.last + 1))
        if self.mode is Mode.STATE:
            there |= {self.last}
        known = position.epoch == self.epoch and position.offset <= self.last
        if known and missed <= there:
            return Resumption(after=position.offset, recovered=True, gap=None)
        after = self.snapshot if self.mode is Mode.STATE else self.gone
        return Resumption(after=after, recovered=False, gap=(position.offset + 1, after) if known else None)


class Client:
    """A session as the edge makes them, with a witness on the other side of its socket."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.socket = Socket()
        self.outbox = delivery.flusher.outbox(self.socket, self._slow, burst=BURST)
        self.subscriber = Subscriber(
            lambda: Sight(delivery.hub, EVERYTHING),
            self.outbox,
            clock=trio.current_time,
            call_at=delivery.timers.call_at,
            newcomer=self._newcomer,
        )
        self.witness = Witness(lambda *place: delivery.bodies[place], is_log)
        self.names: Names = {}
        self.reads: set[str] = set()
        self.answers = 0
        self.behind = False
        self.ended = False

    def subscribe(self, command: Command, recover: dict[str, Position]) -> None:
        joined: list[Joined] = []
        names = []
        # Who resumes at the edge of a history can lose it to what comes before the flusher's turn.
        self.behind = self.behind or bool(recover)
        for name in command.names:
            label = f"{name}'" if command.labelled and not name.endswith("*") else None
            refused = self._delivery.refuses(name, command.limit)
            try:
                found = self.subscriber.subscribe(name, Terms(FORM, label, command.limit), by_topic(recover))
            except RequestError:
                assert refused
                continue
            assert not refused
            self.names[name] = (label, command.limit)
            assert {reading.topic.name for reading in found} == self._delivery.matching(name)
            for reading in found:
                self._delivery.check_joined(reading, recover, fresh=reading.topic.name not in self.reads)
                self.reads.add(reading.topic.name)
                # A snapshot that the history has let go can be overtaken in the same way.
                self.behind = self.behind or reading.after < self._delivery.records[reading.topic.name].gone
            names.append((name, label, command.limit))
            joined += found
        if names:
            self._tell("subscribed", names=names, joined=[describe(reading) for reading in joined])
            self.subscriber.catch_up()

    def unsubscribe(self, name: str) -> None:
        assert self.subscriber.unsubscribe(name) == (name in self.names)
        if self.names.pop(name, None):
            reads, self.reads = self.reads, self._delivery.covered(self.names) & self.reads
            self._tell("unsubscribed", name=name, left=sorted(reads - self.reads))
            self._delivery.release()

    def leave(self) -> None:
        self.subscriber.leave()
        self.socket.finish()
        self.reads.clear()
        self._delivery.release()

    def look(self) -> None:
        gaps = self.witness.gaps
        for message in self.socket.read():
            self.witness.read(message)
        assert self.behind or self.witness.gaps == gaps

    def _newcomer(self, joined: Joined, _: Terms) -> None:
        assert joined.topic.name not in self.reads
        assert (joined.after, joined.offset, joined.resumption) == (0, 0, None)
        self.reads.add(joined.topic.name)
        self._tell("subscribed", names=[], joined=[describe(joined)])

    def _slow(self, _reason: str) -> None:
        assert self.behind
        if self.ended:  # where a real session has closed its socket long ago
            return
        resume = self.outbox.positions()
        newest = {name: self._delivery.records[name].last for name in resume}
        self.subscriber.leave()
        self._tell("slow", resume=resume, newest=newest)
        self.socket.push(self.outbox.collect())
        self.ended = True
        self.reads.clear()
        self._delivery.release()

    def _tell(self, kind: str, **content: Any) -> None:
        text = line(kind, **content)
        self.answers += len(text)
        self.outbox.put(text)


@attrs.frozen
class Command:
    names: tuple[str, ...]
    labelled: bool
    limit: float | None


@attrs.frozen
class Left:
    """What a client that went away remembers."""

    names: tuple[str, ...]
    positions: dict[str, Position]


commands = st.builds(Command, several_names.map(tuple), st.booleans(), limits)


def describe(reading: Joined) -> Message:
    return {
        "topic": reading.topic.name,
        "epoch": reading.topic.epoch,
        "label": reading.label,
        "limit": reading.limit,
        "after": reading.after,
    }


def is_log(topic: str) -> bool:
    return topic.startswith("log:")


def find(names: Names, topic: str) -> bool:
    return topic in names or any(
        name.endswith("*") and topic.startswith(name[:-1]) and not (limit and is_log(topic))
        for name, (_, limit) in names.items()
    )


class Delivery(RuleBasedStateMachine):
    """What happens is gathered and then done at once, the flusher running behind it."""

    @initialize(commands=st.lists(commands, min_size=1, max_size=3))
    def begin(self, commands: list[Command]) -> None:
        self.flusher = Flusher(stalled=lambda: STALLED)
        self.timers = Timers()
        self.steps = Stepwise(running(self.flusher.run, self.timers.run))
        self.clients: list[Client] = []
        self.left: list[Left] = []
        self._epochs = itertools.count()
        self.bodies: dict[tuple[str, str, int], object] = {}
        self.soon: list[Callable[[], None]] = []
        self.gathered = 0
        self._serial = itertools.count()
        self._do(self._open)
        for command in commands:
            self._come(command, {})

    # What happens.

    @rule(events=several_events)
    def publish(self, events: list[tuple[tuple[str, str], int]]) -> None:
        self._publish_soon(events)

    @rule(where=st.sampled_from(EVENTS), times=st.integers(1, 20))
    def publish_much(self, where: tuple[str, str], times: int) -> None:
        for _ in range(times):
            self._publish_soon([(where, 0)])

    @precondition(lambda self: len(self.clients) < MOST_CLIENTS)
    @rule(command=commands)
    def come(self, command: Command) -> None:
        self._come(command, {})

    @precondition(lambda self: self.left and len(self.clients) < MOST_CLIENTS)
    @rule(which=some_client, labelled=st.booleans(), limit=limits)
    def come_back(self, which: int, labelled: bool, limit: float | None) -> None:  # noqa: FBT001 - drawn
        left = self.left[-1 - which % len(self.left)]
        self._come(Command(left.names, labelled, limit), left.positions)

    @precondition(lambda self: self.clients)
    @rule(which=some_client, command=commands)
    def subscribe(self, which: int, command: Command) -> None:
        self._soon(self._client(which), lambda client: client.subscribe(command, {}))

    @precondition(lambda self: self.clients)
    @rule(which=some_client, place=st.integers(0, 5), stray=st.sampled_from([None, None, None, *NAMES]))
    def unsubscribe(self, which: int, place: int, stray: str | None) -> None:
        client = self._client(which)
        names = [stray] if stray else list(client.names)
        if names:
            self._soon(client, lambda client: client.unsubscribe(names[place % len(names)]))

    @precondition(lambda self: self.clients)
    @rule(which=some_client, room=st.sampled_from([0, 0, 0, 1, 150, 1000]))
    def stall(self, which: int, room: int) -> None:
        self._allow(self._client(which), room)

    @precondition(lambda self: self.clients)
    @rule(
        which=some_client, room=st.sampled_from([0, 0, 150]), events=several_events, times=st.integers(1, 3)
    )
    def miss(self, which: int, room: int, events: list[tuple[tuple[str, str], int]], times: int) -> None:
        self._allow(self._client(which), room)
        self._publish_soon(events * times)

    @precondition(lambda self: self.clients)
    @rule(which=some_client, room=st.integers(1, 2 * LARGE))
    def trickle(self, which: int, room: int) -> None:
        client = self._client(which)
        if client.socket.room is not None:
            self._allow(client, client.socket.room + room)

    @precondition(lambda self: self.clients)
    @rule(which=some_client)
    def go_on(self, which: int) -> None:
        self._allow(self._client(which), None)

    @precondition(lambda self: self.clients)
    @rule(which=some_client)
    def go(self, which: int) -> None:
        self.flush()
        client = self.clients.pop(which % len(self.clients))
        self.left.append(Left(tuple(client.names), client.witness.positions()))
        self._do(client.leave)

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.0, 5.0, 30.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.flush()
        self.steps.jump(seconds)
        self._do(self._expire)
        self._look()

    @precondition(lambda self: len(self.bodies) > 40)
    @rule()
    def restart(self) -> None:
        while self.clients:
            self.go(0)
        self._do(self._open)

    @rule()
    def flush(self) -> None:
        self.gathered = 0
        happened, self.soon = self.soon, []
        if happened:
            self._do(lambda: [call() for call in happened])
        self._look()

    # What must be true.

    @precondition(lambda self: hasattr(self, "clients"))
    @invariant()
    def the_hub_has_the_topics_of_the_model(self) -> None:
        if not self.soon:
            assert {
                (topic.name, topic.epoch, topic.first, topic.last) for topic in self.hub.matching("*")
            } == {
                (record.name, record.epoch, record.gone + 1, record.last)
                for record in self.records.values()
                if record.there
            }

    def refuses(self, name: str, limit: float | None) -> bool:
        if limit and any(is_log(topic) for topic in self.matching(name)):
            return True
        return not name.endswith("*") and not self.matching(name)

    def matching(self, name: str) -> set[str]:
        """Give the topics that a name covers, with the one that it makes."""
        if name.endswith("*"):
            return {
                topic for topic in self.records if self.records[topic].there and topic.startswith(name[:-1])
            }
        makes = name.startswith(("state:", "log:x"))
        return {name} if makes or name in self.records else set()

    def covered(self, names: Names) -> set[str]:
        """Give the topics that are read under these names; what was only asked for is under no pattern."""
        return {
            topic
            for topic, record in self.records.items()
            if topic in names or (record.there and find(names, topic))
        }

    def check_joined(self, reading: Joined, recover: dict[str, Position], *, fresh: bool) -> None:
        topic = reading.topic
        record = self._record(topic.name, declared=False)
        assert (topic.epoch, reading.offset) == (record.epoch, record.last)
        position = recover.get(topic.name) if fresh else None
        if position is not None:
            assert reading.resumption == record.resumption(position)
            assert reading.after == reading.resumption.after
        else:
            assert reading.resumption is None
            assert record.snapshot <= reading.after <= record.last
            assert not fresh or reading.after == record.snapshot

    def release(self) -> None:
        """Forget topics that only existed because somebody read them."""
        for name, record in list(self.records.items()):
            read = any(name in client.reads for client in self.clients)
            if not (read or record.declared or record.events):
                del self.records[name]

    def teardown(self) -> None:
        if not hasattr(self, "steps"):
            return
        try:
            self.flush()
            for client in self.clients:
                self._allow(client, None)
            self.wait(5.0)
            for client in self.clients:
                self._check_current(client, limited=True)
                assert client.witness.done == client.ended
        finally:
            self.steps.stop()

    # How it is done.

    def _do(self, call: Callable[[], T]) -> T:
        """Call in between the tasks, and let them do all that follows from it."""

        async def step() -> T:
            result = call()
            await trio.testing.wait_all_tasks_blocked()
            return result

        return self.steps.do(step)

    def _come(self, command: Command, recover: dict[str, Position]) -> None:
        self.flush()
        client = self._do(lambda: Client(self))
        self.clients.append(client)
        self._soon(client, lambda client: client.subscribe(command, recover))

    def _publish_soon(self, events: list[tuple[tuple[str, str], int]]) -> None:
        for where, large in events:
            if self.gathered == AT_ONCE:
                self.flush()
            self.gathered += 1
            self.soon.append(partial(self._publish, *where, large))

    def _open(self) -> None:
        self.records: dict[str, Record] = {}
        self._made: dict[str, str] = {}
        self.hub = Hub(epoch=f"e{next(self._epochs)}", most_topics=100, most_bytes=LARGE + 1000)
        for channel in CHANNELS:
            self.hub.open(channel, None, KEPT[channel.mode])
        for name in ("state:a", "log:all"):
            self._record(name, declared=True)

    def _record(self, name: str, *, declared: bool) -> Record:
        record = self.records.get(name)
        if record is None:
            mode = Mode.LOG if is_log(name) else Mode.STATE
            epoch = self.hub.topic(name).epoch
            record = self.records[name] = Record(name, mode, declared, epoch)
        return record

    def _publish(self, channel: str, key: str, large: int) -> None:
        body = {"n": next(self._serial), "filling": "x" * large}
        now = trio.current_time()
        self.hub.publish(Event(channel, key, body, now), now)
        for topic in {key, "all"} if channel == "log" else {key}:
            record = self._record(f"{channel}:{topic}", declared=False)
            record.add(body, len(str(body).replace(" ", "")), now)
            self.bodies[record.name, record.epoch, record.last] = body

    def _expire(self) -> None:
        now = trio.current_time()
        self.hub.expire(now)
        for record in self.records.values():
            record.expire(now)

    def _client(self, which: int) -> Client:
        return self.clients[which % len(self.clients)]

    def _soon(self, client: Client, call: Callable[[Client], None]) -> None:
        def unless_ended() -> None:
            if not client.ended:
                call(client)

        self.soon.append(unless_ended)

    def _allow(self, client: Client, room: int | None) -> None:
        self.flush()
        if room is not None:
            client.behind = True
        self._do(lambda: client.socket.allow(room))
        self._look()

    def _look(self) -> None:
        """Read what has arrived, and compare it with what must have."""
        for client in self.clients:
            client.look()
            if client.socket.room is None:
                self._check_current(client, limited=False)
                client.behind = False
            elif not client.ended:
                # Answers aside, nothing is kept for a client that does not read.
                assert client.outbox.chain.size <= client.answers
                assert client.socket.waiting <= 65_536 + LARGE + 1000 + BURST + client.answers

    def _check_current(self, client: Client, *, limited: bool) -> None:
        if client.ended:
            return
        assert client.reads == self.covered(client.names)
        assert client.reads == set(client.witness.places)
        for name, place in client.witness.places.items():
            if limited or not place.limited:
                assert place.following == self.records[name].last + 1, f"{name} at {place}"


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
