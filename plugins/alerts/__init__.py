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

from appliance.api import Channel, Event, Feed, History, Mode, hookimpl

from .lookout import Lookout
from .rules import AlertsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .lookout import Alert

_SHORTEST_SLEEP = 0.1


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
    """Follow all rules. What they know is kept in memory: a start begins with nothing."""
    # Not the wall clock, which may jump: what has held for its time would then be told too soon or too late.
    since_1970 = time.time() - trio.current_time()
    report = partial(feed.log.warning, "a rule cannot judge")
    async with trio.open_nursery() as nursery:  # ends when the producer is cancelled
        for rule in settings.rules:
            lookout = Lookout(rule, settings, report)
            nursery.start_soon(_watch, feed, lookout, feed.watch(rule.pattern), since_1970)
            if rule.hold:
                nursery.start_soon(_keep_time, feed, lookout, since_1970)
        await trio.sleep_forever()


async def _watch(feed: Feed, lookout: Lookout, events: AsyncIterator[Event], since_1970: float) -> None:
    async for event in events:
        await _publish(feed, lookout.see(event, since_1970 + trio.current_time()))
        # Many may wait: others get a turn after each.
        await trio.lowlevel.checkpoint()


async def _keep_time(feed: Feed, lookout: Lookout, since_1970: float) -> None:
    """Tell what has held for its time. What begins to hold during a sleep is due after it at the earliest."""
    while True:
        now = since_1970 + trio.current_time()
        await _publish(feed, lookout.settle(now))
        await trio.sleep(max(min(lookout.due - now, lookout.rule.hold), _SHORTEST_SLEEP))


async def _publish(feed: Feed, alerts: list[Alert]) -> None:
    for alert in alerts:
        try:
            await feed.publish(alert.data, key=alert.key, at=alert.at)
        except Exception as error:  # noqa: BLE001 - an event that makes no alert must not end the rules
            feed.log.warning("an alert was refused", rule=alert.data["rule"], key=alert.key, error=str(error))


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
            history=History(age=86_400.0),
            schema=AlertRow,
        ),
    )
