"""Times as microseconds since 1970, and as texts that PostgreSQL reads.

Must not know what time it is.
"""

from __future__ import annotations

import datetime as dt

from appliance.core.errors import ErrorCode, RequestError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def _since_1970(moment: dt.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


EARLIEST = _since_1970(dt.datetime.min.replace(tzinfo=dt.UTC))
LATEST = _since_1970(dt.datetime.max.replace(tzinfo=dt.UTC))
"""What is later is read as this."""


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def text(moment: int) -> str:
    """A time as PostgreSQL reads it, in UTC, for a column with a time zone as for one without."""
    at = _EPOCH + max(EARLIEST, min(moment, LATEST)) * _MICROSECOND
    return at.replace(tzinfo=None).isoformat(sep=" ") + "+00"


def read(shown: str, name: str) -> str:
    """A time that a client gives, as `text` has it; one without an offset is UTC."""
    try:
        moment = dt.datetime.fromisoformat(shown)
        at = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        return text(_since_1970(at))
    except (ValueError, OverflowError):
        raise RequestError(
            ErrorCode.INVALID_MESSAGE, f"`{name}` is no time; write it as in 2030-01-31T12:00:00Z"
        ) from None
