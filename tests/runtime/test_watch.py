"""A watch by itself; what it is for shows in test_feed.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.api import Event, Mode
from appliance.core.history import Retention, Topic
from appliance.runtime.watch import Watch

if TYPE_CHECKING:
    from trio.testing import MockClock

KEEP = Retention(count=10, age=None, size=10_000)


def topic(name: str) -> Topic:
    return Topic(name, Mode.LOG, "m", "e", KEEP)


async def test_who_waits_gets_the_next_event(autojump_clock: MockClock) -> None:
    watch = Watch("alerts", ("trades:*",), most=5)
    event = Event("trades", "BTC", {}, 1.0)

    async def later() -> None:
        await trio.sleep(10)
        watch.see(event, [topic("trades:all"), topic("trades:BTC")], b'{"n":1}')

    async with trio.open_nursery() as nursery:  # ends when the event has come
        nursery.start_soon(later)
        seen = await anext(watch)
    assert (seen.key, seen.data) == ("BTC", {"n": 1})
    assert autojump_clock.current_time() == 10


async def test_a_channel_does_not_watch_itself() -> None:
    watch = Watch("alerts", ("*",), most=5)
    watch.see(Event("alerts", "all", {}, 1.0), [topic("alerts:all")], b"{}")
    watch.see(Event("price", "BTC", {}, 2.0), [topic("price:BTC")], b"{}")
    assert (await anext(watch)).channel == "price"
