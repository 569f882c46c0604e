"""All that the author of a plugin imports.

    from appliance.api import Channel, Feed, Mode, hookimpl

A plugin is a Python file with hook implementations (`appliance.hookspecs` lists the hooks) that return
channels and sources. The built-in ones in `plugins/` are written exactly like this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import attrs
import pluggy
from attrs.validators import deep_iterable, instance_of

from appliance.core.errors import SourceError, StoreError
from appliance.core.events import Event, Mode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

__all__ = [
    "DROP",
    "Answering",
    "Channel",
    "Event",
    "Feed",
    "Grant",
    "History",
    "Mode",
    "NoSettings",
    "Page",
    "PageQuery",
    "Paging",
    "Row",
    "Rows",
    "SessionInfo",
    "Source",
    "SourceError",
    "StoreError",
    "View",
    "hookimpl",
]

T = TypeVar("T")


class _Drop:
    """What `transform` returns for an event that is to reach nobody."""

    def __repr__(self) -> str:
        return "DROP"


DROP = _Drop()

hookimpl = pluggy.HookimplMarker("appliance")


@attrs.frozen
class NoSettings:
    """The settings of a plugin that has none."""


@attrs.frozen(kw_only=True)
class View:
    """What is shown of the events of some topics, as in the settings: of all views that cover a topic, each takes away
    its part. `only` is a condition such as `account = "A1"`, `rate` how many events a second of each topic.
    """

    topics: Sequence[str] = ("*",)
    fields: Sequence[str] | None = None
    hide: Sequence[str] = ()
    only: str | None = None
    rate: float | None = None


@attrs.frozen(kw_only=True)
class Grant:
    """Who somebody is that `authenticate` knows, and what may be read and published: names of topics and of channels,
    where a `*` at the end stands for any ending.

    The rest is as in the settings of a key: what is shown of what may be read, most `sessions` at once and
    `subscriptions` of each, networks that may be come from (none: any), whether metrics are told (None: to who may
    read everything whole). From when it `expires`, in seconds since 1970, it lets nobody in, nor stay.
    """

    name: str
    read: Sequence[str] = ("*",)
    publish: Sequence[str] = ()
    views: Sequence[View] = ()
    sessions: int | None = None
    subscriptions: int | None = None
    addresses: Sequence[str] = ()
    monitor: bool | None = None
    expires: float | None = None


@attrs.frozen(kw_only=True)
class SessionInfo:
    """A session as plugins are told of it. `details` are those that its dialect has of the client."""

    client: str
    path: str
    dialect: str
    principal: str | None
    details: Mapping[str, Any]
    events: int = 0
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class History:
    """What each topic of a channel keeps: an event leaves when any of the bounds is passed.

    What is `durable` is kept on disk, and is there after a restart.
    """

    count: int = 1_000
    age: float | None = 3_600.0
    bytes: int = 1_048_576
    durable: bool = False


@attrs.frozen
class Row:
    """What becomes an event: `at` is the source's time in seconds since 1970 (now, when left out)."""

    key: str
    data: Mapping[str, Any]
    at: float | None = None


class Feed(Protocol):
    """A producer's handle for publishing into its channel."""

    @property
    def channel(self) -> str: ...

    @property
    def mode(self) -> Mode: ...

    @property
    def state(self) -> Mapping[str, Any]:
        """What this channel's producers have noted with `publish_all`, over restarts of the appliance too where the
        channel's history is durable: where to go on.
        """

    @property
    def log(self) -> Any:  # noqa: ANN401 - a structlog logger, whose methods take any fields
        """A logger that names the channel."""

    def declare(self, *keys: str) -> None:
        """Make topics known before their first event, so that clients can subscribe to them."""

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        """Publish one event; `at` is the source's time in seconds since 1970 (now, when left out).

        Never waits for clients; lets other tasks run.
        """

    async def publish_all(self, rows: Iterable[Row], *, note: Mapping[str, Any] | None = None) -> None:
        """Publish rows in their order, and change `state` by `note`, where None takes a name away: both or neither.

        Values of a note are JSON. In a durable channel, both are on disk before anybody is told of an event, unless
        nothing can be kept at the moment; nobody waits for that here.
        A row that the channel cannot take is told of in the log, counted, and left out.
        """

    def ready(self) -> None:
        """Say that rows can come now. A producer that failed is shown as failing until it says so, or publishes."""

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Count 0, 1, 2… on a steady beat; what was missed is skipped, not caught up."""

    async def settled(self) -> None:
        """Wait until clients have taken all that was published: for who has more than they can read at once.

        One that takes nothing holds this up until it is closed (`limits.stalled`).
        """

    def watch(self, *patterns: str, exact: bool = False) -> AsyncIterator[Event]:
        """Give the events of other channels from now on, each once: those in a topic that a pattern covers.

        `price:*` covers all prices, `signals:high` one topic. A producer that falls too far behind fails. With `exact`,
        a number that no float is written as is a Decimal, so that the data becomes the same bytes again.
        """

    async def blocking(self, work: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the work takes
        """Call in a thread what would block: the database, a file, a long computation."""


def by_key(event: Event, settings: Any) -> Iterable[str]:  # noqa: ANN401, ARG001 - the signature of a route
    """Route an event to the topic of its key."""
    return (event.key,)


@attrs.frozen(kw_only=True)
class Channel:
    """A family of topics.

    `name` with a key makes a topic, `price:BTC`. `route` takes an event and the channel's settings and says to which
    keys' topics it belongs.
    `topics` are keys that exist before any event; one that ends in `*` stands for all with that beginning.
    `open` channels have any topic that somebody asks for. `message` is the type of the own protocol's messages.
    The rows come from `produce`, or from the source named `source` (which the configuration can change).
    `answer` takes a key and the channel's settings and gives the data of an event made now, for a client that asks for
    one; nothing where it cannot be made for that key. Without it, the source is asked, if it is `Answering`.
    `schema` is a class (a msgspec Struct, attrs class or TypedDict) that the data of each event must fit.
    """

    name: str = attrs.field(validator=instance_of(str))
    mode: Mode = attrs.field(validator=instance_of(Mode))
    message: str = attrs.field(validator=instance_of(str))
    source: str | None = None
    produce: Callable[[Feed, Any], Awaitable[None]] | None = None
    answer: Callable[[str, Any], Awaitable[Mapping[str, Any] | None]] | None = None
    Settings: type = NoSettings
    route: Callable[[Event, Any], Iterable[str]] = by_key
    topics: tuple[str, ...] = attrs.field(
        default=(), validator=deep_iterable(instance_of(str), instance_of(tuple))
    )
    open: bool = False
    history: History = attrs.field(default=History(), validator=instance_of(History))
    schema: type | None = None


class Rows(Protocol):
    """An opened source: where the rows of any number of channels come from."""

    async def produce(self, feed: Feed, settings: Any) -> None:  # noqa: ANN401 - the channel's own Settings, or the source's for it
        """Publish the rows of `feed.channel` until cancelled."""


@runtime_checkable
class Answering(Rows, Protocol):
    """An opened source that can also make an event now, for a client that asks for one."""

    async def answer(self, channel: str, key: str, settings: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - the channel's own Settings
        """The data of an event of that channel made now; nothing where it cannot be made for that key."""


@attrs.frozen(kw_only=True)
class PageQuery:
    """Which rows are asked for: those of a key, from a time on and before another (RFC 3339, in UTC), behind a cursor.

    No more than `limit` are wanted at once.
    """

    key: str | None = None
    since: str | None = None
    until: str | None = None
    cursor: str | None = None
    limit: int = 100


@attrs.frozen
class Page:
    """Rows as a source has them, the newest first. `next` is the cursor behind which there are older ones."""

    rows: Sequence[Row]
    next: str | None = None


@runtime_checkable
class Paging(Rows, Protocol):
    """An opened source that can also give old rows, for who asks over HTTP."""

    async def page(self, channel: str, query: PageQuery, settings: Any) -> Page:  # noqa: ANN401 - as for `produce`
        """Give a page of the rows of a channel. A cursor that is none of its own is a ValueError."""


@attrs.frozen(kw_only=True)
class Source:
    """Where rows come from. `open` builds from the source's own settings, without side effects.

    `topics_on_demand`: clients may read a topic of its channels before its first row, for nobody can know the keys.
    `ChannelSettings`: what the table of each of its channels says to the source; `produce` and `answer` are then given
    these, and not the channel's own. `durable`: its channels' histories are, unless the configuration says otherwise.
    `channel` is what a channel is that no plugin registers; its name is the configuration's.
    """

    kind: str
    open: Callable[[Any], Rows]
    Settings: type = NoSettings
    ChannelSettings: type | None = None
    topics_on_demand: bool = False
    durable: bool = False
    channel: Channel | None = None
