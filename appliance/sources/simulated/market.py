"""The market as a whole: capitalisation, volume and sentiment, added up from the quotes of a tick.

Must not know anything but quotes and instruments: whoever has the quotes can check each figure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from appliance.sources.simulated.instruments import Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.sources.simulated.instruments import Instrument
    from appliance.sources.simulated.quotes import Quote

_LABELS = ("extreme fear", "fear", "neutral", "greed", "extreme greed")
_STRONG = 3.0  # percent in 24 hours that count as a strong move of the whole market


class Market:
    """The coins of a tape, or all its symbols where it has no coins."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        coins = [each for each in instruments if each.group is Group.COIN]
        self._supplies = {each.symbol: each.supply for each in coins or instruments}
        self._coins = len(coins)

    def rows(self, quotes: Sequence[Quote], timestamp: str) -> Mapping[str, dict[str, Any]]:
        """A row for each of `summary`, `volume` and `sentiment`; the figures of the summary stand in all."""
        members = [quote for quote in quotes if quote.symbol in self._supplies]
        worth = {quote.symbol: quote.price * self._supplies[quote.symbol] for quote in members}
        capitalisation = sum(worth.values())
        summary = {
            "total_market_cap": round(capitalisation, 2),
            "total_volume_24h": round(sum(quote.volume_24h for quote in members), 2),
            "bitcoin_dominance": round(100 * worth.get("BTC", 0.0) / capitalisation, 2),
            "active_cryptocurrencies": self._coins,
            "timestamp": timestamp,
        }
        return {
            "summary": summary,
            "volume": summary | _volume(members),
            "sentiment": summary | _sentiment(members),
        }


def _volume(members: Sequence[Quote]) -> dict[str, Any]:
    volumes = {quote.symbol: quote.volume_24h for quote in members}
    top = max(volumes, key=lambda symbol: volumes[symbol])
    total = sum(volumes.values())
    return {
        "volume_by_symbol": volumes,
        "top_symbol": top,
        "top_share": round(100 * volumes[top] / total, 2) if total else 0.0,
    }


def _sentiment(members: Sequence[Quote]) -> dict[str, Any]:
    """Half breadth, half the mean change: -1 is all falling hard, 1 all rising hard."""
    rising = sum(quote.change_24h > 0 for quote in members)
    falling = sum(quote.change_24h < 0 for quote in members)
    mean = sum(quote.change_24h for quote in members) / len(members)
    score = 0.5 * (rising - falling) / len(members) + 0.5 * math.tanh(mean / _STRONG)
    index = round(50 * (1 + score))
    return {
        "sentiment_score": round(score, 4),
        "fear_greed_index": index,
        "sentiment": _LABELS[min(index // 20, 4)],
        "rising": rising,
        "falling": falling,
        "average_change_24h": round(mean, 4),
    }
