"""What a price feed says of a symbol: the latest price with its day and its last 24 hours.

Must not know how prices move; time comes in with each move.
"""

from __future__ import annotations

import collections
import math
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from appliance.sources.simulated.instruments import Instrument
    from appliance.sources.simulated.prices import Move

DAY = 86_400.0
_BUCKET = 600.0
_BUCKETS = int(DAY / _BUCKET) - 1  # with the one that is being filled, a day


@attrs.frozen(kw_only=True)
class Quote:
    """Open, high, low and volume (in units) are of the UTC day.

    `change_24h` is in percent, `volume_24h` in dollars.
    """

    symbol: str
    price: float
    open: float
    high: float
    low: float
    change: float
    change_pct: float
    change_24h: float
    volume: float
    volume_24h: float

    def row(self, timestamp: str) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "price": self.price,
            "change": self.change,
            "change_pct": self.change_pct,
            "change_24h": self.change_24h,
            "volume": self.volume,
            "volume_24h": self.volume_24h,
            "high": self.high,
            "low": self.low,
            "open": self.open,
            "close": self.price,
            "timestamp": timestamp,
        }


class Session:
    """The trading of one symbol, move by move. `at` never goes back."""

    def __init__(self, instrument: Instrument, price: float, at: float) -> None:
        self._instrument = instrument
        self._price = self._open = self._high = self._low = price
        self._units = 0.0
        self._day_ends = (at // DAY + 1) * DAY
        self._buckets: collections.deque[tuple[float, float]] = collections.deque(maxlen=_BUCKETS)
        self._bucket_ends = at + _BUCKET
        self._bucket_price, self._bucket_turnover = price, 0.0
        self._turnover: float | None = 0.0

    def take(self, move: Move, at: float) -> None:
        price = move.price
        if at >= self._day_ends:
            self._day_ends = (at // DAY + 1) * DAY
            self._open = self._high = self._low = self._price
            self._units = 0.0
        if at > self._bucket_ends:
            self._roll(at)
        self._price = price
        self._high = max(self._high, price)
        self._low = min(self._low, price)
        self._units += move.volume
        self._bucket_turnover += move.volume * price

    def quote(self) -> Quote:
        instrument, price = self._instrument, self._price
        change = round(price - self._open, instrument.decimals)
        if self._turnover is None:
            # Summed anew, so that rounding errors do not add up over weeks.
            self._turnover = sum(turnover for _, turnover in self._buckets)
        day_ago = self._buckets[0][0] if self._buckets else self._bucket_price
        return Quote(
            symbol=instrument.symbol,
            price=price,
            open=self._open,
            high=self._high,
            low=self._low,
            change=change,
            change_pct=round(100 * change / self._open, 4),
            change_24h=round(100 * (price / day_ago - 1), 4),
            volume=round(self._units, instrument.lot),
            volume_24h=round(self._turnover + self._bucket_turnover, 2),
        )

    def _roll(self, at: float) -> None:
        """Close the bucket, and an empty one for each that nobody saw (a machine that slept)."""
        ended = min(math.ceil((at - self._bucket_ends) / _BUCKET), _BUCKETS + 1)
        self._buckets.append((self._bucket_price, self._bucket_turnover))
        self._buckets.extend((self._price, 0.0) for _ in range(ended - 1))
        self._bucket_ends = max(self._bucket_ends + ended * _BUCKET, at)
        self._bucket_price, self._bucket_turnover = self._price, 0.0
        self._turnover = None
