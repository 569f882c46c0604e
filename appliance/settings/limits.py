"""The bounds of what clients may take: of all listeners together, and of one.

Must not know who holds to them.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs
from attrs.validators import ge, gt, le

from appliance.settings.fields import Bytes, Seconds, setting

COUNTED: Final = (
    "connections",
    "connections_per_address",
    "connections_per_minute",
    "handshakes_per_minute",
    "requests_per_minute",
    "failed_logins",
    "sessions",
    "sessions of a principal",
    "messages_per_minute",
    "subscriptions",
    "views",
    "message_bytes",
    "head_bytes",
    "streams",
    "handshake",
    "idle",
    "stalled",
    "owed_bytes",
    "owed_bytes_in_all",
    "memory",
    "auth.timeout",
    "event_bytes",
    "topics",
    "publish.body_bytes",
    "publish.events",
    "publish.events_per_second",
)
"""The limits that a client can come to, as they are counted: by their settings."""


@attrs.frozen(kw_only=True)
class ListenLimits:
    """Limits of one listener; what is not set here is taken from `limits`."""

    connections: int | None = setting(None, "Most open connections", ge(1), reloads=True)
    sessions: int | None = setting(None, "Most open sessions", ge(1), reloads=True)
    connections_per_address: int | None = setting(
        None, "Most open connections from one address", ge(1), reloads=True
    )
    connections_per_minute: int | None = setting(
        None, "Most new sessions a minute from one address", ge(1), reloads=True
    )
    handshakes_per_minute: int | None = setting(
        None, "Most new connections of all kinds a minute from one address", ge(1), reloads=True
    )
    requests_per_minute: int | None = setting(
        None, "Most HTTP requests a minute from one address", ge(1), reloads=True
    )
    messages_per_minute: int | None = setting(
        None, "Most messages a minute from one session", ge(1), reloads=True
    )
    subscriptions: int | None = setting(None, "Most subscriptions of one session", ge(1), reloads=True)
    message_bytes: Bytes | None = setting(None, "Largest message from a client", ge(125), reloads=True)


@attrs.frozen(kw_only=True)
class LimitSettings:
    """Every bound in one place. A client that hits one gets an error that names it."""

    connections: int = setting(12_000, "Most open connections of all kinds", ge(1), reloads=True)
    sessions: int = setting(
        10_000, "Most open sessions; the next one gets CONNECTION_FULL", ge(1), reloads=True
    )
    connections_per_address: int = setting(
        6_000, "Most open connections from one address", ge(1), reloads=True
    )
    connections_per_minute: int = setting(
        6_000,
        "Most new sessions a minute from one address: WebSockets and event streams",
        ge(1),
        reloads=True,
    )
    handshakes_per_minute: int = setting(
        12_000,
        "Most new connections of all kinds a minute from one address; more are closed before anything is read",
        ge(1),
        reloads=True,
    )
    requests_per_minute: int = setting(
        60_000, "Most HTTP requests a minute from one address, whatever they ask for", ge(1), reloads=True
    )
    failed_logins: int = setting(
        10,
        "Failed log-ins in a row of one address, or with the id of one key, before each further one is told to wait",
        ge(1),
        reloads=True,
    )
    failed_login_wait: Seconds = setting(
        300.0,
        "The longest of these waits; the first is a second, and each is twice the one before",
        ge(1),
        reloads=True,
    )
    ipv4_prefix: int = setting(
        32,
        "Bits by which IPv4 addresses are told apart: 24 counts 256 neighbours as one",
        ge(8),
        le(32),
        reloads=True,
    )
    ipv6_prefix: int = setting(
        64,
        "Bits by which IPv6 addresses are told apart: most customers have 64, or fewer",
        ge(16),
        le(128),
        reloads=True,
    )
    messages_per_minute: int = setting(600, "Most messages a minute from one session", ge(1), reloads=True)
    subscriptions: int = setting(
        200, "Most subscriptions (topics and patterns) of one session", ge(1), reloads=True
    )
    message_bytes: Bytes = setting(65_536, "Largest message from a client", ge(125), reloads=True)
    head_bytes: Bytes = setting(16_384, "Largest request head", ge(1024), reloads=True)
    handshake: Seconds = setting(
        10.0, "Deadline for TLS handshake, request head and upgrade together", gt(0), reloads=True
    )
    keep_alive: Seconds = setting(60.0, "How long an HTTP connection may idle between requests", gt(0))
    streams: int = setting(
        100,
        "Most requests at once of one HTTP/2 connection; at least 100, with which clients begin",
        ge(100),
        reloads=True,
    )
    event_bytes: Bytes = setting(262_144, "Largest event that a channel may publish", ge(1024))
    topics: int = setting(10_000, "Most topics of one channel", ge(1))
    views: int = setting(
        64,
        "Most ways in which one topic is shown at once: masks, filters and rates, each with its readers",
        ge(1),
    )
    burst: Bytes = setting(
        262_144, "Most bytes joined into one write to a client, or waiting for HTTP to write them", ge(4096)
    )
    owed_bytes: Bytes = setting(
        4 * 1024**2,
        "Most bytes that may gather for one client that does not take them, or twice `burst`; past both, it is ended",
        ge(65_536),
        reloads=True,
    )
    owed_bytes_in_all: Bytes = setting(
        512 * 1024**2,
        "Most bytes that may gather for all clients; past it, those are ended who are owed most",
        ge(1024**2),
        reloads=True,
    )
    memory: Bytes | Literal["off"] | None = setting(
        None,
        "Memory of the process past which those are ended who are owed most; none: 80 % of the machine's, or of the"
        " group's (`MemoryHigh=`, `MemoryMax=`); `off`: however much",
        ge(16 * 1024**2),
        but="off",
        reloads=True,
    )
    stalled: Seconds = setting(
        60.0, "How long a client's socket may accept nothing before it is closed", gt(0), reloads=True
    )
    unsent: Bytes = setting(
        32_768, "Unsent bytes that the kernel may hold for one client (TCP_NOTSENT_LOWAT)", ge(4096)
    )
    idle: Seconds | None = setting(
        None,
        "How long a session may neither send nor be sent a message before it is closed; none: for ever",
        gt(0),
        reloads=True,
    )
    goodbye: Seconds = setting(
        5.0, "How long a client may take to answer the end of its session", gt(0), le(60), reloads=True
    )
    linger: Seconds = setting(
        2.0, "How long a peer may take to read the last bytes of its connection", gt(0), le(60), reloads=True
    )
    answer: Seconds = setting(
        5.0, "How long a channel may take to make what a client asks for now", gt(0), reloads=True
    )
    wait: Seconds = setting(30.0, "Longest wait of a poll for the next event", gt(0), reloads=True)
    page: int = setting(
        1_000, "Most events of one answer to a poll, or to a question of history", ge(1), reloads=True
    )
