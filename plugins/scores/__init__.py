"""The channel `scores`: how good predictions were once their horizon came, `scores:BTC`.

Must not know the models, nor where predictions and prices come from. What it knows is noted, and outlives the process.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from appliance.api import Channel, Event, Feed, History, Mode, Row, hookimpl

from .board import Scoreboard, model_key
from .figures import Score
from .notes import recall
from .settings import ScoresSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_NOTED = 1.0  # seconds: rows that came since then are not known after a crash
_MOST_NOTED = 20, 50  # times that many symbols: more would keep others from their turn


async def produce(feed: Feed, settings: ScoresSettings) -> None:
    rows = feed.watch(f"{settings.predictions}:*", f"{settings.prices}:*")
    board = Scoreboard(settings)
    recalled, note, problem = await feed.blocking(recall, feed.state, settings)
    if problem is not None:
        feed.log.warning("scores begin anew, for what was noted cannot be read", problem=problem)
    await feed.blocking(board.recall, recalled)
    if note:
        await feed.publish_all([], note=note)
    await _tell(feed, board)
    # What is told and what is noted of a symbol agree: one at a time sees to both.
    turn = trio.Lock()
    # Runs until it is cancelled from outside, or fails.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, rows, board)
        nursery.start_soon(_keep_notes, feed, board, turn)
        async for beat in feed.every(settings.interval):
            if beat:  # the first is now
                async with turn:
                    await _tell(feed, board)


async def _read(rows: AsyncIterator[Event], board: Scoreboard) -> None:
    async for event in rows:
        board.take(event, time.time())


async def _tell(feed: Feed, board: Scoreboard) -> None:
    for book in board.books():
        rows = [
            Row(model_key(score.symbol, score.model_version), msgspec.to_builtins(score))
            for score in book.scores()
        ]
        if rows:
            await feed.publish_all(rows, note=board.changes([book.symbol]))


async def _keep_notes(feed: Feed, board: Scoreboard, turn: trio.Lock) -> None:
    times, symbols = _MOST_NOTED
    async for _ in feed.every(_NOTED):
        for _ in range(times):
            async with turn:
                note = board.changes(board.changed(symbols))
                if note:
                    await feed.publish_all([], note=note)


def route(event: Event, settings: Any) -> Iterator[str]:  # noqa: ANN401, ARG001 - the signature of a route
    """The topic of a symbol tells of the model that predicts it now."""
    yield event.key
    if event.data["current"]:
        yield event.data["symbol"]


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="scores",
            mode=Mode.STATE,
            message="score_update",
            produce=produce,
            Settings=ScoresSettings,
            route=route,
            open=True,
            history=History(count=60, durable=True),
            schema=Score,
        ),
    )
