"""What the tests of the store keep there."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from appliance.core.events import Entry
from appliance.core.kept import Batch, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.core.kept import Kept
    from appliance.store.store import Store

Contents: TypeAlias = tuple[int, dict[str, "Kept"], dict[str, dict[str, Any]]]

CHANNELS = ("price", "signals")
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


def folder_in_memory() -> Path:
    """Make a folder whose files wait for no disk, where the system has that."""
    return Path(tempfile.mkdtemp(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))


def records(
    topic: str, offsets: Iterable[int], *, number: int = 1, epoch: str = "e1", body: bytes = b'{"x":1}'
) -> list[Record]:
    """Records of one topic, numbered from `number` on."""
    channel = topic.partition(":")[0]
    numbers = itertools.count(number)
    return [
        Record(channel, topic, epoch, Entry(offset, 1.5, 2.5, body, number=next(numbers)))
        for offset in offsets
    ]


def batch(
    *parts: Sequence[Record],
    note: Mapping[str, Any] | None = None,
    firsts: Mapping[str, int] | None = None,
    channel: str = "price",
) -> Batch:
    states = {channel: note} if note else {}
    return Batch(records=list(itertools.chain(*parts)), states=states, firsts=firsts or {})


def offsets(kept: Kept) -> list[int]:
    return [entry.offset for entry in kept.entries]


def contents(store: Store) -> Contents:
    """All that can be read of a store."""
    topics = {
        kept.topic: attrs.evolve(kept, entries=tuple(kept.entries))
        for channel in CHANNELS
        for kept in store.topics(channel)
    }
    return store.number, topics, {channel: store.state(channel) for channel in CHANNELS}
