"""A line of a tape: one event as JSON, with the data as the bytes that clients were sent.

Must not know files, nor how lines are packed.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import msgspec

from appliance.core import digits

Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]

_EARLIEST = dt.datetime(1, 1, 1, tzinfo=dt.UTC).timestamp()
_LATEST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()
_EMPTY = msgspec.Raw(b"{}")


class Taped(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """An event. `received` is when it came to where it was recorded, `at` is the source's time.

    `topic`, `epoch` and `offset` say where it was read, if that was in a topic.
    """

    received: Moment
    at: Moment
    channel: str
    key: str
    topic: str | None = None
    epoch: str | None = None
    offset: int | None = None
    data: msgspec.Raw = _EMPTY

    @property
    def content(self) -> dict[str, Any]:
        """The data, of which `digits` makes the same bytes again; a ValueError says why there is none."""
        try:
            return digits.decode(self.data)
        except (RecursionError, ArithmeticError) as error:
            raise ValueError(f"its `data` cannot be taken: {error!r}") from None


def moment(seconds: float) -> dt.datetime:
    """Give seconds since 1970 to the microsecond; what is beyond four-digit years is the nearest within."""
    # In this order no number at all (NaN) is the earliest.
    return dt.datetime.fromtimestamp(max(_EARLIEST, min(seconds, _LATEST)), dt.UTC)


_decode = msgspec.json.Decoder(Taped).decode


def write(taped: Taped) -> bytes:
    return digits.encode(taped) + b"\n"


def read(line: bytes) -> Taped:
    """Read what `write` has written; a ValueError says what is wrong."""
    try:
        taped = _decode(line)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not bytes(taped.data).startswith(b"{"):
        raise ValueError("its `data` is no object")
    return taped
