"""Answers made now, by makers of every kind."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from appliance.api import Channel, Event, Mode
from appliance.core.history import Retention
from appliance.core.scope import EVERYTHING
from appliance.runtime.answers import Answers
from appliance.runtime.hub import Hub
from appliance.runtime.sight import Sight

if TYPE_CHECKING:
    from appliance.core.events import Entry

WITHIN = 5.0


class Prediction(msgspec.Struct):
    price: float
    note: str | None = None


CHANNEL = Channel(name="predictions", mode=Mode.STATE, message="m", schema=Prediction, topics=("BTC", "ETH"))
NOTHING = object()


@pytest.fixture
def hub() -> Hub:
    made = Hub(epoch="e", most_topics=10, most_bytes=1_000)
    made.open(CHANNEL, None, Retention(10, None, 100_000))
    return made


@pytest.fixture
def answers(hub: Hub) -> Answers:
    return Answers(hub, within=lambda: WITHIN)


def publish(hub: Hub, price: float) -> None:
    hub.publish(Event("predictions", "BTC", {"price": price}, 1_000.0), 1_000.0)


def body(entry: Entry | None) -> Any:
    assert entry is not None
    return json.loads(entry.body)


async def make(answers: Answers, hub: Hub) -> Entry | None:
    return await answers.make(hub.topic("predictions:BTC"), Sight(hub, EVERYTHING))


async def test_what_is_made_stands_at_the_place_of_the_newest(answers: Answers, hub: Hub) -> None:
    asked: list[str] = []

    async def maker(key: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        asked.append(key)
        return {"price": 9, "note": "now"}

    answers.add(CHANNEL, maker)
    for price in (1, 2, 3):
        publish(hub, price)
    before = time.time()
    entry = await make(answers, hub)
    assert body(entry) == {"price": 9, "note": "now"}
    assert entry is not None
    assert entry.offset == 3
    assert before <= entry.at <= time.time()
    assert asked == ["BTC"]
    newest = hub.topic("predictions:BTC").latest
    assert newest is not None
    assert (newest.offset, body(newest)) == (3, {"price": 3})  # for nobody else has anything happened


async def test_what_is_made_needs_no_event_before_it(answers: Answers, hub: Hub) -> None:
    async def maker(_key: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"price": 9}

    answers.add(CHANNEL, maker)
    assert body(await make(answers, hub)) == {"price": 9}


async def test_without_a_maker_it_is_the_newest(answers: Answers, hub: Hub) -> None:
    assert await make(answers, hub) is None
    for price in (1, 2):
        publish(hub, price)
    assert await make(answers, hub) is hub.topic("predictions:BTC").latest


async def test_the_makers_of_other_channels_are_not_asked(answers: Answers, hub: Hub) -> None:
    async def maker(_key: str) -> dict[str, Any]:
        raise AssertionError

    answers.add(attrs.evolve(CHANNEL, name="prediction"), maker)
    publish(hub, 1)
    assert body(await make(answers, hub)) == {"price": 1}


async def test_a_maker_that_has_none_is_no_fault(answers: Answers, hub: Hub) -> None:
    async def maker(_key: str) -> None:
        await trio.lowlevel.checkpoint()

    answers.add(CHANNEL, maker)
    publish(hub, 1)
    with capture_logs() as log:
        assert body(await make(answers, hub)) == {"price": 1}
    assert log == []


NONSENSE: dict[str, Any] = {
    "wrong type": {"price": "much"},
    "nothing of it": {},
    "no mapping": 5,
    "a list": [{"price": 1}],
    "a text": "price",
    "no JSON": {"price": 1, "note": None, "more": object()},
    "too large": {"price": 1, "note": "x" * 2_000},
}


@pytest.mark.parametrize("schema", [Prediction, None])
@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE.keys())
async def test_nonsense_is_logged_and_the_newest_given(
    answers: Answers, hub: Hub, data: Any, schema: type | None
) -> None:
    async def maker(_key: str) -> Any:
        await trio.lowlevel.checkpoint()
        return data

    fits_without = schema is None and data in ({}, {"price": "much"})
    answers.add(attrs.evolve(CHANNEL, schema=schema), maker)
    publish(hub, 1)
    with capture_logs() as log:
        assert body(await make(answers, hub)) == (data if fits_without else {"price": 1})
    assert [(line["log_level"], line["channel"], line["key"]) for line in log] == (
        [] if fits_without else [("error", "predictions", "BTC")]
    )


async def broken(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    raise OSError("the model is away")


async def leaving(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    raise SystemExit(1)


async def broken_inside(_key: str) -> dict[str, Any]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leaving, "")
        nursery.start_soon(broken, "")
    return {}


async def impatient(_key: str) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    raise trio.TooSlowError


def not_async(_key: str) -> dict[str, Any]:
    return {"price": 1}


@pytest.mark.parametrize("maker", [broken, leaving, broken_inside, impatient, not_async])
async def test_what_a_maker_raises_is_logged_and_the_newest_given(
    answers: Answers, hub: Hub, maker: Any
) -> None:
    answers.add(CHANNEL, maker)
    publish(hub, 1)
    with capture_logs() as log:
        assert body(await make(answers, hub)) == {"price": 1}
    (line,) = log
    assert (line["event"], line["log_level"]) == ("no answer, the newest event is given", "error")


async def test_a_maker_that_takes_too_long_is_given_up(
    answers: Answers, hub: Hub, autojump_clock: trio.testing.MockClock
) -> None:
    given_up = False

    async def maker(_key: str) -> dict[str, Any]:
        nonlocal given_up
        try:
            await trio.sleep(WITHIN + 1)
        finally:
            given_up = True
        return {"price": 9}

    answers.add(CHANNEL, maker)
    publish(hub, 1)
    with capture_logs() as log:
        assert body(await make(answers, hub)) == {"price": 1}
    assert trio.current_time() == pytest.approx(WITHIN)
    assert given_up
    assert log == [
        {
            "event": "no answer in time, the newest event is given",
            "log_level": "warning",
            "channel": "predictions",
            "key": "BTC",
            "seconds": WITHIN,
        }
    ]
    del autojump_clock


async def test_the_time_is_that_of_the_moment(hub: Hub, autojump_clock: trio.testing.MockClock) -> None:
    within = [1.0]
    answers = Answers(hub, within=lambda: within[-1])

    async def maker(_key: str) -> dict[str, Any]:
        await trio.sleep(5)
        return {"price": 9}

    answers.add(CHANNEL, maker)
    publish(hub, 1)
    assert body(await make(answers, hub)) == {"price": 1}
    within.append(10.0)
    assert body(await make(answers, hub)) == {"price": 9}
    del autojump_clock


async def test_who_asks_may_leave(answers: Answers, hub: Hub) -> None:
    async def maker(_key: str) -> dict[str, Any]:
        await trio.sleep_forever()
        raise AssertionError

    answers.add(CHANNEL, maker)
    publish(hub, 1)
    with capture_logs() as log, trio.move_on_after(0.01) as scope:
        await make(answers, hub)
    assert scope.cancelled_caught
    assert log == []
