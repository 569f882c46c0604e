"""What is traded: magnitudes of the known symbols, and invented ones for names that nobody knows.

Must not know how prices move.
"""

from __future__ import annotations

import enum
import math
import random

import attrs


class Group(enum.StrEnum):
    """Symbols of a group share a market factor."""

    COIN = "coin"
    STOCK = "stock"


@attrs.frozen(kw_only=True)
class Instrument:
    """`volatility` is a year's, `turnover` a day's in dollars.

    `decimals` are those of a price, `lot` those of a quantity.
    """

    symbol: str
    group: Group
    price: float
    volatility: float
    supply: float
    turnover: float
    decimals: int
    lot: int


_KNOWN = {
    known[0]: Instrument(
        symbol=known[0],
        group=known[1],
        price=known[2],
        volatility=known[3],
        supply=known[4],
        turnover=known[5],
        decimals=known[6],
        lot=known[7],
    )
    for known in (
        ("BTC", Group.COIN, 97_000.0, 0.55, 19.8e6, 35e9, 2, 5),
        ("ETH", Group.COIN, 3_400.0, 0.70, 120.4e6, 18e9, 2, 4),
        ("SOL", Group.COIN, 190.0, 0.90, 480e6, 4e9, 2, 2),
        ("XRP", Group.COIN, 2.3, 0.85, 57.5e9, 6e9, 4, 0),
        ("ADA", Group.COIN, 0.95, 0.90, 35.2e9, 1e9, 4, 0),
        ("DOGE", Group.COIN, 0.35, 1.00, 147e9, 2.5e9, 5, 0),
        ("AAPL", Group.STOCK, 230.0, 0.28, 15.1e9, 11e9, 2, 0),
        ("MSFT", Group.STOCK, 430.0, 0.26, 7.43e9, 9e9, 2, 0),
        ("NVDA", Group.STOCK, 140.0, 0.50, 24.5e9, 28e9, 2, 0),
        ("TSLA", Group.STOCK, 400.0, 0.60, 3.2e9, 30e9, 2, 0),
        ("AMZN", Group.STOCK, 220.0, 0.33, 10.5e9, 9e9, 2, 0),
        ("GOOGL", Group.STOCK, 190.0, 0.31, 12.2e9, 5e9, 2, 0),
    )
}

DOZEN = tuple(_KNOWN)


def instrument(symbol: str, *, seed: int) -> Instrument:
    """The known instrument of that name, or a coin that the seed invents for it."""
    known = _KNOWN.get(symbol)
    if known is not None:
        return known
    rng = random.Random(f"{seed}:instrument:{symbol}")  # noqa: S311 - a simulation, not a secret
    price = 10 ** rng.uniform(-1.0, 2.5)
    worth = 10 ** rng.uniform(8.5, 10.5)
    magnitude = math.floor(math.log10(price))
    return Instrument(
        symbol=symbol,
        group=Group.COIN,
        price=price,
        volatility=rng.uniform(0.6, 1.2),
        supply=float(round(worth / price)),
        turnover=worth * rng.uniform(0.02, 0.1),
        decimals=max(2, 4 - magnitude),
        lot=max(0, magnitude),
    )
