from __future__ import annotations

import copy
import math
import random
import statistics
from typing import TYPE_CHECKING

import pytest

from appliance.sources.simulated.instruments import DOZEN, instrument
from appliance.sources.simulated.model import HORIZONS, Forecast, Model, Reading
from appliance.sources.simulated.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SECONDS = 5.0


class Outcome:
    """What came of forecasts of a similar confidence."""

    def __init__(self) -> None:
        self.count = self.right = 0
        self.errors = self.moves = self.confidence = 0.0

    def add(self, *, expected: float, came: float, confidence: float, scale: float) -> None:
        self.count += 1
        self.right += expected * came > 0
        self.errors += ((came - expected) / scale) ** 2
        self.moves += (came / scale) ** 2
        self.confidence += confidence

    @property
    def hits(self) -> float:
        return self.right / self.count

    @property
    def normalised_error(self) -> float:
        """Against the error of expecting no change, which is 1."""
        return self.errors / self.moves


def run(prices: Iterable[list[float]], groups: list[str]) -> Iterator[tuple[list[float], Model]]:
    """Give each step with the model that has just seen it."""
    steps = iter(prices)
    model = Model(next(steps), groups)
    for step in steps:
        model.observe(step, SECONDS)
        yield step, model


def readings(prices: Iterable[list[float]], groups: list[str], *, after: int = 0) -> Iterator[list[Reading]]:
    for number, (_, model) in enumerate(run(prices, groups)):
        if number >= after:
            yield model.readings()


@pytest.fixture(scope="module", params=[1, 2])
def outcomes(request: pytest.FixtureRequest) -> dict[float, dict[str, Outcome]]:
    """Half a day of the tape's own prices: per horizon, outcomes of unsure, sure and very sure forecasts."""
    instruments = [instrument(symbol, seed=request.param) for symbol in DOZEN]
    prices = Prices(request.param, instruments)
    path = ([move.price for move in prices.step(SECONDS)] for _ in range(10_000))
    seen = list[list[float]]()
    forecasts = list[list[tuple[Forecast, ...]]]()
    for number, (step, model) in enumerate(run(path, [each.group for each in instruments])):
        if number < 720:
            continue
        seen.append(step)
        if number % 2 == 0:
            forecasts.append([reading.forecasts for reading in model.readings()])
    found = {horizon: {name: Outcome() for name in ("all", "unsure", "sure", "very")} for horizon in HORIZONS}
    for number, horizon in enumerate(HORIZONS):
        ahead = int(horizon / SECONDS)
        for before, after, told in zip(seen[:-ahead:2], seen[ahead::2], forecasts, strict=False):
            for each, old, new, of_each in zip(instruments, before, after, told, strict=True):
                forecast = of_each[number]
                came = math.log(new / old)
                sure = (
                    "unsure"
                    if forecast.confidence < 0.55
                    else "sure"
                    if forecast.confidence < 0.65
                    else "very"
                )
                for name in ("all", sure):
                    found[horizon][name].add(
                        expected=forecast.move,
                        came=came,
                        confidence=forecast.confidence,
                        scale=each.volatility,
                    )
    return found


@pytest.mark.parametrize(("horizon", "error"), [*zip(HORIZONS, (0.985, 0.985, 1.0), strict=True)])
def test_it_beats_expecting_no_change(
    outcomes: dict[float, dict[str, Outcome]], horizon: float, error: float
) -> None:
    assert outcomes[horizon]["all"].normalised_error < error
    assert outcomes[horizon]["all"].hits > 0.505


@pytest.mark.parametrize("horizon", HORIZONS[:2])
def test_the_surer_it_is_the_more_often_it_is_right(
    outcomes: dict[float, dict[str, Outcome]], horizon: float
) -> None:
    unsure, sure, very = (outcomes[horizon][name] for name in ("unsure", "sure", "very"))
    assert very.count > 500
    assert unsure.hits < sure.hits < very.hits
    assert unsure.normalised_error > sure.normalised_error > very.normalised_error


@pytest.mark.parametrize("horizon", HORIZONS[:2])
@pytest.mark.parametrize(("name", "off"), [("unsure", 0.03), ("sure", 0.05), ("very", 0.15)])
def test_a_confidence_is_the_chance_of_being_right(
    outcomes: dict[float, dict[str, Outcome]], horizon: float, name: str, off: float
) -> None:
    outcome = outcomes[horizon][name]
    assert outcome.hits == pytest.approx(outcome.confidence / outcome.count, abs=off)


def test_it_is_never_sure_of_what_cannot_be_known() -> None:
    rng = random.Random(4)
    logs = [0.0] * 12

    def walk() -> list[float]:
        for place in range(12):
            logs[place] += rng.gauss(0.0, 0.001)
        return [math.exp(log) for log in logs]

    path = (walk() for _ in range(5_000))
    best = [
        max(forecast.confidence for forecast in each.forecasts)
        for step in readings(path, ["coin"] * 12, after=2_500)
        for each in step
    ]
    assert statistics.fmean(best) < 0.56


def test_it_learns_that_prices_come_back() -> None:
    rng = random.Random(5)
    away = [0.0] * 4

    def swing() -> list[float]:
        for place in range(4):
            away[place] = 0.93 * away[place] + rng.gauss(0.0, 0.001)
        return [100 * math.exp(each) for each in away]

    right = [
        (forecast.move < 0) == (reading.fast > 0)
        for step in readings((swing() for _ in range(4_000)), ["coin"] * 4, after=2_000)
        for reading in step
        for forecast in reading.forecasts[:1]
        if abs(reading.fast) > 1
    ]
    assert statistics.fmean(right) > 0.9


def test_prices_that_do_not_move_are_expected_to_stay() -> None:
    for step in readings(([100.0, 5.0] for _ in range(400)), ["coin", "stock"]):
        for reading in step:
            assert all(forecast == (0.0, 0.5) for forecast in reading.forecasts)


def test_readings_stay_finite_through_a_crash() -> None:
    path = [[100.0, 7.0]] * 300 + [[0.01, 7.0]] + [[100.0, 7.0]] * 300
    for step in readings(path, ["coin", "coin"]):
        for reading in step:
            assert all(math.isfinite(value) for value in (reading.fast, reading.slow, reading.distance))
            for forecast in reading.forecasts:
                assert math.isfinite(forecast.move)
                assert 0.5 <= forecast.confidence <= 0.99


def test_time_in_which_prices_stood_still_is_seen_but_not_remembered() -> None:
    rng = random.Random(6)
    model = Model([100.0, 5.0], ["coin", "coin"])
    for _ in range(500):
        prices = [100 * math.exp(rng.gauss(0.0, 0.001)), 5 * math.exp(rng.gauss(0.0, 0.001))]
        model.observe(prices, SECONDS)
    at_once = model.readings()
    later = copy.deepcopy(model)
    later.observe(prices, 4.0)  # too short for it to learn
    for seen, expected in zip(model.readings(4.0), later.readings(), strict=True):
        assert seen[:4] == pytest.approx(expected[:4])
        for forecast, other in zip(seen.forecasts, expected.forecasts, strict=True):
            assert forecast == pytest.approx(other)
    assert model.readings() == at_once != model.readings(4.0)
