"""What sessions add up to, and that nobody waits while they are counted."""

from __future__ import annotations

from collections import Counter
from time import perf_counter

import attrs
import trio

from appliance.core import chain
from appliance.core.events import Mode
from appliance.core.history import Retention, Topic
from appliance.core.outbox import Outbox
from appliance.runtime import census
from appliance.runtime.census import Census
from appliance.runtime.status import Traffic
from appliance.runtime.turns import SLICE


@attrs.define(eq=False)
class Session:
    """One that has been sent `unaccounted` bytes since it was last asked."""

    traffic: Traffic
    dialect: str = "cryptointel"
    transport: str = "websocket"
    outbox: Outbox | None = None
    unaccounted: int = 0
    takes: float = 0.0

    def account(self) -> None:
        until = perf_counter() + self.takes
        while perf_counter() < until:
            pass
        self.traffic.sent_bytes += self.unaccounted
        self.unaccounted = 0


def owing(events: int) -> Outbox:
    topic = Topic("t:a", Mode.LOG, "m", "e", Retention(count=1000, age=None, size=1 << 30))
    outbox = Outbox(lambda _: None, chain.root(), burst=1000)
    outbox.shut()
    for _ in range(events):
        outbox.offer(topic, topic.append(b"{}", at=0, received=0).offset, b"")
    return outbox


async def test_sessions_are_counted_by_what_they_are() -> None:
    traffic = Traffic()
    sessions = [
        Session(traffic, outbox=owing(0)),
        Session(traffic, outbox=owing(3)),
        Session(traffic, transport="sse", outbox=owing(5)),
        Session(traffic, transport="poll"),
        Session(traffic, "trading", outbox=owing(1)),
    ]
    assert await census.take(sessions) == Census(
        Counter(
            {
                ("cryptointel", "websocket"): 2,
                ("cryptointel", "sse"): 1,
                ("cryptointel", "poll"): 1,
                ("trading", "websocket"): 1,
            }
        ),
        owed=9,
        most_owed=5,
    )


async def test_nobody_is_nothing() -> None:
    assert await census.take(()) == Census()


async def test_who_is_counted_accounts_for_itself() -> None:
    traffic = Traffic(sent_bytes=100)
    sessions = [Session(traffic, unaccounted=1), Session(traffic, unaccounted=20)]
    for _ in range(2):
        await census.take(sessions)
        assert traffic.sent_bytes == 121
    sessions[0].unaccounted = 5
    sample = census.sample(sessions, traffic, deliveries=7)
    assert (sample.sent_bytes, sample.deliveries) == (126, 7)


async def test_others_get_their_turns_meanwhile() -> None:
    """Also those that end sessions: one that is gone is still asked, and has nothing more to add."""
    traffic = Traffic()
    sessions = {Session(traffic, unaccounted=1, takes=SLICE / 4) for _ in range(100)}
    turns = 0

    async def leave() -> None:
        nonlocal turns
        while sessions:
            turns += 1
            sessions.pop().account()
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:  # ends when all have left
        nursery.start_soon(leave)
        counted = await census.take(sessions)
        meanwhile = turns
    assert meanwhile > 5
    assert counted.sessions.total() <= 100
    assert traffic.sent_bytes == 100
