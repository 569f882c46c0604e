"""The tape: tick for tick, the rows of all channels, which agree with one another.

Must not know the clock: each tick is told its time. The same seed, symbols, interval and times give the same
tape. The market is open day and night, and moves by one interval a tick, however much time went by.
"""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import attrs

from appliance.sources.simulated.instruments import instrument
from appliance.sources.simulated.market import Market
from appliance.sources.simulated.model import VERSION, Model
from appliance.sources.simulated.prices import Prices
from appliance.sources.simulated.quotes import DAY, Session
from appliance.sources.simulated.signals import Watch
from appliance.sources.simulated.trading import Account, Trader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from appliance.sources.simulated.instruments import Instrument
    from appliance.sources.simulated.model import Reading
    from appliance.sources.simulated.prices import Move

PORTFOLIO = "paper"
"""The key of the only portfolio."""

_COARSE = 600.0  # seconds of a step of the first day
_FINE = 60.0  # seconds of a step of its last two hours, from which the model learns
_FINE_STEPS = 120
_COARSE_STEPS = int((DAY - _FINE_STEPS * _FINE) / _COARSE)
_LONGEST_STEP = 5.0  # longer ticks are made of several steps


@attrs.frozen
class Row:
    """One event: where it goes, its data, and its time in seconds since 1970."""

    channel: str
    key: str
    data: Mapping[str, Any]
    at: float


@attrs.frozen
class Tick:
    """All rows of one moment, in the order in which one follows from another."""

    number: int
    at: float
    rows: tuple[Row, ...]


class Tape:
    """A market that opened a day before `start`: at its first tick the model is fitted."""

    def __init__(self, *, seed: int, symbols: Sequence[str], start: float, interval: float = 1.0) -> None:
        self._instruments = [instrument(symbol, seed=seed) for symbol in symbols]
        self._prices = Prices(seed, self._instruments)
        steps = math.ceil(interval / _LONGEST_STEP)
        self._steps = (interval / steps,) * steps
        self._interval = interval
        self._number = 0
        self._at = start - DAY
        # A second tape of the same seed has other ids, so that nobody takes its signals for known ones.
        series = f"{round(start * 1_000):x}"
        self._watch = Watch(self._instruments, series)
        self._account = Account()
        self._trader = Trader(self._account, series)
        self._market = Market(self._instruments)
        first = self._prices.step(_COARSE)
        self._sessions = [
            Session(each, move.price, self._at) for each, move in zip(self._instruments, first, strict=True)
        ]
        for _ in range(_COARSE_STEPS):
            moves = self._pass(_COARSE, self._at + _COARSE)
        self._model = Model([move.price for move in moves], [each.group for each in self._instruments])
        for _ in range(_FINE_STEPS):
            moves = self._pass(_FINE, self._at + _FINE)
            self._model.observe([move.price for move in moves], _FINE)
        self._at = start

    @property
    def keys(self) -> Mapping[str, tuple[str, ...]]:
        """The channels of the tape, each with the keys that are known from the beginning."""
        symbols = tuple(each.symbol for each in self._instruments)
        return {
            "price": symbols,
            "predictions": symbols,
            "signals": (),
            "trades": symbols,
            "portfolio": (PORTFOLIO,),
            "market": ("summary", "volume", "sentiment"),
        }

    def step(self, at: float) -> Tick:
        """The next tick, at that time. Where the clock went back, time stands still."""
        at = max(at, self._at)
        moves = self._moves(at)
        rows = (Row(channel, key, data, at) for channel, key, data in self._rows(moves, _timestamp(at)))
        tick = Tick(self._number, at, tuple(rows))
        self._number += 1
        return tick

    def prediction(self, symbol: str, at: float) -> Mapping[str, Any] | None:
        """The row of a prediction made at that time, from the last tick; the tape goes on as if nobody had asked."""
        at = max(at, self._at)
        readings = self._model.readings(at - self._at)
        for each, session, reading in zip(self._instruments, self._sessions, readings, strict=True):
            if each.symbol == symbol:
                return _prediction(each, session.quote().price, reading, _timestamp(at))
        return None

    def _moves(self, at: float) -> list[Move]:
        """One move for each instrument over the whole tick."""
        volumes = [0.0] * len(self._instruments)
        for seconds in self._steps:
            moves = self._pass(seconds, at)
            self._model.observe([move.price for move in moves], seconds)
            volumes = [volume + move.volume for volume, move in zip(volumes, moves, strict=True)]
        return [move._replace(volume=volume) for volume, move in zip(volumes, moves, strict=True)]

    def _pass(self, seconds: float, at: float) -> list[Move]:
        self._at = at
        moves = self._prices.step(seconds)
        for session, move in zip(self._sessions, moves, strict=True):
            session.take(move, at)
        return moves

    def _rows(self, moves: Sequence[Move], timestamp: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        readings = self._model.readings()
        quotes = [session.quote() for session in self._sessions]
        for quote in quotes:
            yield "price", quote.symbol, quote.row(timestamp)
        for each, quote, reading in zip(self._instruments, quotes, readings, strict=True):
            yield "predictions", each.symbol, _prediction(each, quote.price, reading, timestamp)
        signals = self._watch.look(moves, readings, self._interval)
        for signal in signals:
            yield "signals", signal.symbol, signal.row(timestamp)
            trade = self._trader.follow(signal)
            if trade is not None:
                yield "trades", trade.symbol, trade.row(timestamp)
        prices = {quote.symbol: quote.price for quote in quotes}
        yield "portfolio", PORTFOLIO, self._account.row(prices, timestamp)
        for key, data in self._market.rows(quotes, timestamp).items():
            yield "market", key, data


def _prediction(instrument: Instrument, price: float, reading: Reading, timestamp: str) -> dict[str, Any]:
    """One row for those who know horizons, and for those who know one prediction: that is the longest."""
    soon, later, last = reading.forecasts
    decimals = instrument.decimals
    predicted = [round(price * math.exp(forecast.move), decimals) for forecast in reading.forecasts]
    return {
        "symbol": instrument.symbol,
        "time": timestamp,
        "current_price": price,
        "predicted_1min": predicted[0],
        "predicted_5min": predicted[1],
        "predicted_15min": predicted[2],
        "confidence_1min": round(soon.confidence, 4),
        "confidence_5min": round(later.confidence, 4),
        "confidence_15min": round(last.confidence, 4),
        "model_version": VERSION,
        "predicted_price": predicted[2],
        "confidence": round(last.confidence, 4),
        "timestamp": timestamp,
    }


def _timestamp(at: float) -> str:
    moment = dt.datetime.fromtimestamp(at, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
