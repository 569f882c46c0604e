from __future__ import annotations

import itertools
import math
import statistics

import pytest

from appliance.sources.simulated.instruments import instrument
from appliance.sources.simulated.prices import YEAR, Prices

STEPS = 100_000


def path(*symbols: str, seed: int = 1, seconds: float = 1.0, steps: int = STEPS) -> dict[str, list[float]]:
    prices = Prices(seed, [instrument(symbol, seed=seed) for symbol in symbols])
    found: dict[str, list[float]] = {symbol: [] for symbol in symbols}
    for _ in range(steps):
        for prices_so_far, move in zip(found.values(), prices.step(seconds), strict=True):
            prices_so_far.append(move.price)
    return found


def returns(prices: list[float], every: int = 1) -> list[float]:
    return [math.log(after / before) for before, after in itertools.pairwise(prices[::every])]


def kurtosis(values: list[float]) -> float:
    deviation = statistics.pstdev(values)
    return statistics.fmean((value / deviation) ** 4 for value in values)


@pytest.fixture(scope="module")
def day() -> dict[str, list[float]]:
    return path("BTC", "AAPL")


@pytest.fixture(scope="module")
def weeks() -> dict[str, list[float]]:
    """The ends of minutes."""
    return path("BTC", "AAPL", seconds=60.0, steps=60_000)


@pytest.fixture(scope="module")
def decade() -> dict[str, list[float]]:
    """The ends of hours."""
    return path("BTC", "DOGE", seconds=3_600.0, steps=87_600)


@pytest.mark.parametrize("symbol", ["BTC", "AAPL"])
def test_a_day_of_seconds_stays_near_its_magnitude(day: dict[str, list[float]], symbol: str) -> None:
    usual = instrument(symbol, seed=1).price
    assert usual * 0.7 < min(day[symbol]) < max(day[symbol]) < usual * 1.3


@pytest.mark.parametrize("symbol", ["BTC", "AAPL"])
def test_hours_have_the_volatility_of_the_symbol_and_minutes_somewhat_more(
    weeks: dict[str, list[float]], symbol: str
) -> None:
    usual = instrument(symbol, seed=1).volatility
    hours = statistics.pstdev(returns(weeks[symbol], every=60)) * math.sqrt(YEAR / 3_600)
    minutes = statistics.pstdev(returns(weeks[symbol])) * math.sqrt(YEAR / 60)
    assert hours == pytest.approx(usual, rel=0.25)
    assert usual < minutes < 1.7 * usual


@pytest.mark.parametrize("symbol", ["BTC", "AAPL"])
@pytest.mark.parametrize("every", [1, 60])
def test_returns_have_fat_tails(day: dict[str, list[float]], symbol: str, every: int) -> None:
    assert kurtosis(returns(day[symbol], every)) > 4


def test_calm_and_wild_times_follow_one_another(day: dict[str, list[float]]) -> None:
    sizes = [abs(change) for change in returns(day["BTC"], every=60)]
    assert statistics.correlation(sizes[:-1], sizes[1:]) > 0.1


@pytest.mark.parametrize("symbol", ["BTC", "DOGE"])
def test_years_neither_explode_nor_vanish(decade: dict[str, list[float]], symbol: str) -> None:
    usual = instrument(symbol, seed=1).price
    assert usual / 5 < min(decade[symbol]) < max(decade[symbol]) < usual * 5


def test_symbols_of_a_group_go_together() -> None:
    prices = path("BTC", "ETH", "AAPL", seconds=60.0, steps=5_000)
    bitcoin, ether, apple = (returns(prices[symbol], every=10) for symbol in ("BTC", "ETH", "AAPL"))
    assert statistics.correlation(bitcoin, ether) > 0.3
    assert statistics.correlation(bitcoin, ether) > statistics.correlation(bitcoin, apple) > 0


def test_a_step_may_have_any_length() -> None:
    hours = path("ETH", seconds=3_600.0, steps=20_000)["ETH"]
    yearly = statistics.pstdev(returns(hours)) * math.sqrt(YEAR / 3_600)
    assert yearly == pytest.approx(instrument("ETH", seed=1).volatility, rel=0.3)


def test_prices_are_multiples_of_their_tick() -> None:
    for symbol in ("BTC", "ADA", "DOGE"):
        decimals = instrument(symbol, seed=1).decimals
        for price in path(symbol, steps=500)[symbol]:
            assert price == round(price, decimals) > 0


def test_volume_is_that_of_the_symbol() -> None:
    solana = instrument("SOL", seed=1)
    prices = Prices(1, [solana])
    moves = [prices.step(60.0)[0] for _ in range(30 * 1_440)]
    daily = sum(move.price * move.volume for move in moves) / 30
    assert daily == pytest.approx(solana.turnover, rel=0.5)
    assert min(move.volume for move in moves) > 0


def test_the_same_seed_gives_the_same_prices_and_another_seed_others() -> None:
    assert path("BTC", "ETH", steps=200) == path("BTC", "ETH", steps=200)
    assert path("BTC", "ETH", steps=200) != path("BTC", "ETH", seed=2, steps=200)


def test_the_path_of_a_symbol_does_not_depend_on_the_others() -> None:
    assert path("ETH", steps=200)["ETH"] == path("AAPL", "ETH", "BTC", steps=200)["ETH"]
