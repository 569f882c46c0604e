from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import trio
import trio.testing
from structlog.testing import capture_logs

from appliance.api import Event, Mode
from appliance.core.errors import PublishError
from appliance.loading.configured import Configured, configure
from appliance.settings.load import load
from appliance.sources.simulated.instruments import DOZEN
from appliance.sources.simulated.tape import Tape
from appliance.testing import RecordingFeed, record
from plugins.alerts import produce
from plugins.alerts.rules import AlertsSettings, RuleSettings
from tests.plugins.built_in import START, assert_refused, assert_taken, catalogue, channel, topics

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

SEEDS = range(8)


def alert(**data: Any) -> Event:
    return Event("alerts", "BTC", {"type": "price_alert", "message": "Price exceeded $150", **data}, 0.0)


def price(value: float, at: float, *, key: str = "BTC") -> Event:
    return Event("price", key, {"symbol": key, "price": value}, at)


def settings(*rules: dict[str, Any]) -> AlertsSettings:
    usual = {"name": "high", "pattern": "price:*", "when": "price > 100", "message": "{key} is high"}
    return AlertsSettings(rules=tuple(RuleSettings(**{**usual, **rule}) for rule in rules))


@functools.cache
def market(seed: int) -> tuple[Event, ...]:
    """Two minutes of the simulated market, as those see it who watch its channels."""
    tape = Tape(seed=seed, symbols=DOZEN, start=START)
    ticks = [tape.step(START + second) for second in range(120)]
    return tuple(Event(row.channel, row.key, row.data, row.at) for tick in ticks for row in tick.rows)


@functools.cache
def told(seed: int) -> tuple[Event, ...]:
    """What the rules that it comes with find in them."""
    run = functools.partial(record, channel("alerts"), seconds=1, shown=market(seed))
    events = trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    return tuple(sorted(events, key=lambda event: event.at))


async def follow(clock: MockClock, rules: AlertsSettings, *shown: Event, seconds: float = 1.0) -> list[Event]:
    """What the rules find in the events within so many seconds, which take no time."""
    events = await record(channel("alerts"), seconds=seconds, settings=rules, shown=shown)
    assert clock.current_time() == pytest.approx(seconds)
    return events


# --- The channel. ---


def test_every_alert_counts_for_a_day() -> None:
    alerts = channel("alerts")
    assert (alerts.mode, alerts.message) == (Mode.LOG, "alert")
    assert alerts.topics == ("all", "symbol:*", "severity:*", "type:*")
    assert alerts.history.age == 86_400


def test_an_alert_is_in_the_topics_of_all_that_it_is() -> None:
    assert topics(alert(symbol="AAPL", severity="high")) == [
        "all",
        "symbol:AAPL",
        "severity:high",
        "type:price_alert",
    ]


@pytest.mark.parametrize("data", [{}, {"symbol": None, "severity": None}, {"symbol": ""}])
def test_an_alert_without_symbol_and_severity_is_in_no_topic_of_those(data: dict[str, Any]) -> None:
    assert topics(alert(**data)) == ["all", "type:price_alert"]


def test_a_row_needs_a_type_and_a_message() -> None:
    row = {"type": "price_alert", "symbol": "AAPL", "message": "Price exceeded $150", "severity": "high"}
    assert_taken("alerts", row)
    assert_refused("alerts", {"type": "price_alert"}, "message")
    assert_refused("alerts", {"message": "Price exceeded $150"}, "type")
    assert_refused("alerts", {**row, "severity": "urgent"}, "severity")
    assert_refused("alerts", {**row, "symbol": 5}, "symbol")


async def test_fields_that_nobody_knows_reach_clients() -> None:
    feed = RecordingFeed(channel("alerts"))
    data = {"type": "outage", "message": "Feed lost", "id": 7, "where": {"exchange": "X"}}
    await feed.publish(data, key="outage")
    assert [event.data for event in feed.events] == [data]


def configured(folder: Path, text: str) -> Configured:
    file = folder / "appliance.toml"
    file.write_text(text, encoding="utf-8")
    channels = configure(catalogue(), load(file=file, environment={}))
    return next(each for each in channels if each.channel.name == "alerts")


def test_applications_may_publish_beside_the_rules_or_in_their_place(tmp_path: Path) -> None:
    alone = configured(tmp_path, "")
    assert (alone.rows, alone.publishable) == (None, False)
    beside = configured(tmp_path, "[channels.alerts]\npublish = true\n")
    assert (beside.rows, beside.publishable) == (None, True)
    instead = configured(tmp_path, '[channels.alerts]\nsource = "publish"\n')
    assert (type(instead.rows).__name__, instead.publishable) == ("Published", True)


# --- The rules that it comes with. ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_alert_comes_soon_and_then_several_a_minute(seed: int) -> None:
    alerts = told(seed)
    assert alerts[0].at - START <= 10
    assert 4 <= len(alerts) <= 50


def test_the_alerts_agree_with_the_market() -> None:
    seen = 0
    for seed in SEEDS:
        known = {(event.channel, event.key, event.at): event.data for event in market(seed)}
        for event in told(seed):
            data = event.data
            assert (data["symbol"], event.key in DOZEN) == (event.key, True)
            match data["rule"]:
                case "fast_move" | "price_move" as name:
                    seen += 1
                    seconds, least = (10, 0.05) if name == "fast_move" else (60, 0.2)
                    before = known["price", event.key, max(START, event.at - seconds)]["price"]
                    assert data["price"] == known["price", event.key, event.at]["price"]
                    assert data["move"] == pytest.approx(100 * (data["price"] / before - 1))
                    assert abs(data["move"]) >= least
                case "confident_prediction":
                    rows = [known["predictions", event.key, event.at - second] for second in range(6)]
                    held = [row["confidence_1min"] for row in rows]
                    assert min(held[1:]) >= 0.65
                    assert data["confidence_1min"] in held[:2], "it had held before the event of that moment"
                case _:
                    assert data["message"] == known["signals", event.key, event.at]["description"]
    assert seen > 40


def test_all_of_them_speak_and_no_id_is_there_twice() -> None:
    alerts = [event for seed in SEEDS for event in told(seed)]
    assert {event.data["rule"] for event in alerts} == {rule.name for rule in AlertsSettings().rules}
    for seed in SEEDS:
        ids = [event.data["id"] for event in told(seed)]
        assert len(set(ids)) == len(ids)


# --- The producer. ---


async def test_it_tells_what_its_rules_find_in_other_channels(autojump_clock: MockClock) -> None:
    trade = {"name": "trade", "pattern": "trades:ETH", "when": "quantity > 5", "message": "{quantity} {key}"}
    events = await follow(
        autojump_clock,
        settings({"message": "{key} is at {price}"}, trade),
        *(price(99, 5.0), price(101, 6.0), price(200, 7.0, key="ETH")),
        *(Event("trades", key, {"quantity": 6}, 8.0) for key in ("ETH", "BTC")),
    )
    assert sorted((event.channel, event.key, event.at, event.data["message"]) for event in events) == [
        ("alerts", "BTC", 6.0, "BTC is at 101"),
        ("alerts", "ETH", 7.0, "ETH is at 200"),
        ("alerts", "ETH", 8.0, "6 ETH"),
    ]


@pytest.mark.parametrize(("seconds", "alerts"), [(39.8, 0), (40.2, 1), (100.0, 1)])
async def test_what_holds_is_told_in_time_without_an_event(
    autojump_clock: MockClock, seconds: float, alerts: int
) -> None:
    start = time.time()
    rules = settings({"hold": 30.0, "cooldown": 0.0})
    events = await follow(autojump_clock, rules, price(101, start + 10), seconds=seconds)
    assert [event.at for event in events] == pytest.approx([start + 40] * alerts)


async def test_what_begins_while_another_holds_is_told_in_its_own_time(autojump_clock: MockClock) -> None:
    start = time.time()
    shown = [price(101, start + at, key=key) for at, key in ((1, "A"), (8, "B"), (30, "C"), (31, "D"))]
    feed = RecordingFeed(
        channel("alerts"), settings({"hold": 10.0}), shown=[*shown, price(99, start + 35, key="C")]
    )
    seen: dict[str, float] = {}
    with trio.move_on_after(60):
        async with trio.open_nursery() as nursery:  # ends with the time
            nursery.start_soon(produce, feed, feed.settings)
            while True:
                await trio.sleep(0.25)
                for event in feed.events:
                    seen.setdefault(event.key, autojump_clock.current_time())
    assert seen == pytest.approx({"A": 11, "B": 18, "D": 41}, abs=0.5)


async def test_without_a_rule_it_waits(autojump_clock: MockClock) -> None:
    assert await follow(autojump_clock, settings(), *market(1), seconds=60) == []


async def test_an_alert_that_is_refused_does_not_end_the_rules(autojump_clock: MockClock) -> None:
    long = "K" * 200  # with `symbol:` before it, it is no key of a topic
    with pytest.raises(PublishError):
        await RecordingFeed(channel("alerts")).publish(alert(symbol=long).data, key=long)
    with capture_logs() as log:
        events = await follow(autojump_clock, settings({}), price(101, 1.0, key=long), price(101, 2.0))
    assert [event.key for event in events] == ["BTC"]
    assert [(line["event"], line["rule"], line["log_level"]) for line in log] == [
        ("an alert was refused", "high", "warning")
    ]


async def test_what_a_rule_cannot_judge_is_logged(autojump_clock: MockClock) -> None:
    with capture_logs() as log:
        await follow(autojump_clock, settings({"when": "volume > 1"}), price(1, 1.0), price(1, 2.0))
    assert log == [
        {
            "event": "a rule cannot judge",
            "log_level": "warning",
            "channel": "alerts",
            "rule": "high",
            "key": "BTC",
            "problem": "there is no `volume`",
            "times": 1,
        }
    ]


class Torrent:
    """A feed on which more events wait than anybody should take in one go."""

    channel = "alerts"
    log = structlog.get_logger()

    def __init__(self, count: int) -> None:
        self._events = iter([price(number, float(number)) for number in range(count)])
        self.over = trio.Event()

    def watch(self, *patterns: str) -> Torrent:
        assert patterns == ("price:*",)
        return self

    def __aiter__(self) -> Torrent:
        return self

    async def __anext__(self) -> Event:
        event = next(self._events, None)
        if event is None:
            self.over.set()
            await trio.sleep_forever()
            raise AssertionError("unreachable")
        return event


async def test_many_events_at_once_leave_others_their_turn() -> None:
    feed: Any = Torrent(1_000)
    turns = 0
    async with trio.open_nursery() as nursery:  # ends when all events are seen
        nursery.start_soon(produce, feed, settings({"when": "price > 9999"}))
        while not feed.over.is_set():
            await trio.lowlevel.checkpoint()
            turns += 1
        nursery.cancel_scope.cancel()
    assert turns >= 500
