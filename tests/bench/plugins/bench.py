"""The channel that `make bench` measures, and a source for channels of the appliance: events sent when ordered.

Must not know who measures. An order is a datagram on a Unix socket. On that of the channel
`{"key": K, "events": N, "burst": B, "every": S}` asks for N events of a topic and of a fixed size, B of them back to
back, every S seconds. On that of a channel that the source feeds, whose path is the source's with the channel's name
behind it, `{"events": [[{"key": K, "data": D}, …], …], "every": S}` asks for all rows of an event back to back, and for
an event every S seconds.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import attrs
import trio

from appliance.api import Channel, Feed, Mode, Source, hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

_LARGEST = 131_072


@attrs.frozen(kw_only=True)
class BenchSettings:
    orders: str
    """Path of the socket."""
    keys: tuple[str, ...]
    """Of the topics: one for each kind of clients, so that each kind costs alone."""
    pad: int = 100
    """Length of the filling in each event's data."""


@attrs.frozen(kw_only=True)
class OrderedSettings:
    orders: str
    """Where the paths of the sockets begin."""


async def taken(path: str) -> AsyncGenerator[dict[str, Any], None]:
    """Give each order that comes through a socket."""
    with contextlib.suppress(FileNotFoundError):
        await trio.Path(path).unlink()  # of a producer that failed
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as orders:
        await orders.bind(path)
        while True:
            yield json.loads(await orders.recv(_LARGEST))


async def produce(feed: Feed, settings: BenchSettings) -> None:
    for key in settings.keys:
        feed.declare(key)
    pad = "x" * settings.pad
    async with contextlib.aclosing(taken(settings.orders)) as orders:
        async for order in orders:
            start = trio.current_time()
            for number, first in enumerate(range(0, order["events"], order["burst"])):
                await trio.sleep_until(start + number * order["every"])
                for _ in range(min(order["burst"], order["events"] - first)):
                    await feed.publish({"sent_ns": time.monotonic_ns(), "pad": pad}, key=order["key"])


@attrs.frozen
class Ordered:
    """The source."""

    settings: OrderedSettings

    async def produce(self, feed: Feed, settings: object) -> None:  # noqa: ARG002 - the interface of all sources
        async with contextlib.aclosing(taken(f"{self.settings.orders}.{feed.channel}")) as orders:
            async for order in orders:
                start = trio.current_time()
                for number, rows in enumerate(order["events"]):
                    await trio.sleep_until(start + number * order["every"])
                    for row in rows:
                        await feed.publish(row["data"], key=row["key"])


@hookimpl
def register_channels() -> Iterable[Channel]:
    return [
        Channel(name="bench", mode=Mode.LOG, message="bench_update", produce=produce, Settings=BenchSettings)
    ]


@hookimpl
def register_sources() -> Iterable[Source]:
    return [Source(kind="bench", open=Ordered, Settings=OrderedSettings, topics_on_demand=True)]
