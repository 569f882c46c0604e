"""The messages of the cryptointel dialect as types: what a client may say, and what it is told in either form.

Must not know what a message asks for, nor when one is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence  # noqa: TC003 - msgspec reads the annotations when it runs
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from appliance.core.errors import ErrorCode  # noqa: TC001 - as above
from appliance.core.events import Mode  # noqa: TC001 - as above

MOST_NAMES = 1_000
"""Topics and patterns that one message can name: what a client multiplies must not outgrow its message."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=240)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=MOST_NAMES)]
Choices = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=100)], ...],
    msgspec.Meta(max_length=MOST_NAMES),
]
Limit = Annotated[float, msgspec.Meta(ge=0.001, le=1000)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Shown = Annotated[str, msgspec.Meta(min_length=1, max_length=600)]
Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]
Stamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""A moment as it is told: RFC 3339 in UTC."""
Maybe: TypeAlias = msgspec.UnsetType
"""What a field may be that is left out where it does not apply."""


# What a client says.


class Mark(msgspec.Struct):
    """A position, `epoch` and `offset`; or `since` alone, a time."""

    epoch: Name | None = None
    offset: Offset | None = None
    since: Moment | None = None


class Params(msgspec.Struct):
    """Which of a channel's topics, in the library's words."""

    symbols: Choices = ()
    types: Choices = ()
    severities: Choices = ()
    markets: Choices = ()


class Auth(msgspec.Struct, tag="auth"):
    """Shows a key or a token."""

    token: Token


class Ping(msgspec.Struct, tag="ping"):
    """Asks for a sign of life."""


class Subscribe(msgspec.Struct, tag="subscribe"):
    """Reads topics: a list `channels`, or one `channel` with `params`."""

    channels: Names | None = None
    channel: Name | None = None
    params: Params = msgspec.field(default_factory=Params)
    limit: Limit | None = None
    recover: Annotated[dict[Name, Mark], msgspec.Meta(max_length=MOST_NAMES)] = msgspec.field(
        default_factory=dict
    )
    times: bool = False


class Unsubscribe(msgspec.Struct, tag="unsubscribe"):
    """Reads topics no longer, named as they were subscribed to."""

    channels: Names | None = None
    channel: Name | None = None
    params: Params = msgspec.field(default_factory=Params)


class History(msgspec.Struct, tag="history"):
    """Asks for events that a topic keeps."""

    channel: Name
    after: Offset | Shown | None = None
    to: Offset | Shown | None = None
    since: Moment | None = None
    until: Moment | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = None
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


Said: TypeAlias = Auth | History | Ping | Subscribe | Unsubscribe
"""All that a client may say."""


# What it is told, in the document's form and in both.


class Lost(msgspec.Struct, rename={"first": "from", "last": "to"}):
    """What is lost: offsets, or the times of which something may be."""

    first: Offset | Maybe = msgspec.UNSET
    last: Offset | Maybe = msgspec.UNSET
    since: Stamp | Maybe = msgspec.UNSET
    until: Stamp | Maybe = msgspec.UNSET


class Position(msgspec.Struct, kw_only=True):
    """From where a topic is read. `recovered` and `gap` say what came of a wish to go on from somewhere."""

    channel: str
    mode: Mode
    epoch: str
    offset: Offset
    pattern: str | Maybe = msgspec.UNSET
    limit: Limit | Maybe = msgspec.UNSET
    recovered: bool | Maybe = msgspec.UNSET
    gap: Lost | Maybe = msgspec.UNSET


class Owner(msgspec.Struct):
    """Who a client is, and until when, where that ends."""

    name: str
    expires: Stamp | Maybe = msgspec.UNSET


class Authenticated(msgspec.Struct, tag="authenticated"):
    """The credential is good."""

    data: Owner


class Subscribed(msgspec.Struct, tag="subscribed"):
    """These topics are now read, each from its position."""

    channels: Sequence[Position]
    patterns: Sequence[str] | Maybe = msgspec.UNSET


class Unsubscribed(msgspec.Struct, tag="unsubscribed"):
    """These are read no longer; `reason` says why, where the client did not ask for that."""

    channels: Sequence[str]
    reason: ErrorCode | Maybe = msgspec.UNSET


class Expiring(msgspec.Struct, tag="expiring"):
    """What the client has shown lets it stay until then, in so many seconds: show a newer credential by `auth`."""

    expires: Stamp
    seconds: float


class Update(msgspec.Struct, kw_only=True):
    """An event. Its `type` is the channel's own, such as `price_update`."""

    type: str
    channel: str
    offset: Offset
    at: Stamp | Maybe = msgspec.UNSET
    received: Stamp | Maybe = msgspec.UNSET
    data: dict[str, Any]


class Gap(msgspec.Struct, tag="gap", rename={"first": "from", "last": "to"}):
    """Offsets of a topic that the client will not get."""

    channel: str
    first: Offset
    last: Offset
    reason: Literal["conflated"]


class Stale(msgspec.Struct, tag="stale"):
    """The channel has been silent for too long."""

    channel: str
    since: Stamp


class Fresh(msgspec.Struct, tag="fresh"):
    """The channel was stale, and has events again."""

    channel: str
    since: Stamp


class Kept(msgspec.Struct):
    """An event that a topic keeps."""

    offset: Offset
    at: Stamp
    received: Stamp
    data: dict[str, Any]


class Page(msgspec.Struct, kw_only=True):
    """Events of a topic, oldest first: to go on, show `position`; to go back, `start`."""

    channel: str
    mode: Mode
    epoch: str
    offset: Offset
    position: str
    start: str
    recovered: bool | Maybe = msgspec.UNSET
    gap: Lost | Maybe = msgspec.UNSET
    events: Sequence[Update]


class Past(msgspec.Struct, tag="history", kw_only=True):
    """Events that a topic keeps, oldest first. `id` is what the question carried."""

    id: Any = msgspec.UNSET
    channel: str
    mode: Mode
    epoch: str
    offset: Offset
    position: str
    start: str
    recovered: bool | Maybe = msgspec.UNSET
    gap: Lost | Maybe = msgspec.UNSET
    events: Sequence[Kept]


class Pong(msgspec.Struct, tag="pong"):
    """The answer to a ping."""


class Place(msgspec.Struct):
    """A position in a topic."""

    epoch: str
    offset: Offset


class Fault(msgspec.Struct, kw_only=True):
    """What is wrong, and what is right. `resume` says up to where everything was sent, by topic."""

    channel: str | Maybe = msgspec.UNSET
    code: ErrorCode
    message: str
    timestamp: Stamp
    retry_after: float | Maybe = msgspec.UNSET
    resume: dict[str, Place] | Maybe = msgspec.UNSET
    id: Any = msgspec.UNSET


class Error(msgspec.Struct, tag="error"):
    """What a client did wrong, or what has become of its session."""

    error: Fault


class EarlyError(msgspec.Struct, tag="error"):
    """As `Error`, while the form of the client is not known: in both forms at once."""

    error: Fault
    data: Fault


# What it is told in the library's form.


class LibrarySubscription(msgspec.Struct):
    channel: str | None
    channels: Sequence[Position]
    patterns: Sequence[str] | Maybe = msgspec.UNSET


class LibrarySubscribed(msgspec.Struct, tag="subscription_success"):
    """These topics are now read, each from its position."""

    data: LibrarySubscription


class LibraryUnsubscription(msgspec.Struct):
    channel: str | None
    channels: Sequence[str]
    reason: ErrorCode | Maybe = msgspec.UNSET


class LibraryUnsubscribed(msgspec.Struct, tag="unsubscription_success"):
    """These are read no longer; `reason` says why, where the client did not ask for that."""

    data: LibraryUnsubscription


class Term(msgspec.Struct):
    expires: Stamp
    seconds: float


class LibraryExpiring(msgspec.Struct, tag="expiring"):
    """What the client has shown lets it stay until then, in so many seconds: show a newer credential by `auth`."""

    data: Term


class LibraryUpdate(msgspec.Struct):
    """An event of `topic`, under the channel that was subscribed to."""

    type: str
    channel: str
    topic: str
    offset: Offset
    data: dict[str, Any]


class LibraryLost(msgspec.Struct, rename={"first": "from", "last": "to"}):
    channel: str
    first: Offset
    last: Offset
    reason: Literal["conflated"]
    topic: str


class LibraryGap(msgspec.Struct, tag="gap"):
    """Offsets of a topic that the client will not get."""

    data: LibraryLost


class Silence(msgspec.Struct):
    channel: str
    since: Stamp


class LibraryStale(msgspec.Struct, tag="stale"):
    """The channel has been silent for too long."""

    data: Silence


class LibraryFresh(msgspec.Struct, tag="fresh"):
    """The channel was stale, and has events again."""

    data: Silence


class Clock(msgspec.Struct):
    timestamp: Stamp


class LibraryPong(msgspec.Struct, tag="pong"):
    """The answer to a ping."""

    data: Clock


class LibraryError(msgspec.Struct, tag="error"):
    """What a client did wrong, or what has become of its session."""

    data: Fault


class LibraryRefused(msgspec.Struct, tag="subscription_error"):
    """What cannot be subscribed to."""

    data: Fault


TOLD: tuple[type[msgspec.Struct], ...] = (
    *(
        Authenticated,
        Expiring,
        LibraryExpiring,
        Subscribed,
        Unsubscribed,
        Update,
        Gap,
        Stale,
        Fresh,
        Past,
        Pong,
        Error,
        EarlyError,
    ),
    *(LibrarySubscribed, LibraryUnsubscribed, LibraryUpdate, LibraryGap, LibraryStale, LibraryFresh),
    *(LibraryPong, LibraryError, LibraryRefused),
)
"""All that a client may be told."""
