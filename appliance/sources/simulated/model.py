"""The model: an exponentially weighted ridge regression of coming returns on what prices did lately.

Must not know how the prices are made: all it is given are the prices, and it learns from its own errors.

One set of weights per horizon learns from all symbols, whose returns are made alike by their volatility.
Features: how far a price is from its average of a minute beyond what the others of its group are, how much of
that is out of the ordinary, and how far it is from its average of a quarter of an hour.

A confidence is the chance that the direction is right, judged from the size of the forecast and of the errors
made for that symbol and horizon so far.
"""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

VERSION = "ridge-1"
HORIZONS = (60.0, 300.0, 900.0)

_BAR = 5.0  # least seconds between two samples
_FAST = 60.0
_SLOW = 900.0
_MEMORY = 86_400.0  # seconds over which a sample's weight falls by e
_ERROR_MEMORY = 21_600.0
_VOLATILITY_MEMORY = 1_800.0
_ORDINARY = 2.0  # distances up to so many volatilities are nothing special
_RIDGE = 15.0  # weight of the belief in no change, in independent samples
_MOST = 6.0  # a return beyond so many volatilities teaches no more than this
_CERTAIN = 0.99
_ROOTS = tuple(math.sqrt(horizon) for horizon in HORIZONS)
_FAST_ROOT = math.sqrt(_FAST)
_SLOW_ROOT = math.sqrt(_SLOW)
_MEAN_TO_DEVIATION = math.sqrt(math.pi / 2)
_TINY = 1e-9

_Features = tuple[float, float, float]


class Forecast(NamedTuple):
    """The expected logarithmic return over a horizon, and the chance that its direction is right."""

    move: float
    confidence: float


class Reading(NamedTuple):
    """What the model sees in a symbol.

    `fast` and `slow` are its distances from its averages of a minute and of a quarter of an hour, in
    volatilities; `distance` is the first as a logarithmic return. `volatility` is that of a second.
    One forecast for each horizon.
    """

    fast: float
    slow: float
    distance: float
    volatility: float
    forecasts: tuple[Forecast, ...]


class _Sample(NamedTuple):
    """One symbol at one bar, waiting for what comes of it."""

    log_price: float
    volatility: float
    features: _Features
    expected: tuple[float, ...]


class _Weights:
    """The regression of one horizon: weighted sums, solved anew after each bar."""

    def __init__(self, horizon: float) -> None:
        self._ridge = _RIDGE * horizon
        self._squares = [0.0] * 6
        self._products = [0.0] * 3
        self.values: _Features = (0.0, 0.0, 0.0)

    def forget(self, keep: float) -> None:
        self._squares = [value * keep for value in self._squares]
        self._products = [value * keep for value in self._products]

    def learn(self, features: _Features, came: float, weight: float) -> None:
        a, b, c = features
        squares, products = self._squares, self._products
        wa, wb, wc = weight * a, weight * b, weight * c
        squares[0] += wa * a
        squares[1] += wa * b
        squares[2] += wa * c
        squares[3] += wb * b
        squares[4] += wb * c
        squares[5] += wc * c
        products[0] += wa * came
        products[1] += wb * came
        products[2] += wc * came

    def solve(self) -> None:
        """Cramer's rule; the ridge keeps the determinant away from zero."""
        aa, ab, ac, bb, bc, cc = self._squares
        aa, bb, cc = aa + self._ridge, bb + self._ridge, cc + self._ridge
        x, y, z = self._products
        first, second, third = bb * cc - bc * bc, ac * bc - ab * cc, ab * bc - ac * bb
        whole = aa * first + ab * second + ac * third
        self.values = (
            (x * first + y * second + z * third) / whole,
            (x * second + y * (aa * cc - ac * ac) + z * (ab * ac - aa * bc)) / whole,
            (x * third + y * (ab * ac - aa * bc) + z * (aa * bb - ab * ab)) / whole,
        )


class _Symbol:
    """What the model remembers of one symbol."""

    def __init__(self, price: float, group: int) -> None:
        self.group = group
        self.log_price = math.log(price)
        self.fast = self.slow = self._bar = self.log_price
        self._variance = 0.0
        self.volatility = _TINY
        self.errors = [1 / _MEAN_TO_DEVIATION] * len(HORIZONS)

    def distances(self) -> tuple[float, float]:
        return (
            (self.log_price - self.fast) / (self.volatility * _FAST_ROOT),
            (self.log_price - self.slow) / (self.volatility * _SLOW_ROOT),
        )

    def close_bar(self, seconds: float, least: float) -> None:
        move = self.log_price - self._bar
        self._bar = self.log_price
        share = max(-math.expm1(-seconds / _VOLATILITY_MEMORY), least)
        self._variance += share * (move * move / seconds - self._variance)
        self.volatility = max(math.sqrt(self._variance), _TINY)


class Model:
    """`groups` gives the group of each symbol; prices come and readings go in the same order."""

    def __init__(self, prices: Sequence[float], groups: Sequence[Hashable]) -> None:
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        self._symbols = [_Symbol(price, numbers[group]) for price, group in zip(prices, groups, strict=True)]
        self._sizes = [0] * len(numbers)
        for symbol in self._symbols:
            self._sizes[symbol.group] += 1
        self._weights = [_Weights(horizon) for horizon in HORIZONS]
        self._waiting: list[collections.deque[tuple[float, list[_Sample]]]]
        self._waiting = [collections.deque() for _ in HORIZONS]
        self._clock = 0.0
        self._bar = 0.0
        self._bars = 0

    def observe(self, prices: Sequence[float], seconds: float) -> None:
        """Take the prices after a step of so many seconds.

        Every few seconds, learn from what came of old forecasts.
        """
        fast, slow = -math.expm1(-seconds / _FAST), -math.expm1(-seconds / _SLOW)
        for symbol, price in zip(self._symbols, prices, strict=True):
            now = symbol.log_price = math.log(price)
            symbol.fast += fast * (now - symbol.fast)
            symbol.slow += slow * (now - symbol.slow)
        self._clock += seconds
        self._bar += seconds
        if self._bar >= _BAR - _TINY:
            self._close_bar(self._bar)
            self._bar = 0.0

    def readings(self, later: float = 0.0) -> list[Reading]:
        """What is expected of each symbol, so many seconds after the last prices, which have stood still since.

        An average comes nearer to a price that stands still. Nothing of it is remembered: `observe` alone teaches.
        """
        fast_keep, slow_keep = math.exp(-later / _FAST), math.exp(-later / _SLOW)
        distances = [
            (fast * fast_keep, slow * slow_keep)
            for fast, slow in (symbol.distances() for symbol in self._symbols)
        ]
        found = []
        for symbol, (fast, slow), features in zip(
            self._symbols, distances, self._features(distances), strict=True
        ):
            forecasts = tuple(
                Forecast(expected * symbol.volatility * root, _confidence(expected, error))
                for expected, root, error in zip(self._expect(features), _ROOTS, symbol.errors, strict=True)
            )
            distance = fast_keep * (symbol.log_price - symbol.fast)
            found.append(Reading(fast, slow, distance, symbol.volatility, forecasts))
        return found

    def _features(self, distances: Sequence[tuple[float, float]]) -> list[_Features]:
        sums = [0.0] * len(self._sizes)
        for symbol, (fast, _) in zip(self._symbols, distances, strict=True):
            sums[symbol.group] += fast
        found = []
        for symbol, (fast, slow) in zip(self._symbols, distances, strict=True):
            others = max(self._sizes[symbol.group] - 1, 1)
            alone = fast - (sums[symbol.group] - fast) / others
            found.append((alone, alone - max(-_ORDINARY, min(_ORDINARY, alone)), slow))
        return found

    def _expect(self, features: _Features) -> tuple[float, ...]:
        a, b, c = features
        return tuple([a * x + b * y + c * z for x, y, z in [weights.values for weights in self._weights]])

    def _close_bar(self, seconds: float) -> None:
        self._bars += 1
        for symbol in self._symbols:
            symbol.close_bar(seconds, 1 / self._bars)
        for number, waiting in enumerate(self._waiting):
            due = self._clock - HORIZONS[number] + seconds / 2
            weights = self._weights[number]
            weights.forget(math.exp(-seconds / _MEMORY))
            while waiting and waiting[0][0] <= due:
                self._learn(number, waiting.popleft()[1], seconds)
            weights.solve()
        features = self._features([symbol.distances() for symbol in self._symbols])
        samples = [
            _Sample(symbol.log_price, symbol.volatility, seen, self._expect(seen))
            for symbol, seen in zip(self._symbols, features, strict=True)
        ]
        for waiting in self._waiting:
            waiting.append((self._clock, samples))

    def _learn(self, number: int, samples: Sequence[_Sample], seconds: float) -> None:
        learn, root = self._weights[number].learn, _ROOTS[number]
        share = -math.expm1(-seconds / _ERROR_MEMORY)
        for symbol, sample in zip(self._symbols, samples, strict=True):
            came = (symbol.log_price - sample.log_price) / (sample.volatility * root)
            came = max(-_MOST, min(_MOST, came))
            symbol.errors[number] += share * (abs(came - sample.expected[number]) - symbol.errors[number])
            learn(sample.features, came, seconds)


def _confidence(expected: float, error: float) -> float:
    """The normal distribution at the forecast, in deviations of the errors."""
    deviations = abs(expected) / max(error * _MEAN_TO_DEVIATION, _TINY)
    return min(0.5 * (1 + math.erf(deviations / math.sqrt(2))), _CERTAIN)
