"""The bodies of requests and answers over HTTP, as types.

Must not know when one is given.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - msgspec reads the annotations when it runs
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from appliance.core.topics import MOST_CHARACTERS
from appliance.dialects.messages.cryptointel import Page, Stamp, Update  # noqa: TC001 - as above
from appliance.dialects.messages.data_ws import Prediction  # noqa: TC001 - as above

Yes: TypeAlias = Annotated[bool, msgspec.Meta(extra_json_schema={"const": True})]
No: TypeAlias = Annotated[bool, msgspec.Meta(extra_json_schema={"const": False})]


class Problem(msgspec.Struct):
    """Why a request is not served."""

    success: No
    data: None
    error: str


class PageAnswer(msgspec.Struct):
    success: Yes
    data: Page
    error: None


class LatestAnswer(msgspec.Struct):
    success: Yes
    data: Update | None
    error: None


class RowsAnswer(msgspec.Struct):
    """Rows, the newest first. `next` is the `cursor` behind which there are older ones."""

    success: Yes
    data: list[dict[str, Any]]
    next: str | None
    error: None


class PredictionsAnswer(msgspec.Struct):
    """Rows, the newest first. `next` is the `cursor` behind which there are older ones."""

    success: Yes
    data: list[Prediction]
    next: str | None
    error: None


class PredictionAnswer(msgspec.Struct):
    """The newest row; or none, and an error that says so."""

    success: bool
    data: Prediction | None
    error: str | None


# What is published.

LONGEST_KEY = 255
"""Characters of an idempotency key."""
IDEMPOTENCY = f"^[!-~]{{1,{LONGEST_KEY}}}$"


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """What happened. `at` is the source's time: seconds since 1970, or a text with its offset; now, when left out."""

    channel: str
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_CHARACTERS)]
    data: dict[str, Any]
    at: float | str | None = None


class LoneEvent(Event, forbid_unknown_fields=True):
    """An event alone. The idempotency key may also be given by the header."""

    idempotency_key: Annotated[str, msgspec.Meta(pattern=IDEMPOTENCY)] | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """Events. The idempotency key may also be given by the header."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1)]
    idempotency_key: Annotated[str, msgspec.Meta(pattern=IDEMPOTENCY)] | None = None


class Place(msgspec.Struct):
    """Where an event went."""

    topic: str
    epoch: str
    offset: int


class Published(msgspec.Struct):
    topics: list[Place]


class Receipt(msgspec.Struct):
    """What was published. A duplicate is the answer to the same request, which came before."""

    published: int
    duplicate: bool
    events: list[Published]


class ReceiptAnswer(msgspec.Struct):
    success: Yes
    data: Receipt
    error: None


class Mistake(msgspec.Struct):
    """One thing wrong: where it stands, and what is right."""

    path: str
    problem: str


class Refusal(msgspec.Struct):
    """Why nothing was published."""

    success: No
    data: None
    error: str
    errors: list[Mistake]


# What the appliance says of itself.


class Health(msgspec.Struct):
    """The process answers."""

    status: Literal["healthy"]
    service: Literal["data-ws"]
    timestamp: Stamp


class Readiness(msgspec.Struct):
    """Whether new clients are well served; with a key, also what is wrong."""

    ready: bool
    reasons: Sequence[str] | msgspec.UnsetType = msgspec.UNSET


class Latency(msgspec.Struct):
    mean: float
    p50: float
    p99: float
    max: float


class Bandwidth(msgspec.Struct):
    sent_bytes: int
    received_bytes: int
    sent_bytes_per_second: float
    received_bytes_per_second: float


class Churn(msgspec.Struct):
    opened: int
    closed: int
    opened_per_minute: float
    closed_per_minute: float


class Connections(msgspec.Struct):
    """Sessions by what they are on."""

    total: int
    channels: dict[str, int]


class ChannelHealth(msgspec.Struct):
    """How a channel's producer does."""

    is_healthy: bool
    started_at: Stamp | None
    last_update: Stamp | None
    events: int
    refused: int
    events_per_second: float
    lag_seconds: float | None
    stale: bool
    quarantined: str | None
    offences: dict[str, int]
    error_count: int
    recovery_attempts: int
    last_error: str | None


class Store(msgspec.Struct):
    """What is kept on disk."""

    is_healthy: bool
    reason: str | None
    channels: list[str]
    kept: int
    waiting: int
    behind: int


class Plugin(msgspec.Struct):
    name: str
    state: str
    channels: list[str]
    error: str


class Statistics(msgspec.Struct):
    """Counts since the start, and rates of the last minute; for who may not monitor, those of its own alone."""

    status: Literal["healthy", "degraded"]
    active_connections: int
    uptime: float
    timestamp: Stamp
    uptime_seconds: float
    connections: Connections
    channels: dict[str, ChannelHealth]
    messages_per_second: float | msgspec.UnsetType = msgspec.UNSET
    open_connections: int | msgspec.UnsetType = msgspec.UNSET
    delivery_latency_ms: Latency | msgspec.UnsetType = msgspec.UNSET
    deliveries: int | msgspec.UnsetType = msgspec.UNSET
    errors: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    errors_per_minute: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    bandwidth: Bandwidth | msgspec.UnsetType = msgspec.UNSET
    churn: Churn | msgspec.UnsetType = msgspec.UNSET
    store: Store | msgspec.UnsetType = msgspec.UNSET
    plugins: list[Plugin] | msgspec.UnsetType = msgspec.UNSET


class SocketStatus(msgspec.Struct):
    """The status page of the trading-stream system, of all channels."""

    enabled: bool
    active_connections: int
    max_connections: int
    ping_interval: float
    price_update_interval: float
    portfolio_update_interval: float
    stream_health: dict[str, ChannelHealth]
    clients: list[str]
