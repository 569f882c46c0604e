"""What the appliance says of itself: the `system_status` of the protocol and the statistics of `/ws/stats`.

Must not know how either is sent.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from appliance.api import Channel, Mode, NoSettings
from appliance.core.history import Retention
from appliance.core.instants import timestamp
from appliance.loading.configured import Configured

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from appliance.api import Feed
    from appliance.core.histogram import Histogram
    from appliance.core.scope import Scope
    from appliance.loading.ledger import PluginState
    from appliance.runtime.status import Health, Status
    from appliance.settings.tree import Settings

_STREAMS = {"price": "price_updates"}
"""What the trading-stream system calls a channel."""


class Ongoing(Protocol):
    """A session, as far as it is told of."""

    @property
    def dialect(self) -> str: ...

    @property
    def details(self) -> Mapping[str, Any]: ...


@attrs.frozen
class Part:
    """What somebody is told of who is not told of everything: channels that it reads whole, and sessions of its own."""

    scope: Scope
    is_own: Callable[[Any], bool]


@attrs.frozen(kw_only=True)
class Report:
    """The callables give what is open, and what the settings are, at the moment."""

    status: Status
    latency: Histogram
    sessions: Callable[[], Collection[Ongoing]]
    connections: Callable[[], int]
    settings: Callable[[], Settings]
    plugins: Callable[[], Iterable[PluginState]] = tuple
    store: Callable[[], dict[str, Any]] = lambda: {"is_healthy": True}

    def system_status(self) -> dict[str, Any]:
        return {
            "status": _overall(self.status.healthy and self.store()["is_healthy"]),
            "active_connections": len(self.sessions()),
            "messages_per_second": round(self.status.rates().deliveries, 2),
            "uptime": round(self.status.uptime, 2),
            "timestamp": timestamp(time.time()),
        }

    def summary(self) -> str:
        """Say in a line what there is to do, and what fails."""
        rate = f"{self.status.rates().deliveries:,.0f} messages a second"
        failing = sorted(name for name, health in self.status.health.items() if not health.healthy)
        told = [f"{len(self.sessions()):,} sessions, {rate}"]
        told += [f"channels that fail: {', '.join(failing)}"] if failing else []
        told += [] if self.store()["is_healthy"] else ["nothing is kept"]
        return "; ".join(told)

    def channel(self, topic: str, *, every: Callable[[], float]) -> Configured:
        """Make the channel that tells of the appliance itself."""
        name, _, key = topic.partition(":")

        async def produce(feed: Feed, _settings: object) -> None:
            async for _ in feed.every(every()):
                await feed.publish(self.system_status(), key=key)

        channel = Channel(name=name, mode=Mode.STATE, message="system_status", produce=produce, topics=(key,))
        return Configured(channel, NoSettings(), Retention(count=100, age=None, size=65_536), None)

    def statistics(self, part: Part | None = None) -> dict[str, Any]:
        """Tell everything, or a part."""
        if part is not None:
            return self._partly(part)
        status, rates, traffic = self.status, self.status.rates(), self.status.traffic
        now = status.sample()
        return {
            **self.system_status(),
            "open_connections": self.connections(),
            "uptime_seconds": round(time.time() - status.started, 3),
            "delivery_latency_ms": _milliseconds(self.latency),
            "deliveries": now.deliveries,
            "errors": dict(traffic.errors),
            "errors_per_minute": {kind: round(60 * rate, 2) for kind, rate in rates.errors.items()},
            "bandwidth": {
                "sent_bytes": now.sent_bytes,
                "received_bytes": now.received_bytes,
                "sent_bytes_per_second": round(rates.sent_bytes, 1),
                "received_bytes_per_second": round(rates.received_bytes, 1),
            },
            "churn": {
                "opened": now.opened,
                "closed": now.closed,
                "opened_per_minute": round(60 * rates.opened, 2),
                "closed_per_minute": round(60 * rates.closed, 2),
            },
            "connections": self.sessions_by_channel(),
            "channels": {name: _health(health) for name, health in status.health.items()},
            "store": self.store(),
            "plugins": [
                {
                    "name": plugin.name,
                    "state": plugin.state,
                    "channels": list(plugin.channels),
                    "error": plugin.error,
                }
                for plugin in self.plugins()
            ],
        }

    def _partly(self, part: Part) -> dict[str, Any]:
        sessions, health = self._own(part), self._health(part)
        return {
            "status": _overall(all(each.healthy for each in health.values())),
            "active_connections": len(sessions),
            "uptime": round(self.status.uptime, 2),
            "timestamp": timestamp(time.time()),
            "uptime_seconds": round(time.time() - self.status.started, 3),
            "connections": self.sessions_by_channel(part),
            "channels": {name: _health(each) for name, each in health.items()},
        }

    def _own(self, part: Part | None) -> Collection[Ongoing]:
        sessions = self.sessions()
        return sessions if part is None else [session for session in sessions if part.is_own(session)]

    def _health(self, part: Part | None) -> Mapping[str, Health]:
        health = self.status.health
        return (
            health
            if part is None
            else {name: each for name, each in health.items() if part.scope.has_whole(name)}
        )

    def sessions_by_channel(self, part: Part | None = None) -> dict[str, Any]:
        """Count sessions by what they are on: the stream, where their dialect has several, or else the dialect."""
        sessions = self._own(part)
        counts = Counter(session.details.get("channel", session.dialect) for session in sessions)
        return {"total": len(sessions), "channels": dict(sorted(counts.items()))}

    def socket_status(self, part: Part | None = None) -> dict[str, Any]:
        """Say what the status page of the trading-stream system says, of all channels, in its words."""
        settings, sessions = self.settings(), self._own(part)
        told = {_STREAMS.get(name, name): _health(health) for name, health in self._health(part).items()}
        return {
            "enabled": settings.trading.enabled,
            "active_connections": len(sessions),
            "max_connections": settings.limits.sessions,
            "ping_interval": _plain(settings.heartbeat.interval),
            "price_update_interval": _plain(settings.trading.price_interval),
            "portfolio_update_interval": _plain(settings.trading.portfolio_interval),
            "stream_health": told,
            "clients": [
                session.details["client_id"] for session in sessions if "client_id" in session.details
            ],
        }


def _overall(healthy: bool) -> str:  # noqa: FBT001 - a value to be told
    return "healthy" if healthy else "degraded"


def _plain(seconds: float) -> float:
    """Write whole seconds as a whole number."""
    return int(seconds) if seconds.is_integer() else seconds


def _milliseconds(latency: Histogram) -> dict[str, float]:
    figures = {
        "mean": latency.mean,
        "p50": latency.quantile(0.5),
        "p99": latency.quantile(0.99),
        "max": latency.longest,
    }
    return {name: round(1000 * value, 3) for name, value in figures.items()}


def _health(health: Health) -> dict[str, Any]:
    return {
        "is_healthy": health.healthy,
        "started_at": timestamp(health.started_at) if health.started_at else None,
        "last_update": timestamp(health.last_update) if health.last_update else None,
        "events": health.events,
        "refused": health.refused,
        "events_per_second": round(health.rate, 2),
        "lag_seconds": None if health.lag is None else round(health.lag, 3),
        "stale": health.stale,
        "quarantined": health.quarantined,
        "offences": dict(health.offences),
        "error_count": health.errors,
        "recovery_attempts": health.recovery_attempts,
        "last_error": health.last_error,
    }
