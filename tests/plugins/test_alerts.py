from __future__ import annotations

import functools
import itertools
import time
from typing import TYPE_CHECKING, Any

import attrs
import hypothesis
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.api import Event, Mode
from appliance.core.errors import PublishError
from appliance.loading.configured import Configured, configure
from appliance.settings.load import load
from appliance.sources.simulated.instruments import DOZEN
from appliance.sources.simulated.tape import Tape
from appliance.testing import RecordingFeed, record
from plugins.alerts import produce, register_channels
from plugins.alerts.notes import WATCHED, key_name
from plugins.alerts.rules import AlertsSettings, RuleSettings
from tests.plugins.breaks import Run
from tests.plugins.built_in import START, assert_refused, assert_taken, catalogue, channel, topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from trio.testing import MockClock

    from tests.plugins.breaks import Broken

SEEDS = range(8)
[ALERTS] = register_channels()


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
    events = await record(ALERTS, seconds=seconds, settings=rules, shown=shown)
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
def test_what_holds_is_told_in_time_without_an_event(seconds: float, alerts: int) -> None:
    found = broken(settings({"hold": 30.0, "cooldown": 0.0}), price(101, 10.0), stretches=[(0, seconds)])
    assert times(found.all) == [40.0] * alerts


async def test_what_begins_while_another_holds_is_told_in_its_own_time(autojump_clock: MockClock) -> None:
    start = time.time()
    shown = [price(101, start + at, key=key) for at, key in ((1, "A"), (8, "B"), (30, "C"), (31, "D"))]
    feed = RecordingFeed(ALERTS, settings({"hold": 10.0}), shown=[*shown, price(99, start + 35, key="C")])
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
    feed = RecordingFeed(channel("alerts"), settings({}), shown=[price(101, 1.0, key=long), price(101, 2.0)])
    with trio.move_on_after(1):
        await produce(feed, feed.settings)
    assert autojump_clock.current_time() == 1
    assert [event.key for event in feed.events] == ["BTC"]
    assert [row.key for row, _ in feed.refused] == [long]


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


class Torrent(RecordingFeed):
    """A feed on which more events wait than anybody should take in one go."""

    def __init__(self, count: int, rules: AlertsSettings) -> None:
        super().__init__(channel("alerts"), rules)
        self._waiting = iter([price(number, float(number)) for number in range(count)])
        self.over = trio.Event()

    def watch(self, *patterns: str, exact: bool = False) -> Torrent:
        assert (patterns, exact) == (("price:*",), False)
        return self

    def __aiter__(self) -> Torrent:
        return self

    async def __anext__(self) -> Event:
        event = next(self._waiting, None)
        if event is None:
            self.over.set()
            await trio.sleep_forever()
            raise AssertionError("unreachable")
        return event


async def test_many_events_at_once_leave_others_their_turn() -> None:
    feed = Torrent(1_000, settings({"when": "price > 9999"}))
    turns = 0
    async with trio.open_nursery() as nursery:  # ends when all events are seen
        nursery.start_soon(produce, feed, feed.settings)
        while not feed.over.is_set():
            await trio.lowlevel.checkpoint()
            turns += 1
        nursery.cancel_scope.cancel()
    assert turns >= 500


# --- Over a break. ---

HOLDING = {"hold": 30.0, "clear": "price < 50", "cooldown": 60.0, "message": "{price}"}


def runs(rules: AlertsSettings, *shown: Event) -> Run:
    return Run(
        channel=ALERTS,
        settings=rules,
        shown=[attrs.evolve(event, at=START + event.at) for event in shown],
        is_noted=lambda event, state: any(
            name == key_name(rule.name, (event.channel, event.key)) and note["at"] >= event.at
            for rule in rules.rules
            for name, note in state.items()
        ),
    )


def broken(
    rules: AlertsSettings,
    *shown: Event,
    stretches: Iterable[tuple[float, float]],
    state: Mapping[str, Any] | None = None,
) -> Broken:
    return runs(rules, *shown)(stretches, state=state)


def times(events: Iterable[Event]) -> list[float]:
    return [event.at - START for event in events]


def test_what_holds_goes_on_holding_and_is_told_in_its_time() -> None:
    found = broken(settings(HOLDING), price(101, 10.5), stretches=[(0, 10.6), (20, 40.4), (40.4, 41)])
    assert [times(events) for events in found.events] == [[], [], [40.5]]
    assert found.events[2][0].data["message"] == "101", "though no event came since"


def test_what_has_held_for_its_time_during_a_break_is_told_after_it() -> None:
    found = broken(settings(HOLDING), price(101, 10.5), stretches=[(0, 11), (3600, 3601), (3601, 3700)])
    assert [times(events) for events in found.events] == [[], [40.5], []]


def test_what_is_raised_stays_raised_until_it_is_cleared() -> None:
    prices = [(101, 0.5), (102, 20.5), (49, 30.5), (103, 95.5)]
    shown = [price(value, at) for value, at in prices]
    found = broken(
        settings({"clear": "price < 50", "cooldown": 60.0}),
        *shown,
        stretches=[(0, 0.6), (10, 20.6), (25, 30.6), (90, 99)],
    )
    assert [times(events) for events in found.events] == [[0.5], [], [], [95.5]]


def test_a_cooldown_goes_on_while_nobody_watches() -> None:
    shown = [price(101, at) for at in (0.5, 40.5, 60.4, 60.5, 100.5)]
    found = broken(settings({"cooldown": 60.0}), *shown, stretches=[(0, 1), (40, 50), (60, 70), (100, 110)])
    assert times(found.all) == [0.5, 60.5]


def test_an_alert_and_what_is_known_of_it_are_noted_together() -> None:
    found = broken(
        settings({"cooldown": 60.0}), price(101, 5.5), price(102, 6.5), stretches=[(0, 5.5001), (6, 9)]
    )
    assert times(found.all) == [5.5]


def test_ids_are_not_given_twice_over_a_break() -> None:
    rules = settings({"cooldown": 0.0})
    shown = [price(101, 5.0), price(102, 5.0)]
    first = broken(rules, shown[0], stretches=[(0, 6)])
    again = broken(rules, shown[1], stretches=[(5, 9)], state=first.states[0])
    assert [event.data["id"].rpartition(":")[2] for event in first.all + again.all] == ["0", "1"]


def test_windows_go_on_over_a_short_break() -> None:
    rules = settings({"when": "move > 5", "values": {"move": 'change("price", 60)'}, "message": "{move:.0f}"})
    shown = [price(100, 0.5), price(104, 30.5), price(110, 50.5)]
    found = broken(rules, *shown, stretches=[(0, 32), (40, 60)])
    assert [event.data["message"] for event in found.all] == ["10"]


def test_a_move_while_nobody_watched_is_no_move_of_a_minute() -> None:
    rules = settings({"when": "move > 5", "values": {"move": 'change("price", 60)'}, "message": "{move:.0f}"})
    shown = [
        price(100, 0.5),
        *(price(value, at) for value, at in ((150, 3600.5), (151, 3620.5), (165, 3640.5))),
    ]
    found = broken(rules, *shown, stretches=[(0, 2), (3600, 3622), (3623, 3650)])
    assert [event.data["message"] for event in found.all] == ["10"], "since the first that was seen again"


def test_the_event_before_is_the_one_before_the_break() -> None:
    rules = settings({"when": "price > before.price", "message": "{before.price} to {price}"})
    found = broken(rules, price(5, 0.5), price(6, 20.5), stretches=[(0, 2), (10, 30)])
    assert [event.data["message"] for event in found.all] == ["5 to 6"]


RAISED = {"name": "raised", "clear": "price < 50", "cooldown": 0.0}


@pytest.mark.parametrize(
    ("change", "alerts"),
    [
        ({"message": "{price}"}, 1),
        ({"severity": "low", "type": "other"}, 1),
        ({"hold": 2.0}, 1),
        ({"cooldown": 5.0}, 1),
        ({"when": "price > 99"}, 2),
        ({"clear": "price < 51"}, 2),
        ({"clear": None}, 2),
        ({"pattern": "price:B*"}, 2),
        ({"values": {"half": "price / 2"}}, 2),
        ({"name": "other"}, 2),
    ],
    ids=str,
)
def test_a_rule_that_asks_something_else_begins_anew(change: dict[str, Any], alerts: int) -> None:
    first = broken(settings(RAISED), price(101, 0.5), stretches=[(0, 2)])
    after = broken(settings({**RAISED, **change}), price(102, 5.5), stretches=[(3, 9)], state=first.states[0])
    assert len(first.all + after.all) == alerts


def test_nothing_is_left_of_a_rule_that_is_gone() -> None:
    rules = settings(
        {**RAISED, "values": {"low": 'min("price", 60)'}}, {"name": "kept", "when": "price > 500"}
    )
    [before] = broken(rules, price(101, 0.5), stretches=[(0, 2)]).states
    assert sum("raised" in name for name in before) == 3
    with capture_logs() as log:
        [after] = broken(attrs.evolve(rules, rules=rules.rules[1:]), stretches=[(3, 4)], state=before).states
    assert [(line["event"], line["rules"]) for line in log] == [
        ("rules are gone, or ask something else and begin anew", ["raised"])
    ]
    assert {name for name in before if "kept" in name} == after.keys() - {WATCHED}


@pytest.mark.parametrize("when", ["price > 100", 'min("price", 60) > 100', "price > before.price"])
def test_of_many_keys_no_more_is_noted_than_a_rule_remembers(when: str) -> None:
    rules = attrs.evolve(settings({"when": when, "cooldown": 0.0}), keys=3)
    shown = [price(101 + number, number / 4 + 0.1, key=f"K{number % 10}") for number in range(60)]
    [state] = broken(rules, *shown, stretches=[(0, 30)]).states
    assert sum(name.startswith('["key"') for name in state) == 3
    assert len(state) <= 2 + 3 * (1 + 9), "a window is noted in nine pieces at most"


@pytest.mark.parametrize("lives", range(1, 25))
@pytest.mark.parametrize(
    ("rule", "alerts"),
    [
        ({"cooldown": 3.0}, 5),
        ({"hold": 4.0, "cooldown": 0.0, "clear": "price < 95"}, 3),
        ({"when": "move > 2", "values": {"move": 'change("price", 8)'}, "cooldown": 5.0}, 2),
    ],
    ids=["cooldown", "hold", "window"],
)
def test_a_crash_after_anything_that_it_does_changes_no_alert(
    rule: dict[str, Any], alerts: int, lives: int
) -> None:
    rules = settings(rule)
    prices = (99, 101, 103, 102, 98, 94, 101, 102, 103, 104, 90, 106)
    shown = [price(value, 1.3 + 1.5 * at) for at, value in enumerate(prices)]
    run = runs(rules, *shown)
    found = run([(0, 15), (0, 30)], lives=lives)
    kept = [event for event in run.shown if event not in found.lost]
    whole = attrs.evolve(run, shown=kept)([(0, 30)])
    ids = [[event.data["id"] for event in each.all] for each in (found, whole)]
    assert len(set(ids[0])) == len(ids[0]) >= alerts
    assert sorted(ids[0]) == sorted(ids[1])


PAUSES = st.sampled_from([0, 1, 1, 1, 2, 5, 12])
KEYS = st.sampled_from("AB")
VALUES = st.integers(1, 10)


@st.composite
def tapes(draw: st.DrawFn) -> list[Event]:
    """Prices of two keys over a minute or so."""
    rows: list[Event] = []
    at = 0.5
    for _ in range(draw(st.integers(1, 25))):
        at += draw(PAUSES)
        key = draw(KEYS)
        while (key, at) in [(row.key, row.at) for row in rows]:
            at += 0.001  # else nobody can tell which of them was noted
        rows.append(price(draw(VALUES), at, key=key))
    return rows


@hypothesis.settings(max_examples=60, deadline=None)
@given(
    tape=tapes(),
    breaks=st.lists(
        st.integers(1, 360).map(lambda quarter: quarter / 4 + 0.125), max_size=4, unique=True
    ).map(sorted),
    rule=st.fixed_dictionaries(
        {
            "when": st.sampled_from(["price > 6", 'change("price", 20) > 10', "price > before.price"]),
            "clear": st.sampled_from([None, "price < 4"]),
            "hold": st.sampled_from([0.0, 7.0, 30.0]),
            "cooldown": st.sampled_from([0.0, 5.0, 40.0]),
        }
    ),
)
def test_a_crash_at_any_moment_changes_no_alert(
    tape: list[Event], breaks: list[float], rule: dict[str, Any]
) -> None:
    """But that of events which came within the second before it is nothing known."""
    rules = settings({**rule, "message": "{price}"})
    stretches = list(itertools.pairwise([0.0, *breaks, 150.0]))
    found = broken(rules, *tape, stretches=stretches)
    ends = [end for _, end in stretches]
    for event in found.lost:
        assert any(0 < end - (event.at - START) < 1.25 for end in ends)
    kept = [event for event in tape if attrs.evolve(event, at=START + event.at) not in found.lost]
    whole = broken(rules, *kept, stretches=[(0.0, 150.0)])

    def in_order(events: list[Event]) -> list[Event]:
        return sorted(events, key=lambda event: event.data["id"])

    assert in_order(found.all) == in_order(whole.all)
