"""The channel `alerts`: each alert in `alerts:all`, and in topics by symbol, severity and type.

Must not know who reads alerts, nor which channels its rules watch. `docs/alerts.md` says how a rule is written. Alerts
that applications publish are free-form: fields that are not listed here reach clients too.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import trio

from appliance.api import Channel, Event, Feed, History, Mode, Row, hookimpl

from .lookout import Lookout
from .notes import WATCHED, recall
from .rules import AlertsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from .lookout import Alert

_SHORTEST_SLEEP = 0.1
_NOTED = 1.0  # seconds: what was seen since then is not known after a crash
_MOST_NOTED = 10, 100  # times that many keys of a rule: more would keep others from their turn
_WATCHING = 5.0  # seconds between two notes that somebody watches
_LONGEST_BLINK = 10.0  # seconds of absence for which what held before is taken to hold still


class AlertRow(msgspec.Struct, kw_only=True):
    type: str
    message: str
    symbol: str | None = None
    severity: Literal["low", "medium", "high", "critical"] | None = None
    timestamp: str | None = None


def route(event: Event, settings: Any) -> Iterator[str]:  # noqa: ANN401, ARG001 - the signature of a route
    """An alert without a symbol or a severity is in no topic of those."""
    yield "all"
    for field in ("symbol", "severity", "type"):
        value = event.data.get(field)
        if value:
            yield f"{field}:{value}"


async def produce(feed: Feed, settings: AlertsSettings) -> None:
    """Follow all rules, and go on with what was noted of them."""
    # Not the wall clock, which may jump: what has held for its time would then be told too soon or too late.
    since_1970 = time.time() - trio.current_time()
    watches = [feed.watch(rule.pattern) for rule in settings.rules]
    lookouts = [
        Lookout(rule, settings, partial(feed.log.warning, "a rule cannot judge")) for rule in settings.rules
    ]
    await _recall(feed, settings, lookouts, since_1970 + trio.current_time())
    async with trio.open_nursery() as nursery:  # ends when the producer is cancelled
        for lookout, events in zip(lookouts, watches, strict=True):
            follower = _Follower(feed, lookout, since_1970)
            nursery.start_soon(follower.watch, events)
            nursery.start_soon(follower.keep_notes)
            if lookout.rule.hold:
                nursery.start_soon(follower.keep_time)
        # Windows ask for it after a break. While no event comes, nothing else is noted.
        async for _ in feed.every(_WATCHING):
            await feed.publish_all([], note={WATCHED: since_1970 + trio.current_time()})


async def _recall(feed: Feed, settings: AlertsSettings, lookouts: Sequence[Lookout], now: float) -> None:
    memory = await feed.blocking(recall, feed.state, settings.rules)
    if memory.forgotten:
        feed.log.info("rules are gone, or ask something else and begin anew", rules=memory.forgotten)
    interrupted = memory.watched is None or now - memory.watched > _LONGEST_BLINK
    if memory.changes:
        await feed.publish_all([], note=memory.changes)
    for lookout in lookouts:
        recalled = memory.rules[lookout.rule.name]
        await feed.blocking(partial(lookout.recall, recalled, interrupted=interrupted))


class _Follower:
    """Follows one rule. What is told and what is noted of it agree: one of its tasks at a time sees to both."""

    def __init__(self, feed: Feed, lookout: Lookout, since_1970: float) -> None:
        self._feed = feed
        self._lookout = lookout
        self._since_1970 = since_1970
        self._turn = trio.Lock()

    async def watch(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            async with self._turn:  # many may wait: others get a turn before each
                await self._publish(self._lookout.see(event, self._now()))

    async def keep_time(self) -> None:
        """Tell what has held for its time. What begins to hold during a sleep is due after it at the earliest."""
        lookout = self._lookout
        while True:
            async with self._turn:
                await self._publish(lookout.settle(self._now()))
            await trio.sleep(max(min(lookout.due - self._now(), lookout.rule.hold), _SHORTEST_SLEEP))

    async def keep_notes(self) -> None:
        """Note what changes all the time, and no alert depends on alone: the newest events, and windows."""
        async for _ in self._feed.every(_NOTED):
            times, keys = _MOST_NOTED
            for _ in range(times):
                async with self._turn:
                    await self._tell([], self._lookout.changed(keys))

    async def _publish(self, alerts: list[Alert]) -> None:
        await self._tell([Row(alert.key, alert.data, alert.at) for alert in alerts], self._lookout.turned())

    async def _tell(self, rows: list[Row], note: dict[str, Any]) -> None:
        if rows or note:
            await self._feed.publish_all(rows, note=note)

    def _now(self) -> float:
        return self._since_1970 + trio.current_time()


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="alerts",
            mode=Mode.LOG,
            message="alert",
            produce=produce,
            Settings=AlertsSettings,
            route=route,
            topics=("all", "symbol:*", "severity:*", "type:*"),
            history=History(age=86_400.0, durable=True),
            schema=AlertRow,
        ),
    )
