"""Alerts: what somebody who looks away wants to be told, in words: moves, round figures, strong signals.

Must not know how the market moves, nor what a signal is made from.

A move is measured against an ordinary one over the same time. Its severity is how many of those it is.
"""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, Any

import attrs

from appliance.sources.simulated.signals import SEVERITIES, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from appliance.sources.simulated.instruments import Instrument
    from appliance.sources.simulated.model import Reading
    from appliance.sources.simulated.signals import Signal

WINDOW = 60.0
"""Seconds that a move is looked at, or as many as the tape is old."""
MOVE = Rule(1.0, (2.0, 3.0, 4.5))
"""From how many standard deviations a move is worth an alert, and how bad it is."""

_STRONG = {"high", "critical"}  # severities of the signals that are worth an alert
_PAUSE = 120.0  # seconds in which a symbol's moves are told again only where they got worse
_SAMPLES = 120  # most prices that are kept of a window
_SLACK = 1e-6  # seconds by which a sum of intervals may be off
_FIGURES = 100  # two round figures are at most such a part of a price apart


@attrs.frozen(kw_only=True)
class Alert:
    """`details` are further fields of its row, such as the size of the move."""

    id: str
    type: str
    symbol: str
    severity: str
    message: str
    price: float
    details: Mapping[str, Any]

    def row(self, timestamp: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": self.type,
            "symbol": self.symbol,
            "severity": self.severity,
            "message": self.message,
            "price": self.price,
            **self.details,
            "timestamp": timestamp,
        }


@attrs.frozen
class _Move:
    """Where a price came from within the window; `figure` is the round one that it has just crossed."""

    change_pct: float
    seconds: float
    deviations: float
    figure: float | None


class _Track:
    """The last minute of a symbol's price, and what was told of it."""

    def __init__(self, instrument: Instrument) -> None:
        self._scale: int = 10**instrument.decimals
        self._least = 1 / self._scale
        self._apart = _round_figure(round(instrument.price * self._scale / _FIGURES))
        self._past: collections.deque[tuple[float, float]] = collections.deque()
        self._steps: int | None = None
        self._figure: int | None = None
        self._silent_until = 0.0
        self._told = -1

    def take(self, price: float, volatility: float, clock: float) -> _Move | None:
        """Take the next price; the move that is worth an alert, if it is."""
        crossed = self._crossed(price)
        past = self._past
        while past and clock - past[0][0] > WINDOW + _SLACK:
            past.popleft()
        move = self._move(price, volatility, clock, crossed) if past else None
        if not past or clock - past[-1][0] >= WINDOW / _SAMPLES - _SLACK:
            past.append((clock, price))
        return move if move is not None and self._worth(move, clock) else None

    def _move(self, price: float, volatility: float, clock: float, crossed: int | None) -> _Move:
        began, before = self._past[0]
        seconds = clock - began
        # With the least change that a price can make: over a short time, that is nothing special.
        ordinary = before * volatility * math.sqrt(seconds) + self._least
        return _Move(
            change_pct=round(100 * (price / before - 1), 4),
            seconds=round(seconds, 3),
            deviations=math.floor(100 * abs(price - before) / ordinary) / 100,
            figure=None if crossed is None else crossed / self._scale,
        )

    def _crossed(self, price: float) -> int | None:
        """The round figure that was reached from below or left downwards, but the last one only after another."""
        steps, before = round(price * self._scale), self._steps
        self._steps = steps
        if before is None or steps // self._apart == before // self._apart:
            return None
        figure = (steps // self._apart + (steps < before)) * self._apart
        known, self._figure = self._figure, figure
        return None if figure == known else figure

    def _worth(self, move: _Move, clock: float) -> bool:
        severity = SEVERITIES.index(MOVE.severity(move.deviations))
        if move.figure is None:
            quiet = clock < self._silent_until - _SLACK
            if move.deviations < MOVE.least or (quiet and severity <= self._told):
                return False
        self._silent_until = clock + _PAUSE
        self._told = severity
        return True


class Lookout:
    """Looks at each tick for what is worth an alert. `series` in the ids tells tapes apart."""

    def __init__(self, instruments: Sequence[Instrument], series: str) -> None:
        self._instruments = {each.symbol: each for each in instruments}
        self._tracks = [_Track(each) for each in instruments]
        self._series = series
        self._count = 0
        self._clock = 0.0

    def look(
        self,
        prices: Sequence[float],
        readings: Sequence[Reading],
        signals: Sequence[Signal],
        seconds: float,
    ) -> Iterator[Alert]:
        """The alerts of a tick that comes so many seconds after the last one."""
        self._clock += seconds
        for instrument, track, price, reading in zip(
            self._instruments.values(), self._tracks, prices, readings, strict=True
        ):
            move = track.take(price, reading.volatility, self._clock)
            if move is not None:
                yield self._of_move(instrument, price, move)
        for signal in signals:
            if signal.severity in _STRONG:
                yield self._of_signal(signal)

    def _of_move(self, instrument: Instrument, price: float, move: _Move) -> Alert:
        details = {
            "change_pct": move.change_pct,
            "seconds": move.seconds,
            "deviations": move.deviations,
        }
        if move.figure is not None:
            details["figure"] = move.figure
        return Alert(
            id=self._next_id(),
            type="price_alert",
            symbol=instrument.symbol,
            severity=MOVE.severity(move.deviations),
            message=_tell(instrument, price, move),
            price=price,
            details=details,
        )

    def _of_signal(self, signal: Signal) -> Alert:
        return Alert(
            id=self._next_id(),
            type="signal_alert",
            symbol=signal.symbol,
            severity=signal.severity,
            message=signal.describe(),
            price=signal.price,
            details={
                "signal_id": signal.id,
                "signal_type": signal.direction.value,
                "confidence": signal.confidence,
            },
        )

    def _next_id(self) -> str:
        self._count += 1
        return f"alert_{self._series}_{self._count}"


def _tell(instrument: Instrument, price: float, move: _Move) -> str:
    at, change = _written(price, instrument.decimals), move.change_pct
    if move.figure is None:
        went = "rose" if change > 0 else "fell"
        return f"{instrument.symbol} {went} {abs(change):.2g} % in {move.seconds:g} s, to {at}"
    figure = _written(move.figure, instrument.decimals).rstrip("0").rstrip(".")
    crossed = "reached" if price >= move.figure else "fell below"
    return f"{instrument.symbol} {crossed} {figure}, now at {at} ({change:+.2g} % in {move.seconds:g} s)"


def _written(price: float, decimals: int) -> str:
    return f"{price:,.{decimals}f}"


def _round_figure(most: int) -> int:
    """The largest of 1, 2, 5, 10, 20, 50… that is not over `most`."""
    magnitude: int = 10 ** (len(str(most)) - 1)
    return max(part * magnitude for part in (1, 2, 5) if part * magnitude <= most)
