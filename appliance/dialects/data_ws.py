"""The data-ws dialect: a prediction as a bare row, the envelope of the REST answers, and the health.

Must not know sessions, hubs or sockets, nor where a prediction comes from: a column that it lacks is null.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.core import instants

if TYPE_CHECKING:
    from appliance.core.events import Entry

NO_PREDICTIONS = "No predictions available"
UNAUTHORIZED = "Unauthorized: invalid API key"

_NULL = msgspec.Raw(b"null")
_RFC_3339_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z")


class _Row(msgspec.Struct):
    """The columns in their order, and what an event may call its time instead; all but times as they stand."""

    time: Any = None
    current_price: msgspec.Raw = _NULL
    predicted_1min: msgspec.Raw = _NULL
    predicted_5min: msgspec.Raw = _NULL
    predicted_15min: msgspec.Raw = _NULL
    confidence_1min: msgspec.Raw = _NULL
    confidence_5min: msgspec.Raw = _NULL
    confidence_15min: msgspec.Raw = _NULL
    model_version: msgspec.Raw = _NULL
    timestamp: Any = msgspec.UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Row).decode


def row(entry: Entry) -> bytes:
    """Write an event of the channel `predictions` as a row of the table that data-ws streams from."""
    columns = _decode(entry.body)
    columns.time = _in_utc(columns.time) or _in_utc(columns.timestamp) or instants.timestamp(entry.at)
    columns.timestamp = msgspec.UNSET
    return _encode(columns)


def _in_utc(time: object) -> str | None:
    """Write a time as RFC 3339 in UTC; None when it is none, or does not tell its offset."""
    if not isinstance(time, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(time)
        if moment.utcoffset() is None:
            return None
        if _RFC_3339_UTC.fullmatch(time):
            return time
        return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return None


def success(data: bytes) -> bytes:
    """Put data, which is JSON, into the envelope of a REST answer."""
    return b'{"success":true,"data":%b,"error":null}' % data


def failure(error: str) -> bytes:
    return _encode({"success": False, "data": None, "error": error})


def health(timestamp: str) -> bytes:
    return _encode({"status": "healthy", "service": "data-ws", "timestamp": timestamp})
