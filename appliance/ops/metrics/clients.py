"""The metrics of clients: who is connected, what they are sent, and what goes wrong with them.

Must not know the other metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.core.errors import ErrorCode
from appliance.ops.metrics.family import counter, gauge, histogram

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.ops.metrics.family import Labelled
    from appliance.ops.metrics.instruments import Reading
    from appliance.runtime.census import Usage


def _listeners(value: Callable[[Usage], int]) -> Callable[[Reading], Labelled]:
    return lambda at: {(name,): value(usage) for name, usage in at.listeners.items()}


def _dropped(at: Reading) -> Labelled:
    dropped, ended = at.instruments.flusher.dropped, at.instruments.relief.ended
    return {
        ("stalled",): dropped["stalled"],
        ("history",): dropped["history"],
        ("owed",): ended["owed"],
        ("memory",): ended["memory"],
    }


def _resumptions(at: Reading) -> Labelled:
    traffic = at.instruments.status.traffic
    return {("recovered",): traffic.recovered, ("unrecovered",): traffic.unrecovered}


def _errors(at: Reading) -> Labelled:
    """Give the protocol's codes from the start, so that their first one shows as an increase."""
    counted = at.instruments.status.traffic.errors
    return {(code,): counted[code] for code in {*map(str, ErrorCode), *map(str, counted)}}


CLIENTS: Final = (
    gauge(
        "appliance_connections",
        "Open connections of all listeners together",
        lambda at: sum(usage.connections for usage in at.listeners.values()),
    ),
    gauge(
        "appliance_connections_limit",
        "Most open connections of all listeners together (`limits.connections`)",
        lambda at: at.settings.limits.connections,
    ),
    gauge(
        "appliance_sessions",
        "Open sessions; `transport` is `websocket`, `sse`, or `poll` for a poll that waits",
        lambda at: at.census.sessions,
        "dialect",
        "transport",
    ),
    gauge(
        "appliance_sessions_limit",
        "Most open sessions of all listeners together (`limits.sessions`)",
        lambda at: at.settings.limits.sessions,
    ),
    gauge(
        "appliance_listener_connections",
        "Open connections of a listener",
        _listeners(lambda usage: usage.connections),
        "listener",
    ),
    gauge(
        "appliance_listener_connections_limit",
        "Most open connections of a listener (`listen.limits.connections`, or else `limits.connections`)",
        _listeners(lambda usage: usage.most_connections),
        "listener",
    ),
    gauge(
        "appliance_listener_sessions",
        "Open sessions of a listener",
        _listeners(lambda usage: usage.sessions),
        "listener",
    ),
    gauge(
        "appliance_listener_sessions_limit",
        "Most open sessions of a listener (`listen.limits.sessions`, or else `limits.sessions`)",
        _listeners(lambda usage: usage.most_sessions),
        "listener",
    ),
    counter(
        "appliance_sessions_opened_total",
        "Sessions begun",
        lambda at: at.instruments.status.traffic.opened,
    ),
    counter(
        "appliance_sessions_closed_total",
        "Sessions ended",
        lambda at: at.instruments.status.traffic.closed,
    ),
    gauge(
        "appliance_sessions_behind",
        "Sessions whose socket is full, or that are still catching up",
        lambda at: at.instruments.flusher.behind,
    ),
    counter(
        "appliance_sessions_dropped_total",
        "Sessions closed as too slow, with `SLOW_CLIENT`: their socket accepted nothing for `limits.stalled`"
        " (`stalled`), a history no longer had what they were owed (`history`), more was held for them than may be"
        " (`owed`), or memory was short (`memory`)",
        _dropped,
        "reason",
    ),
    counter(
        "appliance_resumptions_total",
        "Topics that WebSocket and SSE clients came back to: with all that they had missed (`recovered`), or told that"
        " some of it is no longer there (`unrecovered`)",
        _resumptions,
        "outcome",
    ),
    counter(
        "appliance_deliveries_total",
        "Messages handed to sockets: each event once for each session that it goes to, and answers",
        lambda at: at.instruments.flusher.deliveries,
    ),
    histogram(
        "appliance_delivery_latency_seconds",
        "Time from the publication of an event to its write into the sockets of clients that are up to date",
        lambda at: at.instruments.flusher.latency,
    ),
    gauge(
        "appliance_outbox_events",
        "Events and answers that all sessions together are owed, and that no socket has taken yet; of a state topic"
        " that a client is behind in, the newest alone",
        lambda at: at.census.owed,
    ),
    gauge(
        "appliance_outbox_events_max",
        "Events and answers that the one session is owed that is owed most",
        lambda at: at.census.most_owed,
    ),
    counter(
        "appliance_conflated_events_total",
        "Events of state topics that slow clients were not sent, because newer ones had taken their place",
        lambda at: at.instruments.status.traffic.conflated,
    ),
    counter(
        "appliance_gaps_total",
        "Notices to slow clients that events of a state topic were left out",
        lambda at: at.instruments.status.traffic.gaps,
    ),
    counter(
        "appliance_sent_bytes_total",
        "Bytes sent to sessions, and in answers to polls",
        lambda at: at.instruments.status.traffic.sent_bytes,
    ),
    counter(
        "appliance_received_bytes_total",
        "Bytes received from WebSocket sessions",
        lambda at: at.instruments.status.traffic.received_bytes,
    ),
    counter(
        "appliance_received_messages_total",
        "Messages received from WebSocket sessions",
        lambda at: at.instruments.status.traffic.received_messages,
    ),
    counter(
        "appliance_errors_total",
        "Requests that were refused, by the code that their client was told, and connections that failed, by what was"
        " wrong (`bad_handshake`, `slow_head`, `connection_lost`…)",
        _errors,
        "code",
    ),
)
