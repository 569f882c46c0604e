"""Publishing from plugins, in their own tasks and threads."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
import trio

from appliance import broadcast
from appliance.broadcast import BroadcastError
from appliance.runtime.within import Within
from tests.runtime.intaking import Scene, event

COUNTS = {"total": 3, "channels": {"alerts": 2, "predictions": 1}}


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
async def within(scene: Scene) -> Within:
    return Within(scene.intake, lambda: COUNTS)


def text(raw: Any) -> bytes:
    return json.dumps(raw).encode()


async def test_an_event_is_published(scene: Scene, within: Within) -> None:
    receipt = await within.publish(text(event()), None)
    assert receipt["events"][0]["topics"] == [{"topic": "price:AAPL", "epoch": "e", "offset": 1}]
    assert scene.published("price:AAPL") == [{"price": 1.5}]


async def test_a_key_counts_once(scene: Scene, within: Within) -> None:
    assert [(await within.publish(text(event()), "k"))["duplicate"] for _ in range(2)] == [False, True]
    assert scene.hub.events == 1


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (text(event(key="")), "^key: "),
        (text(event("closed")), "may not publish into closed"),
        (b"{", "truncated"),
        (b"[" * 100_000, "recursion"),
    ],
)
async def test_a_mistake_is_told(scene: Scene, within: Within, raw: bytes, part: str) -> None:
    with pytest.raises(BroadcastError, match=part):
        await within.publish(raw, None)
    assert scene.hub.events == 0


async def test_a_key_for_something_else_is_told(within: Within) -> None:
    await within.publish(text(event()), "k")
    with pytest.raises(BroadcastError, match="another request"):
        await within.publish(text(event(key="MSFT")), "k")


async def test_who_publishes_without_end_lets_others_run(within: Within, nursery: trio.Nursery) -> None:
    turned = trio.Event()

    async def other() -> None:
        turned.set()

    nursery.start_soon(other)
    for _ in range(1_000):
        if turned.is_set():
            break
        await within.publish(text(event()), None)
    assert turned.is_set()


async def test_counts_are_given_here_and_in_threads(within: Within) -> None:
    assert within.connections() == COUNTS
    assert await trio.to_thread.run_sync(within.connections) == COUNTS


async def test_threads_publish_in_the_appliances_own(
    scene: Scene, within: Within, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    enter = scene.hub.enter

    def noting(*arguments: Any, **options: Any) -> Any:
        threads.add(threading.get_ident())
        return enter(*arguments, **options)

    monkeypatch.setattr(scene.hub, "enter", noting)
    receipt = await trio.to_thread.run_sync(within.publish_blocking, text(event()), None)
    assert receipt["published"] == 1
    assert threads == {threading.get_ident()}


async def test_the_functions_for_applications_work_in_a_plugin(scene: Scene, within: Within) -> None:
    """In a task of Trio, in a thread, and in a loop of asyncio that a plugin runs in a thread."""

    def in_thread() -> None:
        done = broadcast.broadcast_market_data(symbol="b", market_data={"n": 2})
        assert isinstance(done, broadcast.Done)
        assert broadcast.connection_manager.get_connection_count("alerts") == 2

    async def in_asyncio() -> None:
        await broadcast.broadcast_market_data(symbol="c", market_data={"n": 3})

    with broadcast.inside(within):
        await broadcast.broadcast_market_data(symbol="a", market_data={"n": 1})
        assert broadcast.connection_manager.get_channels() == ["alerts", "predictions"]
        await trio.to_thread.run_sync(in_thread)
        await trio.to_thread.run_sync(asyncio.run, in_asyncio())
    assert [scene.published(f"price:{key}") for key in "ABC"] == [[{"n": 1}], [{"n": 2}], [{"n": 3}]]


async def test_tasks_that_begin_in_it_publish_through_it(scene: Scene, within: Within) -> None:
    async def producer() -> None:
        await broadcast.send_alert(alert_data={"symbol": "AAPL"})

    with broadcast.inside(within):
        async with trio.open_nursery() as nursery:  # ends with the producer
            nursery.start_soon(producer)
    assert scene.published("alerts:all") == [{"symbol": "AAPL"}]
