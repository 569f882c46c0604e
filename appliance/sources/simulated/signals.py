"""Signals: what is out of the ordinary in prices and volumes, with the direction that the model expects.

Must not know how the market moves, nor who trades on a signal.

A signal's confidence is that of the forecast that the model is surest of. Its type says what set it off, its
severity how far that went.
"""

from __future__ import annotations

import bisect
import enum
import math
import operator
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.sources.simulated.instruments import Instrument
    from appliance.sources.simulated.model import Forecast, Reading
    from appliance.sources.simulated.prices import Move

STAKE = 2_000.0
"""Dollars that a signal proposes to trade."""

SEVERITIES = ("low", "medium", "high", "critical")
"""From the mildest to the worst."""

_FAST = 30.0  # seconds over which current volume is averaged
_USUAL = 3_600.0  # seconds over which usual volume is averaged
_PAUSE = 30.0  # least seconds between two signals of a type for a symbol
_TREND = 0.4  # distance from the slow average, in volatilities, from which there is a trend


class Direction(enum.StrEnum):
    BUY = "BUY"
    SELL = "SELL"


@attrs.frozen
class Rule:
    """From which strength there is something to tell, and from which it is medium, high and critical."""

    least: float
    bounds: tuple[float, float, float]

    def severity(self, strength: float) -> str:
        return SEVERITIES[bisect.bisect_right(self.bounds, strength)]


_RULES = {
    "price_anomaly": Rule(2.2, (3.0, 4.0, 6.0)),
    "volume_spike": Rule(2.0, (2.8, 4.0, 6.0)),
    "momentum": Rule(0.55, (0.60, 0.70, 0.80)),
    "trend_reversal": Rule(0.57, (0.62, 0.70, 0.80)),
}


@attrs.frozen(kw_only=True)
class Signal:
    """`price_change` is in percent of the minute's average, `volume_spike` a multiple of usual volume."""

    id: str
    type: str
    symbol: str
    direction: Direction
    severity: str
    confidence: float
    price: float
    quantity: float
    price_change: float
    volume_spike: float

    def row(self, timestamp: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "signal_type": self.direction.value,
            "symbol": self.symbol,
            "price": self.price,
            "quantity": self.quantity,
            "confidence": self.confidence,
            "severity": self.severity,
            "description": self.describe(),
            "timestamp": timestamp,
            "metadata": {
                "price_change": self.price_change,
                "volume_spike": self.volume_spike,
                "sources": ["simulated"],
            },
        }

    def describe(self) -> str:
        expected = "rise" if self.direction is Direction.BUY else "fall"
        away = f"{self.price_change:+.2f}% from the minute's average"
        what = {
            "price_anomaly": f"Unusual price movement detected ({away})",
            "volume_spike": f"Volume at {self.volume_spike:.1f} times its usual",
            "momentum": "Trend expected to go on",
            "trend_reversal": "Trend expected to turn",
        }[self.type]
        return f"{self.symbol}: {what}; the model expects a {expected}"


class _Volume:
    """Current volume against usual volume."""

    def __init__(self, usual: float) -> None:
        self._fast = self._usual = usual

    def take(self, units: float, seconds: float) -> float:
        rate = units / seconds
        self._fast += -math.expm1(-seconds / _FAST) * (rate - self._fast)
        self._usual += -math.expm1(-seconds / _USUAL) * (rate - self._usual)
        return self._fast / self._usual


class Watch:
    """Looks at each tick for what is worth a signal. `series` in the ids tells tapes apart."""

    def __init__(self, instruments: Sequence[Instrument], series: str) -> None:
        self._instruments = instruments
        self._volumes = [_Volume(each.turnover / each.price / 86_400) for each in instruments]
        self._series = series
        self._count = 0
        self._clock = 0.0
        self._silent_until: dict[tuple[str, str], float] = {}

    def look(self, moves: Sequence[Move], readings: Sequence[Reading], seconds: float) -> list[Signal]:
        """The signals of a tick that comes so many seconds after the last one."""
        self._clock += seconds
        found = []
        for instrument, volume, move, reading in zip(
            self._instruments, self._volumes, moves, readings, strict=True
        ):
            spike = volume.take(move.volume, seconds)
            best = max(reading.forecasts, key=operator.attrgetter("confidence"))
            for kind, strength in _strengths(reading, best, spike):
                if not self._worth(instrument.symbol, kind, strength):
                    continue
                self._count += 1
                found.append(
                    Signal(
                        id=f"signal_{self._series}_{self._count}",
                        type=kind,
                        symbol=instrument.symbol,
                        direction=Direction.BUY if best.move > 0 else Direction.SELL,
                        severity=_RULES[kind].severity(strength),
                        confidence=round(best.confidence, 4),
                        price=move.price,
                        quantity=max(round(STAKE / move.price, instrument.lot), 10.0**-instrument.lot),
                        price_change=round(100 * math.expm1(reading.distance), 4),
                        volume_spike=round(spike, 4),
                    )
                )
        return found

    def _worth(self, symbol: str, kind: str, strength: float) -> bool:
        """Whether it is strong enough, and the same was not said a moment ago."""
        if strength < _RULES[kind].least or self._clock < self._silent_until.get((symbol, kind), 0.0):
            return False
        self._silent_until[symbol, kind] = self._clock + _PAUSE
        return True


def _strengths(reading: Reading, best: Forecast, spike: float) -> Iterator[tuple[str, float]]:
    """How strong each type of signal is."""
    yield "price_anomaly", abs(reading.fast)
    yield "volume_spike", spike
    if abs(reading.slow) >= _TREND:
        along = (best.move > 0) == (reading.slow > 0)
        yield ("momentum" if along else "trend_reversal"), best.confidence
