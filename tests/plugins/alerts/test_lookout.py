"""Rules against tapes of events: which alerts there are, of which key and time, in which words."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api import Event
from appliance.core.kept import change
from plugins.alerts.lookout import Lookout
from plugins.alerts.notes import key_name, recall
from plugins.alerts.rules import AlertsSettings, RuleSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plugins.alerts.lookout import Alert

LATER = 2e9
"""A time of the appliance at which no source is ahead of it."""


class Scene:
    """One rule, what it was shown, and what it said."""

    def __init__(self, *, keys: int = 100, samples: int = 1_000, **rule: Any) -> None:
        made = {"name": "r", "pattern": "price:*", "message": "{key}", "cooldown": 0.0, **rule}
        self.troubles: list[dict[str, Any]] = []
        self.alerts: list[Alert] = []
        self.lookout = Lookout(
            RuleSettings(**made),
            AlertsSettings(rules=(), keys=keys, samples=samples),
            lambda **told: self.troubles.append(told),
        )

    def see(
        self, at: float, data: object, *, key: str = "BTC", channel: str = "price", now: float = LATER
    ) -> list[Alert]:
        """A number is the price of an event."""
        row = data if isinstance(data, dict) else {"price": data}
        alerts = self.lookout.see(Event(channel, key, row, at), now)
        self.alerts += alerts
        return alerts

    def tape(self, prices: Iterable[tuple[float, object]]) -> list[tuple[float, str]]:
        for at, price in prices:
            self.see(at, price)
        return [(alert.at, alert.data["message"]) for alert in self.alerts]

    def note(self, state: dict[str, Any], *, most: int = 1_000) -> None:
        """Note all that is to be noted."""
        change(state, {**self.lookout.turned(), **self.lookout.changed(most)})

    def recall(self, state: dict[str, Any], *, interrupted: bool = False) -> None:
        """Go on with what was noted, as the store gives it back."""
        memory = recall(json.loads(json.dumps(state)), [self.lookout.rule])
        self.lookout.recall(memory.rules["r"], interrupted=interrupted)

    @property
    def times(self) -> list[float]:
        return [alert.at for alert in self.alerts]


def every(seconds: float, *prices: object) -> list[tuple[float, object]]:
    return [(number * seconds, price) for number, price in enumerate(prices)]


@pytest.mark.parametrize(
    ("rule", "tape", "alerts"),
    [
        pytest.param(
            {"when": "price > 100", "message": "{key} at {price:.2f}"},
            every(10, 99, 100, 101, 102, 100),
            [(20, "BTC at 101.00"), (30, "BTC at 102.00")],
            id="each event for which it holds",
        ),
        pytest.param(
            {"when": "price > 100", "cooldown": 20.0, "message": "{price}"},
            every(10, 101, 102, 103, 99, 104, 105, 106),
            [(0, "101"), (20, "103"), (40, "104"), (60, "106")],
            id="not more often than the cool-down",
        ),
        pytest.param(
            {"when": "price > 100", "clear": "price < 95", "message": "{price}"},
            every(10, 101, 102, 96, 103, 94, 99, 104, 94, 105),
            [(0, "101"), (60, "104"), (80, "105")],
            id="once until it is cleared",
        ),
        pytest.param(
            {"when": "price > 100", "clear": "price < 105", "message": "{price}"},
            every(10, 101, 102, 103, 110),
            [(0, "101"), (20, "103")],
            id="an event that clears is not judged",
        ),
        pytest.param(
            {"when": "price > 100", "clear": "price < 95", "cooldown": 60.0, "message": "{price}"},
            every(10, 101, 94, 102, 94, 103, 104, 105, 106),
            [(0, "101"), (60, "105")],
            id="cleared, and still in the cool-down",
        ),
        pytest.param(
            {"when": "price > 100", "hold": 30.0, "cooldown": 60.0, "message": "{price}"},
            every(10, 101, 102, 103, 104, 105, 99, 106, 107, 108, 109, 110, 111),
            [(30, "103"), (90, "108")],
            id="the alert is of the moment when it had held, with what was known then",
        ),
        pytest.param(
            {"when": "price > 100", "hold": 30.0, "message": "{price}"},
            every(20, 101, 102, 99, 103, 99),
            [(30, "102")],
            id="it had held before an event said otherwise",
        ),
        pytest.param(
            {"when": "price > 100", "hold": 30.0, "message": "{price}"},
            every(10, 101, 102, 99, 103, 104, 105, 99),
            [(60, "105")],
            id="an event that says otherwise begins it anew; the last moment counts",
        ),
        pytest.param(
            {"when": "price > 100", "clear": "price < 95", "hold": 15.0, "message": "{price}"},
            every(10, 101, 102, 103, 104, 94, 101, 102, 103),
            [(15, "102"), (65, "102")],
            id="held, raised, cleared, held",
        ),
        pytest.param(
            {
                "when": "price > before.price",
                "message": "{before.price} to {price} in {pause:.0f} s",
                "values": {"pause": "at - before.at"},
            },
            [(0, 5), (10, 6), (25, 6), (30, 8)],
            [(10, "5 to 6 in 10 s"), (30, "6 to 8 in 5 s")],
            id="the event before",
        ),
        pytest.param(
            {
                "when": "abs(move) >= 10",
                "values": {"move": 'change("price", 20)'},
                "message": "{move:+.1f} %",
            },
            every(10, 100, 105, 111, 111, 100),
            [(20, "+11.0 %")],
            id="a change within seconds",
        ),
        pytest.param(
            {"when": 'price >= max("price", 20) and price > before.price'},
            every(10, 5, 6, 4, 5, 5.5, 5.2),
            [(10, "BTC"), (40, "BTC")],
            id="the highest of some time",
        ),
        pytest.param(
            {"when": 'mean("price", 20) > 10 and min("price", 20) > 8', "message": "{price}"},
            every(10, 9, 12, 8, 13, 14, 15),
            [(10, "12"), (50, "15")],
            id="mean and least",
        ),
        pytest.param(
            {"when": "ratio > 2 or price > 100", "values": {"ratio": "price / volume"}, "message": "{ratio}"},
            [
                (0, {"price": 6, "volume": 2}),
                (1, {"price": 6, "volume": 4}),
                (2, {"price": 101, "volume": 0}),
            ],
            [(0, "3.0")],
            id="what divides by zero does not hold",
        ),
        pytest.param(
            {"when": 'key in ("BTC", "ETH") and channel == "price" and at >= 5 and data["a b"] == 1'},
            [(0, {"a b": 1}), (5, {"a b": 1}), (6, {"a b": 2})],
            [(5, "BTC")],
            id="what an event has beside its fields",
        ),
    ],
)
def test_the_alerts_of_a_tape(
    rule: dict[str, Any], tape: list[tuple[float, object]], alerts: list[tuple[float, str]]
) -> None:
    assert Scene(**rule).tape(tape) == alerts


def test_an_alert_says_all_of_itself() -> None:
    scene = Scene(
        name="steep",
        when="move > 1 and price > 0 and data.tags != 1",
        values={"move": 'change("price", 60)', "tags": "tags"},
        severity="high",
        type="price_alert",
        message="{key} went {move:.1f} %",
    )
    scene.see(1_766_000_000.0, {"price": 100, "tags": []})
    (alert,) = scene.see(1_766_000_001.5, {"price": 105, "tags": []})
    assert (alert.key, alert.at) == ("BTC", 1_766_000_001.5)
    assert alert.data == {
        "id": "steep:price:BTC:1766000001500000:0",
        "type": "price_alert",
        "symbol": "BTC",
        "severity": "high",
        "message": "BTC went 5.0 %",
        "rule": "steep",
        "timestamp": "2025-12-17T19:33:21.500Z",
        "move": 5.0,
        "price": 105,
    }


def test_the_type_of_an_alert_is_its_rule_unless_it_is_told() -> None:
    (alert,) = Scene(name="steep", when="price > 1").see(0, 5)
    assert (alert.data["type"], alert.data["severity"]) == ("steep", "medium")


def test_fields_of_the_alert_go_before_those_of_the_event() -> None:
    (alert,) = Scene(when='severity == "low" and type == "x"', severity="critical").see(
        0, {"severity": "low", "type": "x"}
    )
    assert (alert.data["severity"], alert.data["type"]) == ("critical", "r")


def test_ids_are_the_same_each_time_and_never_twice() -> None:
    tape = [(0.0, 5), (0.0, 6), (0.0, 7), (0.000_001, 8), (5.0, 9)]
    scenes = [Scene(when="price > 1"), Scene(when="price > 1")]
    for scene in scenes:
        scene.tape(tape)
    first, second = ([alert.data["id"] for alert in scene.alerts] for scene in scenes)
    assert first == second
    assert len(set(first)) == len(tape)


def test_keys_and_channels_are_each_for_itself() -> None:
    scene = Scene(when="price > before.price", cooldown=60.0)
    for at, key, channel, price in (
        *((0, "BTC", "price", 5), (1, "ETH", "price", 6), (2, "BTC", "book", 7)),
        *((3, "ETH", "price", 7), (4, "BTC", "book", 8), (5, "BTC", "price", 4), (6, "BTC", "price", 5)),
    ):
        scene.see(at, price, key=key, channel=channel)
    assert [(alert.at, alert.key) for alert in scene.alerts] == [(3, "ETH"), (4, "BTC"), (6, "BTC")]


# --- What holds for a time when nothing comes. ---


def test_what_holds_is_told_in_time_without_an_event() -> None:
    scene = Scene(when="price > 100", hold=30.0)
    assert scene.lookout.due == math.inf
    scene.see(500, 101, now=1_000)
    assert scene.lookout.due == 1_030, "by the clock of the appliance: the source may be behind"
    assert scene.lookout.settle(1_029.9) == []
    assert [(alert.at, alert.key) for alert in scene.lookout.settle(1_030)] == [(530, "BTC")]
    assert scene.lookout.due == math.inf
    assert scene.lookout.settle(2_000) == []


def test_what_no_longer_holds_is_not_due() -> None:
    scene = Scene(when="price > 100", hold=30.0)
    scene.see(500, 101, now=1_000)
    scene.see(501, 101, key="ETH", now=1_001)
    scene.see(510, 99, now=1_010)
    assert scene.lookout.due == 1_031
    assert [alert.key for alert in scene.lookout.settle(9_999)] == ["ETH"]


def test_an_event_that_comes_after_its_time_and_one_in_time_give_the_same_alert() -> None:
    settled, seen = (Scene(when="price > 100", hold=30.0, message="{price}") for _ in range(2))
    for scene in (settled, seen):
        scene.see(500, 101, now=1_000)
        scene.see(520, 102, now=1_020)
    assert settled.lookout.settle(1_030) == seen.see(600, 99, now=1_100) != []
    assert settled.see(600, 99, now=1_100) == []


def test_a_cool_down_holds_for_what_is_told_in_time() -> None:
    scene = Scene(when="price > 100", hold=30.0, cooldown=100.0)
    for at, price in ((0, 101), (31, 99), (40, 101), (80, 99), (120, 101)):
        scene.see(at, price, now=1_000 + at)
    scene.alerts += scene.lookout.settle(1_150)
    assert scene.times == [30, 150]


# --- Events that are not as they should be. ---


def test_a_late_event_joins_the_windows_and_is_not_judged() -> None:
    scene = Scene(when='min("price", 60) < 3', message="{price} after {before.price}")
    assert scene.tape([(0, 9), (50, 8), (20, 2), (60, 7), (81, 6)]) == [(60, "7 after 8")]


def test_a_late_event_contradicts_nothing() -> None:
    assert Scene(when="price > 100", hold=10.0).tape([(0, 101), (5, 102), (4, 1), (20, 103)])[0] == (
        10,
        "BTC",
    )


def test_events_of_one_time_are_judged_as_they_come() -> None:
    assert Scene(when="price > before.price", message="{price}").tape([(5, 1), (5, 2), (5, 1), (5, 3)]) == [
        (5, "2"),
        (5, "3"),
    ]


@pytest.mark.parametrize("at", [9_999_999.0, 1.766e12, math.inf, math.nan, -5.0])
def test_a_time_that_cannot_be_is_that_of_the_appliance(at: float) -> None:
    scene = Scene(when="price > 100")
    scene.see(at, 101, now=1_000)
    scene.see(1_001, 102, now=1_001)
    assert scene.times == [1_000, 1_001], "else the key would be silent until then"


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    scene = Scene(when="price > 100")
    scene.see(1_060, 101, now=1_000)
    assert scene.times == [1_060]


@pytest.mark.parametrize(
    ("when", "data", "problem"),
    [
        ("volume > 5", {"price": 1}, "there is no `volume`"),
        ("price > 5", {"price": None}, "there is no `price`"),
        ("price > 5", {"price": "6"}, "TypeError: '>' not supported between instances of 'str' and 'int'"),
        ("price > 5", {"price": [6]}, "TypeError: "),
        ("5 / price > 5", {"price": 0}, "ZeroDivisionError: "),
        ("price * 1e300 > 5", {"price": 10**400}, "OverflowError: "),
        ("price.bid > 5", {"price": 7}, "there is no `bid`"),
        ('mean("price", 60) > 5', {"price": "7"}, "there is no `price` in 60 seconds"),
        ('mean("price", 60) > 5', {"price": True}, "there is no `price` in 60 seconds"),
        ('mean("price", 60) > 5', {"price": math.nan}, "there is no `price` in 60 seconds"),
        ('change("price", 60) > 5', {"price": 0}, "ZeroDivisionError: "),
        ('change("price.bid", 60) > 5', {"price": 0}, "there is no `price.bid` in 60 seconds"),
        ("not volume", {"price": 1}, "there is no `volume`"),
        ("price > 0 and volume > 5 or price > 0", {"price": 1}, "there is no `volume`"),
    ],
)
def test_what_cannot_be_judged_does_not_hold(when: str, data: dict[str, Any], problem: str) -> None:
    scene = Scene(when=when)
    scene.see(0, data)
    assert scene.alerts == []
    (told,) = scene.troubles
    assert (told["rule"], told["key"], told["times"]) == ("r", "BTC", 1)
    assert told["problem"].startswith(problem)


def test_a_rule_goes_on_after_what_it_cannot_judge() -> None:
    scene = Scene(when="10 / price > 5", hold=10.0)
    assert scene.tape(every(4, 1, 0, 1, 1, 1)) == []
    assert scene.tape([(20, 1)])[0] == (18, "BTC")


def test_trouble_is_told_at_its_first_tenth_and_hundredth_time() -> None:
    scene = Scene(when="volume > 5")
    scene.tape(every(1, *range(250)))
    assert [told["times"] for told in scene.troubles] == [1, 10, 100]


def test_no_number_is_in_no_window() -> None:
    scene = Scene(when='max("price", 60) >= 5', message="{price}")
    assert scene.tape(every(1, math.nan, 5, math.inf, "7", 4)) == [
        *((1, "5"), (2, "inf"), (3, "7"), (4, "4")),
    ]
    assert Scene(when="price > 5 or price <= 5 or price == price").tape([(0, math.nan)]) == []


def test_a_message_shows_what_there_is() -> None:
    scene = Scene(
        when="price != 0 or volume != 0 or name != 0 or big != 0",
        message="{price:.1f} {volume:.1f} {name:.2f} {name:>6} {big:.2f} {data} {before.price}|{long}",
        values={"ratio": "price / 0", "long": "long", "half": "price / 2"},
    )
    scene.see(0, {"price": 1})
    (alert,) = scene.see(1, {"price": 2, "name": "BTC", "big": 10**400, "long": "x" * 1_000, "volume": None})
    assert alert.data["message"] == f"2.0 ? BTC    BTC {str(10**400)[:200]} ? 1|{'x' * 200}"
    assert {"ratio", "volume"}.isdisjoint(alert.data)
    assert (alert.data["half"], alert.data["price"]) == (1.0, 2)


def test_a_value_goes_before_the_field_of_its_name_and_is_made_of_fields() -> None:
    scene = Scene(
        when="price > 50", values={"price": "price / 2", "twice": "price * 2"}, message="{price} {twice}"
    )
    assert scene.tape([(0, 90), (1, 110)]) == [(1, "55.0 220")]


# --- What it costs. ---


def test_thousands_of_keys_are_remembered_and_not_more() -> None:
    scene = Scene(when="price > before.price", keys=2_000, hold=10.0)
    for number in range(2_000):
        scene.see(0, 1, key=f"K{number}")
    for number in range(1_000, 2_001):
        scene.see(1, 2, key=f"K{number}")
    assert [told["problem"] for told in scene.troubles] == [
        "forgotten, for a rule remembers 2000 keys (keys)"
    ]
    assert scene.troubles[0]["key"] == "K0", "of which nothing was heard for longest"
    assert len(scene.lookout.settle(math.inf)) == 1_000
    scene.see(5, 3, key="K0")
    scene.see(5, 3, key="K1")
    assert scene.lookout.due == math.inf, "they begin anew"


def test_a_key_that_is_forgotten_is_not_due() -> None:
    scene = Scene(when="price > 1", keys=1, hold=10.0)
    scene.see(0, 5, key="A", now=0)
    scene.see(3, 5, key="B", now=3)
    assert scene.lookout.due == 13
    assert [alert.key for alert in scene.lookout.settle(99)] == ["B"]


def test_a_window_is_cut_short_at_its_most_values_and_says_so() -> None:
    scene = Scene(when='min("price", 60) > 1', samples=3)
    assert scene.tape(every(1, 1, 2, 3, 4, 5)) == [(3, "BTC"), (4, "BTC")]
    assert [told["problem"] for told in scene.troubles] == [
        "the window of price is cut short at 3 values (samples)"
    ]


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (" and ".join(["price > 0"] * 70), True),
        ("price" + " * 999999999999999999999999999" * 22 + " > 0", True),
        ("price" + " * price" * 22 + " > 0", True),
        (" + ".join(['max("price", 86400)'] * 22) + " > 0", True),
        (" or ".join(['mean("price", 86400) < 0'] * 35), False),
        ("(" * 20 + "price" + ")" * 20 + " > 0", True),
    ],
)
def test_the_worst_that_a_rule_can_say_is_judged(when: str, holds: bool) -> None:  # noqa: FBT001 - a case of the table
    """At once, or the test would not end in its time."""
    scene = Scene(when=when)
    scene.tape(every(1, *range(1, 2_000)))
    assert [alert.at for alert in scene.see(3_000, 10**300)] == [3_000] * holds


# --- Against a plain model. ---

steps = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=40)


def expected(tape: list[tuple[int, int]], hold: int, cooldown: int, *, clears: bool) -> list[int]:
    """The alerts, second by second: a price above 6 raises one, one below 4 clears it."""
    prices = dict(tape)
    alerts: list[int] = []
    raised, since = False, None

    def told(now: int) -> bool:
        if alerts and now - alerts[-1] < cooldown:
            return False
        alerts.append(now)
        return clears

    for now in range(max(prices) + hold + 1):
        if since is not None and hold and now == since + hold:
            raised = told(now)
        if now not in prices:
            continue
        if raised:
            raised, since = prices[now] >= 4, None
        elif prices[now] <= 6:
            since = None
        else:
            since = now if since is None else since
            raised = now >= since + hold and told(now)
    return alerts


@given(
    steps=steps, hold=st.sampled_from([0, 7, 30]), cooldown=st.sampled_from([0, 5, 40]), clears=st.booleans()
)
def test_alerts_are_those_of_a_plain_model(
    steps: list[tuple[int, int]],
    hold: int,
    cooldown: int,
    clears: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    tape, at = list[tuple[int, int]](), 0
    for pause, price in steps:
        at += pause
        tape.append((at, price))
    scene = Scene(when="price > 6", clear="price < 4" if clears else None, hold=hold, cooldown=cooldown)
    scene.tape(tape)
    scene.alerts += scene.lookout.settle(math.inf)
    assert scene.times == expected(tape, hold, cooldown, clears=clears)


# --- What is noted. ---


def remembered(scene: Scene) -> dict[str, Any]:
    """A state in which the rule is the one that it is."""
    return dict(recall({}, [scene.lookout.rule]).changes)


def test_what_decides_about_alerts_is_to_be_noted_at_once() -> None:
    scene = Scene(when="price > 100", clear="price < 95", hold=10.0)
    name = key_name("r", ("price", "BTC"))
    for at, price, noted in (
        (0, 99, None),
        (1, 101, {"at": 1, "since": 1, "begun": 1, "data": {"price": 101}}),
        (2, 102, None),
        (3, 99, {"at": 3}),
        (4, 101, {"at": 4, "since": 4, "begun": 4, "data": {"price": 101}}),
        (15, 96, {"at": 15, "raised": True, "told": 14}),
        (16, 96, None),
        (17, 94, {"at": 17, "told": 14}),
    ):
        scene.see(at, price, now=at)
        assert scene.lookout.turned() == ({} if noted is None else {name: noted})


def test_the_rest_is_to_be_noted_in_time_the_longest_waiting_first() -> None:
    scene = Scene(when="price > 100")
    for at, key in enumerate("ABACB"):
        scene.see(at, 5, key=key)
    assert list(scene.lookout.changed(2)) == [key_name("r", ("price", key)) for key in "AB"]
    assert scene.lookout.changed(2) == {key_name("r", ("price", "C")): {"at": 3.0}}
    assert scene.lookout.changed(2) == {}


def test_a_key_is_noted_whole() -> None:
    scene = Scene(when='max("price", 60) > 100')
    for at, price in ((0, 99), (1, 101)):
        scene.see(at, price)
    turned = scene.lookout.turned()
    assert sorted(turned.values(), key=str) == ["[0.0,99.0,1.0,101.0]", {"at": 1.0, "told": 1.0}]
    assert scene.lookout.changed(10) == {}, "also what was to be noted in time"


def test_nothing_is_left_of_a_key_that_is_forgotten() -> None:
    scene = Scene(when='max("price", 60) > 100', keys=2)
    state: dict[str, Any] = {}
    for at, key in enumerate("ABCABDDA"):
        scene.see(at * 10, 101, key=key)
        scene.note(state)
    assert {json.loads(name)[3] for name in state} == {"D", "A"}
    scene.see(80, 101, key="E")
    scene.see(81, 101, key="A")
    scene.see(82, 101, key="D")
    scene.note(state)
    assert {json.loads(name)[3] for name in state} == {"D", "A"}, "also of what was never noted"


def test_of_more_keys_than_it_may_remember_it_goes_on_with_the_last() -> None:
    scene = Scene(when="price > 100", clear="price < 5")
    state = remembered(scene)
    for at, key in enumerate("ABC"):
        scene.see(at, 101, key=key)
    scene.note(state)
    fewer = Scene(when="price > 100", clear="price < 5", keys=2)
    fewer.recall(state)
    for key in "CB":
        fewer.see(9, 101, key=key)
    assert fewer.alerts == []
    fewer.note(state)
    assert len(state) == 1 + 2
    assert [told["key"] for told in fewer.troubles] == ["A"]


def test_what_waits_for_its_time_waits_in_its_order() -> None:
    scene = Scene(when="price > 100", hold=30.0)
    state = remembered(scene)
    for at, key, now in ((500, "C", 1_000), (400, "A", 1_010), (450, "B", 1_005)):
        scene.see(at, 101, key=key, now=now)
    scene.note(state)
    again = Scene(when="price > 100", hold=30.0)
    again.recall(state)
    assert again.lookout.due == 1_030
    assert [alert.key for alert in again.lookout.settle(1_035)] == ["C", "B"]
    longer = Scene(when="price > 100", hold=60.0)
    longer.recall(state)
    assert longer.lookout.due == 1_060, "what is noted is when it began"


def test_windows_that_were_interrupted_are_noted_so() -> None:
    scene = Scene(when='change("price", 60) > 5')
    state = remembered(scene)
    scene.see(0, 100)
    scene.note(state)
    for interrupted in (True, False):
        scene = Scene(when='change("price", 60) > 5')
        scene.recall(state, interrupted=interrupted)
        scene.note(state)
    assert scene.tape([(100, 150), (110, 155), (120, 160)]) == [(120, "BTC")]


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 20), st.integers(1, 10), st.sampled_from("AB"), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    hold=st.sampled_from([0, 7, 30]),
    clear=st.sampled_from([None, "price < 4"]),
    when=st.sampled_from(
        ["price > 6", 'change("price", 30) > 20', 'price > mean("price", 40)', "price > before.price"]
    ),
)
def test_breaks_change_nothing(
    steps: list[tuple[int, int, str, bool]], hold: int, clear: str | None, when: str
) -> None:
    rule: dict[str, Any] = {"when": when, "clear": clear, "hold": hold, "message": "{price}", "cooldown": 5}
    whole, broken = Scene(**rule), Scene(**rule)
    alerts: list[Alert] = []
    state = remembered(whole)
    at = 0
    for pause, price, key, breaks in steps:
        at += pause
        for scene in (whole, broken):
            scene.alerts += scene.lookout.settle(at)
            scene.see(at, price, key=key, now=at)
        if breaks:
            broken.note(state)
            alerts += broken.alerts
            broken = Scene(**rule)
            broken.recall(state)
            assert broken.lookout.due == whole.lookout.due
    for scene in (whole, broken):
        scene.alerts += scene.lookout.settle(math.inf)
    assert alerts + broken.alerts == whole.alerts
