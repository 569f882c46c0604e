"""Moments as texts. Must not know what time it is."""

from __future__ import annotations

import datetime as dt

_EARLIEST = dt.datetime(1, 1, 1, tzinfo=dt.UTC).timestamp()
_LATEST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()


def timestamp(moment: float) -> str:
    """Write seconds since 1970 as RFC 3339, in UTC; what is beyond its four-digit years is the nearest within."""
    # In this order no number at all (NaN) is the earliest.
    within = max(_EARLIEST, min(moment, _LATEST))
    at = dt.datetime.fromtimestamp(within, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
