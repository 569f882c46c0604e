"""The channel `alerts`: each alert in `alerts:all`, and in topics by symbol, severity and type.

Must not know what sets an alert off. Alerts are free-form: fields that are not listed here reach clients too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from appliance.api import Channel, Event, History, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


class Alert(msgspec.Struct, kw_only=True):
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


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="alerts",
            mode=Mode.LOG,
            message="alert",
            source="simulated",
            route=route,
            topics=("all", "symbol:*", "severity:*", "type:*"),
            history=History(age=86_400.0),
            schema=Alert,
        ),
    )
