"""What the appliance says of itself: the `system_status` of the protocol and the statistics of `/ws/stats`.

Must not know how either is sent.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.core.histogram import Histogram
    from appliance.runtime.status import Health, Status


@attrs.frozen(kw_only=True)
class Report:
    """The callables give what is open at the moment."""

    status: Status
    latency: Histogram
    sessions: Callable[[], int]
    connections: Callable[[], int]

    def system_status(self) -> dict[str, Any]:
        return {
            "status": "healthy" if self.status.healthy else "degraded",
            "active_connections": self.sessions(),
            "messages_per_second": round(self.status.rates().deliveries, 2),
            "uptime": round(self.status.uptime, 2),
            "timestamp": timestamp(time.time()),
        }

    def statistics(self) -> dict[str, Any]:
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
            "channels": {name: _health(health) for name, health in status.health.items()},
        }


def timestamp(moment: float) -> str:
    """Write a time as RFC 3339, in UTC."""
    at = dt.datetime.fromtimestamp(moment, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        "error_count": health.errors,
        "recovery_attempts": health.recovery_attempts,
        "last_error": health.last_error,
    }
