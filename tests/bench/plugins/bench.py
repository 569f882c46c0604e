"""The channel that `make bench` measures: events of a fixed size, sent when ordered.

Must not know who measures. An order is a datagram on the Unix socket named in its settings:
`{"key": K, "events": N, "burst": B, "every": S}` asks for N events of a topic, B of them back to back,
every S seconds.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

import attrs
import trio

from appliance.api import Channel, Feed, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@attrs.frozen(kw_only=True)
class BenchSettings:
    orders: str
    """Path of the socket."""
    keys: tuple[str, ...]
    """Of the topics: one for each kind of clients, so that each kind costs alone."""
    pad: int = 100
    """Length of the filling in each event's data."""


async def produce(feed: Feed, settings: BenchSettings) -> None:
    for key in settings.keys:
        feed.declare(key)
    pad = "x" * settings.pad
    with contextlib.suppress(FileNotFoundError):
        await trio.Path(settings.orders).unlink()  # of a producer that failed
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as orders:
        await orders.bind(settings.orders)
        while True:
            order = json.loads(await orders.recv(4096))
            start = trio.current_time()
            for number, first in enumerate(range(0, order["events"], order["burst"])):
                await trio.sleep_until(start + number * order["every"])
                for _ in range(min(order["burst"], order["events"] - first)):
                    await feed.publish({"sent_ns": time.monotonic_ns(), "pad": pad}, key=order["key"])


@hookimpl
def register_channels() -> Iterable[Channel]:
    return [
        Channel(name="bench", mode=Mode.LOG, message="bench_update", produce=produce, Settings=BenchSettings)
    ]
