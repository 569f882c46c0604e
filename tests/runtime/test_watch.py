"""A watch by itself; what it is for shows in test_feed.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.api import Event, Mode
from appliance.core import digits
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


async def test_numbers_are_floats_unless_they_are_to_be_exact() -> None:
    body = b'{"price":43250.7500,"change":-0.5}'
    for exact in (False, True):
        watch = Watch("tape", ("*",), most=5, exact=exact)
        watch.see(Event("price", "BTC", {}, 1.0), [topic("price:BTC")], body)
        data = (await anext(watch)).data
        assert data == {"price": 43250.75, "change": -0.5}
        assert (digits.encode(data) == body) is exact
        assert isinstance(data["change"], float)
