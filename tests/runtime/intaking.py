"""What the tests of publishing from outside share: channels, a hub behind them, and who publishes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec

from appliance.api import Channel, Event, Mode
from appliance.core.history import Retention
from appliance.core.topics import Aliases
from appliance.loading.configured import Configured
from appliance.runtime.hub import Hub
from appliance.runtime.intake import Intake
from appliance.runtime.journal import Journal
from appliance.runtime.status import Health
from appliance.settings.tree import PublishSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Prediction(msgspec.Struct, kw_only=True):
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)]
    predicted_price: float | None = None
    legs: list[dict[str, float]] = []


def by_symbol(event: Event, _settings: object) -> Iterator[str]:
    yield "all"
    yield f"symbol:{event.data['symbol']}"


PREDICTIONS = Channel(name="predictions", mode=Mode.STATE, message="prediction_update", schema=Prediction)
PRICE = Channel(name="price", mode=Mode.STATE, message="price_update")
ALERTS = Channel(name="alerts", mode=Mode.LOG, message="alert", route=by_symbol, topics=("all",))
CLOSED = Channel(name="closed", mode=Mode.LOG, message="closed")
RETENTION = Retention(count=1_000, age=None, size=1_000_000)


@attrs.frozen
class Writer:
    """Who publishes."""

    name: str = "alice"
    barred: tuple[str, ...] = ()

    def may_publish(self, channel: str) -> bool:
        return channel not in self.barred


CHANNELS = tuple(
    Configured(channel, None, RETENTION, None, publishable=channel is not CLOSED)
    for channel in (PREDICTIONS, PRICE, ALERTS, CLOSED)
)


@attrs.define(eq=False)
class Scene:
    """An intake and the hub behind it."""

    settings: PublishSettings = attrs.field(factory=PublishSettings)
    channels: tuple[Configured, ...] = CHANNELS
    most_topics: int = 100
    hub: Hub = attrs.field(init=False)
    intake: Intake = attrs.field(init=False)
    health: dict[str, Health] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.hub = Hub(epoch="e", most_topics=self.most_topics, most_bytes=10_000)
        for configured in self.channels:
            self.hub.open(configured.channel, configured.settings, configured.retention)
            self.health[configured.channel.name] = Health()
        self.intake = Intake(
            {configured.channel.name: configured for configured in self.channels},
            hub=self.hub,
            journal=Journal(self.hub),
            health=self.health,
            aliases=Aliases({"price": {"bitcoin": "BTC"}}),
            transform=lambda event: event,
            settings=lambda: self.settings,
        )

    def published(self, topic: str) -> list[Any]:
        """The data of a topic's entries."""
        return [msgspec.json.decode(entry.body) for entry in self.hub.topic(topic).after(0)]

    @property
    def topics(self) -> set[str]:
        return {topic.name for topic in self.hub.matching("*")}


def event(channel: str = "price", key: str = "AAPL", **others: Any) -> dict[str, Any]:
    return {"channel": channel, "key": key, "data": {"price": 1.5}, **others}


def alert(symbol: str = "AAPL") -> dict[str, Any]:
    return event("alerts", symbol, data={"symbol": symbol})


def tomorrow() -> float:
    return time.time() + 86_400
