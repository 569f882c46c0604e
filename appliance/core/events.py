"""What happened, and what a topic keeps of it.

Must not know who listens or in which words they are told.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Mode(enum.StrEnum):
    """What counts in a channel."""

    STATE = "state"
    """The newest value per topic; older unsent ones may be replaced by it."""
    LOG = "log"
    """Every event."""


@attrs.frozen
class Event:
    """What a producer publishes: `at` is the source's time in seconds since 1970, UTC."""

    channel: str
    key: str
    data: Mapping[str, Any]
    at: float


@attrs.frozen
class Entry:
    """An event at its place in a topic's log. `body` is its data as JSON, made once for all who read it.

    `serial` is its place among the entries of all topics in this life of the process, `number` among all that were ever
    kept: of one that is not kept, that of the newest one that was.
    """

    offset: int
    at: float
    received: float
    body: bytes
    serial: int = 0
    number: int = 0
