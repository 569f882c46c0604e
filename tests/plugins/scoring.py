"""Rows of prices and predictions for the tests of scores, at seconds of a tape that begins at `START`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from appliance.api import Event
from plugins import drift, scores
from plugins.scores.board import Scoreboard
from plugins.scores.settings import ScoresSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

START = 1_766_000_000.0
"""2025-12-17T19:33:20Z"""

NOW = START + 40_000.0
[SCORES] = scores.register_channels()
[DRIFT] = drift.register_channels()


def price(at: float, value: Any, symbol: str = "BTC") -> Event:
    return Event("price", symbol, {"price": value, "symbol": symbol}, START + at)


def prediction(at: float, current: Any, symbol: str = "BTC", **data: Any) -> Event:
    return Event(
        "predictions",
        symbol,
        {"symbol": symbol, "current_price": current, "model_version": "v1", **data},
        START + at,
    )


def board(**settings: Any) -> Scoreboard:
    return Scoreboard(ScoresSettings(**settings))


def told(board: Scoreboard, rows: Iterable[Event] = ()) -> list[dict[str, Any]]:
    """What is told once these rows are taken."""
    for row in rows:
        board.take(row, NOW)
    return [msgspec.to_builtins(score) for book in board.books() for score in book.scores()]


def minute(rows: Iterable[Event], **settings: Any) -> dict[str, Any]:
    """What is told of the only model's predictions of a minute."""
    [score] = told(board(**settings), rows)
    accuracy: dict[str, Any] = score["horizons"]["1min"]
    return accuracy
