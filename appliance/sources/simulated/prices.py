"""How prices move: the hidden process behind the tape, exact for steps of any length.

Must not know the clock, nor the model that predicts it from the prices alone.

A log price is a slow part and a passing one. The slow part walks with stochastic volatility, partly with
its group, follows a trend that comes and goes, jumps at times, and is held near its magnitude over months.
The passing part is overreaction, which fades within minutes. Only trend and overreaction can be predicted.
Hours and days have the volatility of the instrument; minutes, with their overreaction, somewhat more.
"""

from __future__ import annotations

import functools
import math
import random
from typing import TYPE_CHECKING, NamedTuple

import attrs

from appliance.sources.simulated.instruments import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.sources.simulated.instruments import Instrument

YEAR = 365 * 86_400.0
DAY = 86_400.0
_MINUTE_ROOT = math.sqrt(60.0)

_CALM = 2_700.0  # seconds over which volatility returns to its mean
_ROUGHNESS = 0.6  # standard deviation of the logarithm of volatility
_TREND = 1_200.0  # seconds that a trend lasts
_TREND_SIZE = 0.013  # its drift per second, in volatilities of a second
_FADE = 90.0  # seconds over which overreaction fades
_FADE_SIZE = 0.8  # its standard deviation, in volatilities of a minute
_ANCHOR = 120 * DAY  # seconds over which a price is drawn back to its magnitude
_JUMPS = 1 / 1_500.0  # jumps per second of one symbol
_JUMP_SIZE = 4.5  # their standard deviation, in volatilities of a minute
_OVERREACTION = 0.65  # the share of a jump that fades
_RUSH = 5.0  # seconds over which a jump enters the price
_BURST = 120.0  # seconds over which a burst of volume fades
_DIFFUSION = math.sqrt(0.4)  # what jumps and trend leave of an hour's variance
_TOGETHER = {Group.COIN: 0.75, Group.STOCK: 0.6}  # how far a symbol goes with its group
_WORLD = 0.6  # how far a group goes with the world


class Move(NamedTuple):
    """Where a step ended, and the units traded in it."""

    price: float
    volume: float


@attrs.frozen
class _Pace:
    """The constants for one length of step: `keep` shrinks a state, `kick` scales its new shock."""

    seconds: float
    root: float
    calm_keep: float
    calm_kick: float
    trend_keep: float
    trend_kick: float
    fade_keep: float
    fade_kick: float
    burst_keep: float
    rush: float
    anchor: float
    jump: float


@functools.lru_cache(maxsize=16)
def _pace(seconds: float) -> _Pace:
    calm, trend, fade = (math.exp(-seconds / tau) for tau in (_CALM, _TREND, _FADE))
    return _Pace(
        seconds=seconds,
        root=math.sqrt(seconds) * _DIFFUSION,
        calm_keep=calm,
        calm_kick=_ROUGHNESS * math.sqrt(1 - calm * calm),
        trend_keep=trend,
        trend_kick=math.sqrt(1 - trend * trend),
        fade_keep=fade,
        fade_kick=_FADE_SIZE * _MINUTE_ROOT * math.sqrt(1 - fade * fade),
        burst_keep=math.exp(-seconds / _BURST),
        rush=-math.expm1(-seconds / _RUSH),
        anchor=-math.expm1(-seconds / _ANCHOR),
        jump=-math.expm1(-seconds * _JUMPS),
    )


class _Factor:
    """What the symbols of a group share: a shock with a volatility of its own."""

    def __init__(self, rng: random.Random) -> None:
        self._gauss = rng.gauss
        self._rough = self._gauss(0.0, _ROUGHNESS)
        self._alone = math.sqrt(1 - _WORLD * _WORLD)

    def step(self, pace: _Pace, world: float) -> float:
        self._rough = self._rough * pace.calm_keep + pace.calm_kick * self._gauss(0.0, 1.0)
        shock = _WORLD * world + self._alone * self._gauss(0.0, 1.0)
        return shock * math.exp(self._rough - _ROUGHNESS * _ROUGHNESS)


class _Walk:
    """The price of one symbol."""

    def __init__(self, instrument: Instrument, rng: random.Random) -> None:
        self._gauss = rng.gauss
        self._random = rng.random
        self._sigma = instrument.volatility / math.sqrt(YEAR)
        self._together = _TOGETHER[instrument.group]
        self._alone = math.sqrt(1 - self._together * self._together)
        self._anchor = math.log(instrument.price)
        self._slow = self._anchor + self._gauss(0.0, 2 * self._sigma * math.sqrt(DAY))
        self._passing = 0.0
        self._trend = self._gauss(0.0, 1.0)
        self._rough = self._gauss(0.0, _ROUGHNESS)
        self._burst = 0.0
        self._pressure = 0.0
        self._turnover = instrument.turnover / DAY
        self._decimals = instrument.decimals
        self._least = 10.0**-instrument.decimals

    def step(self, pace: _Pace, factor: float) -> Move:
        gauss, sigma = self._gauss, self._sigma
        self._rough = self._rough * pace.calm_keep + pace.calm_kick * gauss(0.0, 1.0)
        self._trend = self._trend * pace.trend_keep + pace.trend_kick * gauss(0.0, 1.0)
        scale = math.exp(self._rough - _ROUGHNESS * _ROUGHNESS)
        self._passing = self._passing * pace.fade_keep + sigma * scale * pace.fade_kick * gauss(0.0, 1.0)
        self._burst *= pace.burst_keep
        shock = self._together * factor + self._alone * scale * gauss(0.0, 1.0)
        self._slow += sigma * (shock * pace.root + _TREND_SIZE * self._trend * pace.seconds)
        self._slow += (self._anchor - self._slow) * pace.anchor
        if self._random() < pace.jump:
            size = gauss(0.0, _JUMP_SIZE)
            self._pressure += size * sigma * _MINUTE_ROOT
            self._burst += min(abs(size) / 3, 2.0)
        rush = self._pressure * pace.rush
        self._pressure -= rush
        self._slow += rush * (1 - _OVERREACTION)
        self._passing += rush * _OVERREACTION
        price = max(round(math.exp(self._slow + self._passing), self._decimals), self._least)
        activity = math.exp(0.6 * self._rough + self._burst) * (0.4 + 0.4 * shock * shock)
        return Move(price, self._turnover * pace.seconds * activity / price)


class Prices:
    """The prices of all instruments. The path of one does not depend on which others there are."""

    def __init__(self, seed: int, instruments: Sequence[Instrument]) -> None:
        def rng(name: str) -> random.Random:
            return random.Random(f"{seed}:{name}")  # noqa: S311 - a simulation, not a secret

        self._world = rng("world").gauss
        self._factors = [_Factor(rng(f"group:{group}")) for group in Group]
        groups = list(Group)
        self._walks = [
            (_Walk(instrument, rng(f"symbol:{instrument.symbol}")), groups.index(instrument.group))
            for instrument in instruments
        ]

    def step(self, seconds: float) -> list[Move]:
        """Let time pass; one move for each instrument, in their order."""
        pace = _pace(seconds)
        world = self._world(0.0, 1.0)
        factors = [factor.step(pace, world) for factor in self._factors]
        return [walk.step(pace, factors[group]) for walk, group in self._walks]
