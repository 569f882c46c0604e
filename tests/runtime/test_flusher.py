"""The one task that writes: to sockets that take everything, fill up, stall, drain and break."""

# ruff: noqa: ARG001 - pytest-trio takes the clock of a test from its arguments

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from appliance.core import passages
from appliance.core.events import Mode
from appliance.core.history import Retention, Topic
from appliance.runtime.flusher import SLICE, Flusher
from tests.runtime.stage import Lines, Socket

if TYPE_CHECKING:
    from trio.testing import MockClock

    from appliance.core.events import Entry
    from appliance.core.outbox import Outbox
    from appliance.core.passages import Passage

STALLED = 30.0
BURST = 2000


class Reading:
    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self._update = Lines().update(topic, topic.name)
        self.gap = Lines().gap(topic, topic.name)

    def frame(self, entry: Entry) -> bytes:
        return self._update(entry)

    def passage(self, first: int) -> Passage:
        return passages.read(self.topic, first, self.frame)


class Client:
    """A socket, the outbox that leads to it, and why it was given up, if it was."""

    def __init__(
        self,
        flusher: Flusher,
        *readings: Reading,
        room: int | None = None,
        socket: Socket | None = None,
    ) -> None:
        self.socket = socket or Socket(room)
        self.given_up: list[str] = []
        self.outbox: Outbox = flusher.outbox(self.socket, self.given_up.append, burst=BURST)
        self._readings = readings
        for reading in readings:
            self.outbox.follow(reading)

    def publish(self, times: int = 1) -> None:
        for reading in self._readings:
            for _ in range(times):
                entry = reading.topic.append(b"0", at=0, received=0)
                self.outbox.offer(reading.topic, entry.offset, reading.frame(entry))

    def read(self) -> list[int | tuple[int, int]]:
        """Give the offsets that arrived; of a gap, the first and the last."""
        return [
            message["offset"] if message["kind"] == "update" else (message["first"], message["last"])
            for message in self.socket.read()
        ]


def reading(mode: Mode, *, count: int = 10_000) -> Reading:
    return Reading(Topic(mode, mode, "m", "e", Retention(count=count, age=None, size=1 << 30)))


@pytest.fixture
async def flusher(nursery: trio.Nursery) -> Flusher:
    made = Flusher(stalled=lambda: STALLED)
    await nursery.start(made.run)
    return made


async def test_what_is_offered_arrives(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.STATE))
    client.publish()
    assert client.read() == []
    await wait_all_tasks_blocked()
    assert client.read() == [1]
    client.publish()
    await wait_all_tasks_blocked()
    assert client.read() == [2]


async def test_what_comes_together_is_written_together(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.STATE))
    client.publish(5)
    client.outbox.put(b'{"kind": "update", "offset": 0}\n')
    await wait_all_tasks_blocked()
    assert len(client.socket.pushes) == 1
    assert client.read() == [1, 2, 3, 4, 5, 0]
    assert flusher.deliveries == 6
    assert flusher.latency.count == 6


async def test_what_waits_before_it_runs_is_written_when_it_does(nursery: trio.Nursery) -> None:
    flusher = Flusher(stalled=lambda: STALLED)
    client = Client(flusher, reading(Mode.LOG))
    client.publish(3)
    await nursery.start(flusher.run)
    await wait_all_tasks_blocked()
    assert client.read() == [1, 2, 3]


@pytest.mark.parametrize("mode", Mode)
async def test_a_burst_costs_who_reads_nothing(flusher: Flusher, mode: Mode) -> None:
    client = Client(flusher, reading(mode))
    client.publish(5000)
    await wait_all_tasks_blocked()
    assert client.read() == list(range(1, 5001))
    assert flusher.deliveries == 5000
    assert max(map(len, client.socket.pushes)) < 100_000
    client.publish()
    await wait_all_tasks_blocked()
    assert client.read() == [5001]


async def test_a_full_socket_gets_the_newest_of_a_state_when_it_has_room(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.STATE), room=0)
    for _ in range(4):
        client.publish()
        await wait_all_tasks_blocked()
    assert client.read() == []
    client.socket.allow(None)
    await wait_all_tasks_blocked()
    assert client.read() == [1, (2, 3), 4]
    client.publish()
    await wait_all_tasks_blocked()
    assert client.read() == [5]


async def test_a_socket_that_fills_up_again_gets_the_newest_again(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.STATE), room=0)
    client.publish()
    await wait_all_tasks_blocked()
    client.publish()
    client.socket.allow(client.socket.waiting)
    await wait_all_tasks_blocked()
    client.publish(3)
    client.socket.allow(None)
    await wait_all_tasks_blocked()
    assert client.read() == [1, 2, (3, 4), 5]


async def test_a_full_socket_gets_all_of_a_log_when_it_has_room(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.LOG), room=0)
    for _ in range(400):
        client.publish(5)
        await wait_all_tasks_blocked()
    held = client.socket.waiting
    assert held < 2 * BURST
    client.socket.allow(None)
    await wait_all_tasks_blocked()
    assert client.read() == list(range(1, 2001))
    # It is handed over in portions, not all at once.
    assert max(map(len, client.socket.pushes)) < 100_000
    assert len(client.socket.pushes) > 2


async def test_a_socket_that_takes_little_by_little_is_served(
    flusher: Flusher, autojump_clock: MockClock
) -> None:
    client = Client(flusher, reading(Mode.LOG), room=0)
    client.publish(100)
    got: list[int | tuple[int, int]] = []
    for _ in range(100):
        await trio.sleep(STALLED - 1)
        client.socket.allow(90)
        await wait_all_tasks_blocked()
        got += client.read()
    assert client.given_up == []
    assert got == list(range(1, len(got) + 1))
    assert len(got) > 90


async def test_a_socket_that_takes_nothing_is_given_up(flusher: Flusher, autojump_clock: MockClock) -> None:
    client = Client(flusher, reading(Mode.STATE), room=0)
    client.publish()
    await trio.sleep(STALLED - 1)
    assert client.given_up == []
    await trio.sleep(2)
    assert client.given_up == ["the socket accepted nothing for 30 s (limits.stalled)"]


async def test_the_time_starts_anew_when_it_takes_something(
    flusher: Flusher, autojump_clock: MockClock
) -> None:
    client = Client(flusher, reading(Mode.STATE), room=0)
    client.publish()
    await trio.sleep(STALLED - 1)
    client.socket.allow(5)
    await trio.sleep(STALLED)
    assert client.given_up == []
    await trio.sleep(STALLED + 1)
    assert len(client.given_up) == 1


async def test_a_log_that_has_moved_on_is_told(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.LOG, count=10), room=0)
    client.publish()
    await wait_all_tasks_blocked()
    client.publish(20)
    client.socket.allow(None)
    await wait_all_tasks_blocked()
    assert client.read() == [1]
    assert client.given_up == ["log no longer keeps offsets 2 to 11 (history)"]
    assert client.outbox.positions() == {"log": ("e", 1)}


async def test_a_stalled_socket_hurts_no_other(flusher: Flusher, autojump_clock: MockClock) -> None:
    stalled = [Client(flusher, reading(Mode.STATE), room=0) for _ in range(20)]
    healthy = Client(flusher, reading(Mode.LOG))
    for second in range(60):
        for client in [*stalled, healthy]:
            client.publish()
        await trio.sleep(1)
        assert healthy.read() == [second + 1]
    assert all(client.given_up for client in stalled)
    assert healthy.given_up == []


async def test_answers_go_first_to_who_is_behind(flusher: Flusher) -> None:
    client = Client(flusher, reading(Mode.STATE), room=0)
    client.publish()
    await wait_all_tasks_blocked()
    client.publish()
    client.outbox.put(b'{"kind": "update", "offset": 0}\n')
    await wait_all_tasks_blocked()
    client.socket.allow(None)
    await wait_all_tasks_blocked()
    assert client.read() == [1, 0, 2]


async def test_what_is_owed_is_settled(
    flusher: Flusher, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    full, healthy = Client(flusher, reading(Mode.LOG), room=0), Client(flusher, reading(Mode.LOG))
    await flusher.settled()
    full.publish(100)
    healthy.publish(100)
    settled = trio.Event()

    async def settle() -> None:
        await flusher.settled()
        settled.set()

    nursery.start_soon(settle)
    await trio.sleep(5)
    assert healthy.read() == list(range(1, 101))
    before = settled.is_set()
    full.socket.allow(None)
    await trio.sleep(1)
    assert (before, settled.is_set()) == (False, True)
    assert full.read() == list(range(1, 101))


class Laborious(Socket):
    """A socket to which a write takes its time."""

    def push(self, data: bytes) -> bool:
        until = perf_counter() + SLICE / 10
        while perf_counter() < until:
            pass
        return super().push(data)


async def test_others_have_their_turn_while_a_long_batch_is_written(
    flusher: Flusher, nursery: trio.Nursery
) -> None:
    sockets = [Laborious() for _ in range(1000)]
    for socket in sockets:
        flusher.outbox(socket, print, burst=BURST).put(b"{}\n")
    written_at_turns: list[int] = []

    async def other() -> None:
        while True:
            written_at_turns.append(sum(socket.sent > 0 for socket in sockets))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    while not all(socket.sent for socket in sockets):
        await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
    # A slice is ten writes, looked at after each sixteen: far more turns than batches.
    between = [count for count in written_at_turns if 0 < count < len(sockets)]
    assert len(set(between)) > 20


async def test_others_have_their_turn_while_many_catch_up(flusher: Flusher, nursery: trio.Nursery) -> None:
    long = reading(Mode.LOG)
    for _ in range(500):
        long.topic.append(b"0", at=0, received=0)
    clients = [Client(flusher, long, socket=Laborious()) for _ in range(300)]
    for client in clients:
        client.outbox.replay([(long.topic, 0)])
    done_at_turns: list[int] = []

    async def other() -> None:
        while True:
            done_at_turns.append(sum(client.socket.sent > 0 for client in clients))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(other)
    while not all(client.socket.sent for client in clients):
        await trio.lowlevel.checkpoint()
    nursery.cancel_scope.cancel()
    assert all(client.read() == list(range(1, 501)) for client in clients)
    assert (
        len(set(done_at_turns)) > len(clients) / 30
    )  # a slice is ten writes, or twenty where two begin together


async def test_what_comes_while_a_batch_is_written_is_written_after_it(flusher: Flusher) -> None:
    clients = [Client(flusher, reading(Mode.LOG), socket=Laborious()) for _ in range(200)]
    for client in clients:
        client.publish()
    while not clients[0].socket.sent:
        await trio.lowlevel.checkpoint()
    for client in clients:
        client.publish()
    await wait_all_tasks_blocked()
    assert all(client.read() == [1, 2] for client in clients)


async def test_sessions_that_are_sent_the_same_are_handed_the_same_bytes(flusher: Flusher) -> None:
    shared = reading(Mode.LOG)
    clients = [Client(flusher, shared) for _ in range(3)]
    for _ in range(4):
        entry = shared.topic.append(b"0", at=0, received=0)
        frame = shared.frame(entry)
        for client in clients:
            client.outbox.offer(shared.topic, entry.offset, frame)
    await wait_all_tasks_blocked()
    pushed = [client.socket.pushes[0] for client in clients]
    assert pushed[0] is pushed[1]
    assert pushed[1] is pushed[2]
    assert [client.read() for client in clients] == [[1, 2, 3, 4]] * 3


async def test_who_is_behind_is_counted_until_up_to_date(flusher: Flusher) -> None:
    full, healthy = Client(flusher, reading(Mode.LOG), room=0), Client(flusher, reading(Mode.LOG))
    full.publish()
    healthy.publish()
    await wait_all_tasks_blocked()
    assert flusher.behind == 1
    full.socket.allow(None)
    await wait_all_tasks_blocked()
    assert flusher.behind == 0


async def test_who_is_given_up_is_counted_by_the_reason(flusher: Flusher, autojump_clock: MockClock) -> None:
    moved_on = Client(flusher, reading(Mode.LOG, count=10), room=0)
    moved_on.publish()
    await trio.sleep(1)
    moved_on.publish(20)
    moved_on.socket.allow(None)
    for _ in range(2):
        Client(flusher, reading(Mode.STATE), room=0).publish()
    await trio.sleep(2 * STALLED)
    assert flusher.dropped == {"history": 1, "stalled": 2}
    assert flusher.behind == 0
