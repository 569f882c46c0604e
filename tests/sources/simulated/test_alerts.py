from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

import pytest

from appliance.sources.simulated.alerts import MOVE, Alert, Lookout
from appliance.sources.simulated.instruments import DOZEN, instrument
from appliance.sources.simulated.model import Forecast, Reading
from appliance.sources.simulated.signals import Direction, Signal
from appliance.sources.simulated.tape import Row, Tape

if TYPE_CHECKING:
    from collections.abc import Iterable

START = 1_766_000_000.0
APPLE = instrument("AAPL", seed=1)
VOLATILITY = 0.001
"""Of a second, that is: at 231 dollars, 24 cents are ordinary in it, with the cent that a price moves at least."""


def lookout() -> Lookout:
    return Lookout([APPLE], "test")


def look(
    prices: Iterable[float],
    *,
    at: Lookout | None = None,
    seconds: float = 1.0,
    volatility: float = VOLATILITY,
) -> list[list[Alert]]:
    """The alerts of each tick."""
    at = at or lookout()
    seen = [Reading(0.0, 0.0, 0.0, volatility, (Forecast(0.0, 0.5),) * 3)]
    return [list(at.look([price], seen, [], seconds)) for price in prices]


def signal(severity: str) -> Signal:
    return Signal(
        id="signal_test_1",
        type="momentum",
        symbol="AAPL",
        direction=Direction.BUY,
        severity=severity,
        confidence=0.9,
        price=231.0,
        quantity=9.0,
        price_change=0.1,
        volume_spike=1.0,
    )


def published(
    symbols: tuple[str, ...] = DOZEN, *, seconds: int = 60, seed: int = 1, interval: float = 1.0
) -> tuple[list[dict[str, float]], list[list[Row]]]:
    """The prices and the alerts of each tick of a tape."""
    tape = Tape(seed=seed, symbols=symbols, start=START, interval=interval)
    ticks = [tape.step(START + number * interval) for number in range(round(seconds / interval))]
    prices = [{row.key: row.data["price"] for row in tick.rows if row.channel == "price"} for tick in ticks]
    return prices, [[row for row in tick.rows if row.channel == "alerts"] for tick in ticks]


def test_a_move_says_how_far_and_in_what_time_to_what_price() -> None:
    (first, second) = look([231.0, 231.5])
    assert first == []
    (alert,) = second
    assert alert.row("now") == {
        "id": "alert_test_1",
        "type": "price_alert",
        "symbol": "AAPL",
        "severity": "medium",
        "message": "AAPL rose 0.22 % in 1 s, to 231.50",
        "price": 231.5,
        "change_pct": 0.2165,
        "seconds": 1.0,
        "deviations": 2.07,
        "timestamp": "now",
    }


def test_a_fall_is_told_as_one() -> None:
    (_, (alert,)) = look([231.9, 231.0], seconds=0.25)
    assert alert.message == "AAPL fell 0.39 % in 0.25 s, to 231.00"


@pytest.mark.parametrize("price", [231.0, 231.01, 230.9, 231.23])
def test_what_is_ordinary_is_not_worth_an_alert(price: float) -> None:
    assert look([231.0, price]) == [[], []]


def test_the_least_change_of_a_price_is_ordinary_however_calm_it_is() -> None:
    assert look([231.0, 231.01] * 50, volatility=1e-9) == [[]] * 100


def test_what_is_ordinary_in_a_minute_is_not_in_a_second() -> None:
    slowly = [231.0 + 0.9 * second / 60 for second in range(61)]
    assert look(slowly) == [[]] * 61
    assert len(look([231.0, 231.9])[1]) == 1


def test_a_move_is_looked_at_over_a_minute() -> None:
    seconds = [alert.details["seconds"] for tick in look([231.9, *[230.0] * 300]) for alert in tick]
    assert seconds == [1.0]
    late = look([*[231.9] * 300, 230.0])
    assert [alert.details["seconds"] for alert in late[-1]] == [60.0]


@pytest.mark.parametrize(
    ("away", "severity"), [(0.25, "low"), (0.5, "medium"), (-0.75, "high"), (-1.2, "critical")]
)
def test_the_severity_says_how_far_it_went(away: float, severity: str) -> None:
    assert [alert.severity for alert in look([231.2, 231.2 + away])[1] if "figure" not in alert.details] == [
        severity
    ]


def test_the_same_is_not_said_again_but_the_worse_is() -> None:
    at = lookout()
    path = [231.0, 231.15, 231.15, 231.6, 231.7]
    told = look(path, at=at, volatility=VOLATILITY / 2)
    assert [[alert.severity for alert in tick] for tick in told] == [[], ["low"], [], ["medium"], []]
    assert look([231.7] * 130, at=at, volatility=VOLATILITY / 2) == [[]] * 130
    assert len(look([230.3], at=at, volatility=VOLATILITY / 2)[0]) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ([231.95, 232.0], "AAPL reached 232, now at 232.00 (+0.022 % in 1 s)"),
        ([231.95, 234.05], "AAPL reached 234, now at 234.05 (+0.91 % in 1 s)"),
        ([232.0, 231.99], "AAPL fell below 232, now at 231.99 (-0.0043 % in 1 s)"),
        ([232.05, 229.95], "AAPL fell below 230, now at 229.95 (-0.91 % in 1 s)"),
    ],
)
def test_a_round_figure_is_worth_an_alert_however_small_the_move(path: list[float], message: str) -> None:
    (alert,) = look(path)[1]
    assert alert.message == message
    assert alert.details["figure"] in (230.0, 232.0, 234.0)


def test_the_same_figure_is_told_again_only_after_another() -> None:
    figures = [
        alert.details["figure"]
        for tick in look([231.99, 232.0, 231.99, 232.0, 234.0, 233.9, 232.0, 231.9, 232.1], volatility=1.0)
        for alert in tick
    ]
    assert figures == [232.0, 234.0, 232.0]


@pytest.mark.parametrize(
    ("symbol", "price", "message"),
    [
        ("BTC", 97_500.0, "BTC reached 97,500, "),
        ("ADA", 0.95, "ADA reached 0.95, "),
        ("DOGE", 0.352, "DOGE reached 0.352, "),
    ],
)
def test_figures_are_as_round_as_the_price_is_large(symbol: str, price: float, message: str) -> None:
    traded = instrument(symbol, seed=1)
    at = Lookout([traded], "test")
    least = 10.0**-traded.decimals
    told = look([round(price - least, traded.decimals), price], at=at, volatility=1.0)[1]
    assert [alert.message.startswith(message) for alert in told] == [True]


@pytest.mark.parametrize(
    ("severity", "told"), [("low", False), ("medium", False), ("high", True), ("critical", True)]
)
def test_a_strong_signal_is_worth_an_alert(severity: str, told: bool) -> None:  # noqa: FBT001 - a case of the table
    found = lookout().look([231.0], [Reading(0, 0, 0, VOLATILITY, ())], [signal(severity)], 1.0)
    rows = [alert.row("now") for alert in found]
    expected = {
        "id": "alert_test_1",
        "type": "signal_alert",
        "symbol": "AAPL",
        "severity": severity,
        "message": "AAPL: Trend expected to go on; the model expects a rise",
        "price": 231.0,
        "signal_id": "signal_test_1",
        "signal_type": "BUY",
        "confidence": 0.9,
        "timestamp": "now",
    }
    assert rows == ([expected] if told else [])


@pytest.mark.parametrize("interval", [1.0, 0.25])
def test_alerts_agree_with_the_prices_of_the_tape(interval: float) -> None:
    prices, alerts = published(seconds=600, interval=interval)
    seen = 0
    for number, rows in enumerate(alerts):
        for data in (row.data for row in rows if row.data["type"] == "price_alert"):
            seen += 1
            symbol, price = data["symbol"], prices[number][data["symbol"]]
            before = prices[number - round(data["seconds"] / interval)][symbol]
            last = prices[number - 1][symbol]
            assert data["price"] == price
            assert data["change_pct"] == pytest.approx(100 * (price / before - 1), abs=1e-4)
            assert f"{price:,.{instrument(symbol, seed=1).decimals}f}" in data["message"]
            assert data["severity"] == MOVE.severity(data["deviations"])
            if "figure" in data:
                assert min(last, price) < data["figure"] <= max(last, price)
            else:
                assert data["deviations"] >= MOVE.least
                (word,) = re.findall(r" (rose|fell) ", data["message"])
                assert word == ("rose" if price > before else "fell")
    assert seen > 20


def test_what_is_ordinary_is_what_the_symbol_is_known_for() -> None:
    """Within the factors by which volatility comes and goes."""
    _, alerts = published(("BTC", "ETH", "SOL"), seconds=3_600)
    moves = [row.data for rows in alerts for row in rows if row.data["type"] == "price_alert"]
    assert moves
    for data in moves:
        usual = instrument(data["symbol"], seed=1).volatility * math.sqrt(data["seconds"] / (365 * 86_400))
        deviations = abs(data["change_pct"]) / 100 / usual
        assert deviations / 3 - 0.1 <= data["deviations"] <= 3 * deviations + 0.1


def test_alerts_on_signals_are_of_signals_of_their_tick() -> None:
    tape = Tape(seed=1, symbols=DOZEN, start=START)
    strong = 0
    for number in range(600):
        tick = tape.step(START + number)
        signals = {row.data["id"]: row.data for row in tick.rows if row.channel == "signals"}
        told = [row.data for row in tick.rows if row.channel == "alerts" and "signal_id" in row.data]
        for data in told:
            one = signals[data["signal_id"]]
            for field in ("symbol", "severity", "price", "confidence", "signal_type"):
                assert data[field] == one[field]
        strong += len(told)
        assert len(told) == sum(each["severity"] in ("high", "critical") for each in signals.values())
    assert strong


@pytest.mark.parametrize("seed", range(20))
def test_the_first_comes_soon_and_then_several_a_minute(seed: int) -> None:
    _, alerts = published(seconds=120, seed=seed)
    first = next(number for number, rows in enumerate(alerts) if rows)
    assert first <= 10
    assert 4 <= sum(len(rows) for rows in alerts) <= 50


@pytest.mark.parametrize("seed", range(5))
def test_the_first_comes_as_soon_in_ticks_when_they_are_short(seed: int) -> None:
    _, alerts = published(seconds=10, seed=seed, interval=0.1)
    assert next(number for number, rows in enumerate(alerts) if rows) <= 20


def test_many_ticks_do_not_tell_more() -> None:
    counts = [
        sum(len(rows) for rows in published(seconds=300, interval=interval)[1]) for interval in (1.0, 0.1)
    ]
    assert counts[1] < 2 * counts[0]


def test_ids_are_never_the_same() -> None:
    alerts = list(itertools.chain.from_iterable(published(seconds=300)[1]))
    assert len({row.data["id"] for row in alerts}) == len(alerts) > 10
