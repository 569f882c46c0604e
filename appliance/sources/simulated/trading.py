"""Paper trades: an account that follows confident signals, and adds up to the cent.

Must not know what a signal is made from. Money is counted in whole cents, so that no rounding is lost:
equity = cash + market value of the positions; equity - start = realized + unrealized profit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from appliance.sources.simulated.signals import Direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.sources.simulated.signals import Signal

START = 100_000_00
"""Cents that an account starts with."""

_FEE = 0.0002  # of what is traded
_LEAST_CONFIDENCE = 0.58
_REMNANT = 1.5  # a position smaller than so many signals' worth is sold whole
_MOST_OF_ONE = 8_000_00  # cents that a position may have cost


@attrs.frozen(kw_only=True)
class Trade:
    id: str
    symbol: str
    side: Direction
    quantity: float
    price: float
    fee: float
    signal_id: str

    def row(self, timestamp: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "symbol": self.symbol,
            "side": self.side.value,
            "quantity": self.quantity,
            "price": self.price,
            "fee": self.fee,
            "signal_id": self.signal_id,
            "timestamp": timestamp,
        }


@attrs.define
class _Position:
    quantity: float
    cost: int


def cents(quantity: float, price: float) -> int:
    return round(quantity * price * 100)


class Account:
    """Cash and long positions. What it is told to do, it must be able to: see `affordable` and `held`."""

    def __init__(self, start: int = START) -> None:
        self._start = start
        self._cash = start
        self._realized = 0
        self._positions: dict[str, _Position] = {}

    def held(self, symbol: str) -> float:
        position = self._positions.get(symbol)
        return position.quantity if position else 0.0

    def cost(self, symbol: str) -> int:
        position = self._positions.get(symbol)
        return position.cost if position else 0

    def affordable(self, quantity: float, price: float) -> bool:
        value = cents(quantity, price)
        return value + round(value * _FEE) <= self._cash

    def buy(self, symbol: str, quantity: float, price: float) -> int:
        """Add to a position; the fee in cents."""
        if quantity <= 0 or not self.affordable(quantity, price):
            raise ValueError(f"cannot buy {quantity} {symbol} at {price} with {self._cash / 100} in cash")
        value = cents(quantity, price)
        fee = self._pay_fee(value)
        self._cash -= value
        position = self._positions.setdefault(symbol, _Position(0.0, 0))
        position.quantity = round(position.quantity + quantity, 8)
        position.cost += value
        return fee

    def sell(self, symbol: str, quantity: float, price: float) -> int:
        """Take from a position, at its average cost; the fee in cents."""
        position = self._positions.get(symbol)
        if position is None or not 0 < quantity <= position.quantity:
            raise ValueError(f"cannot sell {quantity} {symbol}: {self.held(symbol)} held")
        value = cents(quantity, price)
        fee = self._pay_fee(value)
        left = round(position.quantity - quantity, 8)
        cost = round(position.cost * (quantity / position.quantity)) if left else position.cost
        self._cash += value
        self._realized += value - cost
        position.quantity = left
        position.cost -= cost
        if not left:
            del self._positions[symbol]
        return fee

    def row(self, prices: Mapping[str, float], timestamp: str) -> dict[str, Any]:
        """The portfolio at these prices."""
        positions = {
            symbol: _position_row(symbol, position, prices[symbol])
            for symbol, position in self._positions.items()
        }
        equity = self._cash + sum(
            cents(position.quantity, prices[symbol]) for symbol, position in self._positions.items()
        )
        return {
            "positions": positions,
            "cash": self._cash / 100,
            "equity": equity / 100,
            "realized_pnl": self._realized / 100,
            "total_pnl": (equity - self._start) / 100,
            "position_count": len(positions),
            "timestamp": timestamp,
        }

    def _pay_fee(self, value: int) -> int:
        fee = round(value * _FEE)
        self._cash -= fee
        self._realized -= fee
        return fee


def _position_row(symbol: str, position: _Position, price: float) -> dict[str, Any]:
    value = cents(position.quantity, price)
    gain = value - position.cost
    return {
        "symbol": symbol,
        "quantity": position.quantity,
        "average_price": round(position.cost / 100 / position.quantity, 8),
        "market_price": price,
        "market_value": value / 100,
        "unrealized_pnl": gain / 100,
        "unrealized_pnl_pct": round(100 * gain / position.cost, 4) if position.cost else 0.0,
    }


class Trader:
    """Buys on confident BUY signals within cash and limit; sells on SELL, never what it has not."""

    def __init__(self, account: Account, series: str) -> None:
        self._account = account
        self._series = series
        self._count = 0

    def follow(self, signal: Signal) -> Trade | None:
        quantity = self._quantity(signal)
        if not quantity:
            return None
        act = self._account.buy if signal.direction is Direction.BUY else self._account.sell
        fee = act(signal.symbol, quantity, signal.price)
        self._count += 1
        return Trade(
            id=f"trade_{self._series}_{self._count}",
            symbol=signal.symbol,
            side=signal.direction,
            quantity=quantity,
            price=signal.price,
            fee=fee / 100,
            signal_id=signal.id,
        )

    def _quantity(self, signal: Signal) -> float:
        if signal.confidence < _LEAST_CONFIDENCE:
            return 0.0
        if signal.direction is Direction.SELL:
            held = self._account.held(signal.symbol)
            return held if held < _REMNANT * signal.quantity else signal.quantity
        fits = self._account.cost(signal.symbol) + cents(signal.quantity, signal.price) <= _MOST_OF_ONE
        return signal.quantity if fits and self._account.affordable(signal.quantity, signal.price) else 0.0
