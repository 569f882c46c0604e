"""The channel `signals`: each signal in `signals:all`, and in topics by confidence, type and severity.

Must not know what a signal is made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec
from attrs.validators import ge, le

from appliance.api import Channel, Event, History, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen(kw_only=True)
class SignalsSettings:
    """`high` is the least confidence of a signal in `signals:high`."""

    high: float = attrs.field(default=0.8, validator=[ge(0), le(1)])


class Signal(msgspec.Struct, kw_only=True):
    symbol: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    id: str | None = None
    type: str | None = None
    signal_type: str | None = None
    price: float | None = None
    quantity: float | None = None
    severity: str | None = None
    description: str | None = None
    timestamp: str | None = None
    metadata: dict[str, Any] | None = None


def route(event: Event, settings: SignalsSettings) -> Iterator[str]:
    """A signal without a type or a severity is in no topic of those."""
    kind, severity = event.data.get("type"), event.data.get("severity")
    yield "all"
    if event.data["confidence"] >= settings.high:
        yield "high"
    if kind:
        yield f"type:{kind}"
    if severity:
        yield f"severity:{severity}"
    if kind and severity:
        yield f"type:{kind}:severity:{severity}"


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="signals",
            mode=Mode.LOG,
            message="signal_alert",
            source="simulated",
            Settings=SignalsSettings,
            route=route,
            topics=("all", "high", "type:*", "severity:*"),
            history=History(age=86_400.0),
            schema=Signal,
        ),
    )
