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

from appliance.core.events import Event, Mode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

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
    "Rows",
    "SessionInfo",
    "Source",
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
class Grant:
    """Who somebody is that `authenticate` knows, and what may be read and published: names of topics and of channels,
    where a `*` at the end stands for any ending.
    """

    name: str
    read: tuple[str, ...] = ("*",)
    publish: tuple[str, ...] = ()


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
    """What each topic of a channel keeps: an event leaves when any of the bounds is passed."""

    count: int = 1_000
    age: float | None = 3_600.0
    bytes: int = 1_048_576


class Feed(Protocol):
    """A producer's handle for publishing into its channel."""

    @property
    def channel(self) -> str: ...

    @property
    def log(self) -> Any:  # noqa: ANN401 - a structlog logger, whose methods take any fields
        """A logger that names the channel."""

    def declare(self, *keys: str) -> None:
        """Make topics known before their first event, so that clients can subscribe to them."""

    async def publish(self, data: Mapping[str, Any], *, key: str, at: float | None = None) -> None:
        """Publish one event; `at` is the source's time in seconds since 1970 (now, when left out).

        Never waits for clients; lets other tasks run.
        """

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Count 0, 1, 2… on a steady beat; what was missed is skipped, not caught up."""

    def watch(self, *patterns: str) -> AsyncIterator[Event]:
        """Give the events of other channels from now on, each once: those in a topic that a pattern covers.

        `price:*` covers all prices, `signals:high` one topic. A producer that falls too far behind fails.
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

    async def produce(self, feed: Feed, settings: Any) -> None:  # noqa: ANN401 - the channel's own Settings
        """Publish the rows of `feed.channel` until cancelled."""


@runtime_checkable
class Answering(Rows, Protocol):
    """An opened source that can also make an event now, for a client that asks for one."""

    async def answer(self, channel: str, key: str, settings: Any) -> Mapping[str, Any] | None:  # noqa: ANN401 - the channel's own Settings
        """The data of an event of that channel made now; nothing where it cannot be made for that key."""


@attrs.frozen(kw_only=True)
class Source:
    """Where rows come from. `open` builds from the source's own settings, without side effects.

    `topics_on_demand`: clients may read a topic of its channels before its first row, for nobody can know the keys.
    """

    kind: str
    open: Callable[[Any], Rows]
    Settings: type = NoSettings
    topics_on_demand: bool = False
