"""Times on the command line: how they are written, and how they are told.

Must not know which command asks.
"""

from __future__ import annotations

import contextlib
import datetime as dt

import click

from appliance.core.instants import timestamp
from appliance.settings.quantities import seconds

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def ahead(_context: click.Context, _option: click.Parameter, text: str | None) -> dt.datetime | None:
    """Read a moment to come: how far ahead it is, a date (in UTC), or a time with its offset."""
    if text is None:
        return None
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with contextlib.suppress(ValueError, OverflowError):
        return now + dt.timedelta(seconds=seconds(text))
    with contextlib.suppress(ValueError, OverflowError):
        moment = dt.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=dt.UTC) if len(text) == len("2030-01-31") else moment
        if moment.utcoffset() is not None and moment > now:
            return moment.astimezone(dt.UTC)
    raise click.BadParameter(
        f"{text!r} is no time to come: write 90d for in 90 days, 2030-01-31, or 2030-01-31T12:00:00Z"
    )


def any_moment(_context: click.Context, _option: click.Parameter, text: str | None) -> dt.datetime | None:
    """Read a moment, past or to come: a date (in UTC), or a time with its offset."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        moment = dt.datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=dt.UTC) if len(text) == len("2030-01-31") else moment
        if moment.utcoffset() is not None:
            return moment.astimezone(dt.UTC)
    raise click.BadParameter(f"{text!r} is no moment: write 2030-01-31, or 2030-01-31T12:00:00Z")


def length(_context: click.Context, _option: click.Parameter, text: str | None) -> dt.timedelta | None:
    """Read how long something takes."""
    if text is None:
        return None
    with contextlib.suppress(ValueError, OverflowError):
        return dt.timedelta(seconds=float(text) if text == "0" else seconds(text))
    raise click.BadParameter(f"{text!r} is no time: write 30s, 5m, 1h or 7d")


def told(at: float, now: float) -> str:
    """Say a moment and how far away it is."""
    distance = abs(at - now)
    size, unit = next(((size, unit) for size, unit in _UNITS if distance >= size), (1, "second"))
    count = int(distance // size)
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{timestamp(at)} ({f'in {words}' if at >= now else f'{words} ago'})"
