"""What is under the bench: how each server is started, the ways into it, and what is ordered of it.

Must not know processes, nor what is measured.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

PLAIN, TLS = "tcp", "tls"
"""Also keys of the topics, equally long, so that messages are too: clients of one kind get nothing of the other's."""

_BENCH = """
[channels.bench]
orders = {orders}
keys = ["tcp", "tls"]
pad = 100  # so that a message comes to the size of the peers', too
"""


class BenchError(Exception):
    """The bench cannot measure; the message says which process failed, and how."""


@attrs.frozen(kw_only=True)
class Order:
    """What is to be sent: so many events beginning with the `first`, which is 1 at the start of a server."""

    first: int
    events: int
    burst: int
    every: float


@attrs.frozen(kw_only=True)
class Rows:
    """Events of a channel that has another purpose than the bench: each is some rows, given by the event's number."""

    channel: str
    make: Callable[[int], list[dict[str, Any]]]


@attrs.frozen(kw_only=True)
class Listener:
    """One way into a server: what is measured of it has this name.

    Its clients connect to `path`, speak as a `family` or in the own protocol, and say `sends`. They have an event once
    they have the last of its numbers in `topic`.
    """

    name: str
    transport: str = PLAIN
    path: str = "/ws"
    family: str | None = None
    symbols: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    ready: str | None = None
    topic: str = attrs.field()
    rows: Rows | None = None

    @topic.default
    def _own_topic(self) -> str:
        return f"bench:{self.transport}"

    @property
    def scheme(self) -> str:
        return "wss" if self.transport == TLS else "ws"

    def last(self, event: int) -> int:
        """Give the last number of an event."""
        return event if self.rows is None else event * len(self.rows.make(event))

    def written(self, order: Order) -> bytes:
        """Write an order as the plugin and the peers read it."""
        if self.rows is None:
            content: dict[str, Any] = {"key": self.transport, "events": order.events, "burst": order.burst}
        else:
            content = {"events": [self.rows.make(order.first + place) for place in range(order.events)]}
        return json.dumps({**content, "every": order.every}).encode()


def subscribing(topic: str) -> dict[str, Any]:
    """Give what clients of the own protocol send, and wait for."""
    message = json.dumps({"type": "subscribe", "channels": [topic]})
    return {"topic": topic, "sends": (message,), "ready": "subscribed"}


@attrs.frozen(kw_only=True)
class Recipe:
    """How a server is started, and the ways into it. What belongs to one `part` is measured together.

    `configuration` is that of an appliance beside what all have; `orders` stands for the path of the socket.
    """

    name: str
    command: tuple[str, ...]
    listeners: tuple[Listener, ...]
    configuration: str | None = None
    part: str = "servers"


def recipes(appliance: Sequence[str]) -> list[Recipe]:
    """Give the servers. One appliance has both kinds of clients: what differs between them is TLS alone."""
    return [
        _peer("floor", "floor"),
        _peer("floor TLS", "floor", "--tls", transport=TLS),
        Recipe(
            name="appliance",
            command=(*appliance, "serve", "--config"),
            listeners=(
                Listener(name="appliance", **subscribing(f"bench:{PLAIN}")),
                Listener(name="appliance TLS", transport=TLS, **subscribing(f"bench:{TLS}")),
            ),
            configuration=_BENCH,
        ),
        _peer("websockets", "websockets_peer"),
        _peer("fastapi", "fastapi_peer"),
    ]


def choose(
    all_recipes: Sequence[Recipe], names: Collection[str], *, beside: Collection[str] = ()
) -> list[Recipe]:
    """Keep the listeners of these names, and the servers that have any; no names: all. `beside` are names of others."""
    known = [*(listener.name for recipe in all_recipes for listener in recipe.listeners), *beside]
    if unknown := sorted(set(names) - set(known)):
        raise BenchError(f"{', '.join(unknown)}: no such server, only {', '.join(known)}")
    chosen = (
        attrs.evolve(recipe, listeners=tuple(one for one in recipe.listeners if one.name in (names or known)))
        for recipe in all_recipes
    )
    return [recipe for recipe in chosen if recipe.listeners]


def _peer(name: str, module: str, *options: str, transport: str = PLAIN) -> Recipe:
    command = (sys.executable, "-m", f"tests.bench.peers.{module}", *options)
    return Recipe(name=name, command=command, listeners=(Listener(name=name, transport=transport),))
