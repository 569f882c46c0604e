"""What the configuration says of a tape that is played, and of one that is recorded.

Must not know how tapes are read or written.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - the reader resolves these annotations when it runs
from typing import Literal

import attrs
from attrs.validators import deep_iterable, ge, gt, le, min_len

from appliance.core.errors import RequestError
from appliance.core.topics import check
from appliance.settings.fields import Seconds, setting


def _with_offset(_: object, __: object, moment: dt.datetime) -> None:
    if moment.utcoffset() is None:
        raise ValueError("needs its offset from UTC, as in 2030-01-31T12:00:00Z or 2030-01-31T12:00:00+01:00")


def _pattern(_: object, __: object, pattern: str) -> None:
    try:
        check(pattern)
    except RequestError as error:
        raise ValueError(error.message) from None


@attrs.frozen(kw_only=True)
class ReplaySettings:
    """A tape, and how it is played to the channels that name it."""

    file: str = setting(attrs.NOTHING, "The tape, as `appliance record` writes it", min_len(1))
    speed: float | Literal["max"] = setting(
        1.0,
        'How many times as fast as it was recorded; `"max"`: as fast as clients read',
        gt(0),
        but="max",
    )
    start: dt.datetime | None = setting(
        None,
        "When what is played was received, with the offset from UTC; none: from the beginning",
        _with_offset,
    )
    loop: bool = setting(default=False, doc="Whether it begins anew when it has ended")
    times: Literal["original", "now"] = setting(
        "original", "Times of the events: those of the tape, or as if they happened while it is played"
    )
    wait: Seconds = setting(
        2.0, "How long it waits before it begins, for channels and clients to be there", ge(0), le(3600)
    )


@attrs.frozen(kw_only=True)
class RecordSettings:
    """A channel that records others."""

    folder: str = setting(
        attrs.NOTHING, "Where the tapes are written, one a day: `CHANNEL-2030-01-31.jsonl.gz`", min_len(1)
    )
    topics: tuple[str, ...] = setting(
        ("*",),
        "Topics and patterns whose events are recorded, each event once",
        min_len(1),
        deep_iterable(_pattern),
    )
    every: Seconds = setting(
        5.0, "How often what came is written, and so how much a crash can take", ge(0.1), le(600)
    )
