"""The channel `trades`: each executed trade in `trades:all` and in the topic of its symbol, `trades:BTC`.

Must not know who trades, nor why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from appliance.api import Channel, Event, History, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


class Trade(msgspec.Struct, kw_only=True):
    symbol: str
    side: str
    quantity: float
    price: float
    id: str | None = None
    fee: float | None = None
    signal_id: str | None = None
    timestamp: str | None = None


def route(event: Event, settings: Any) -> Iterable[str]:  # noqa: ANN401, ARG001 - the signature of a route
    return ("all", event.key)


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="trades",
            mode=Mode.LOG,
            message="trade_executed",
            source="simulated",
            route=route,
            topics=("all",),
            history=History(age=86_400.0),
            schema=Trade,
        ),
    )
