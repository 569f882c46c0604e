"""Whether a message has all that the one in a document has.

Must not know where either comes from.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def shortfalls(shown: Any, got: Any, place: str = "") -> Iterator[str]:
    """Tell where a message has less than the one in the document, or has something of another type."""
    if isinstance(shown, dict) and isinstance(got, dict):
        for name, value in shown.items():
            if name in got:
                yield from shortfalls(value, got[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is not there"
    elif isinstance(shown, list) and isinstance(got, list):
        for element in got:
            yield from shortfalls(shown[0], element, f"{place}[]")
    elif kind(shown) != kind(got):
        yield f"{place}: {got!r} is no {kind(shown)}"


def kind(value: Any) -> str:
    """Give the type of JSON, and tell times from other text."""
    if isinstance(value, bool) or value is None or isinstance(value, (dict, list)):
        return type(value).__name__
    if isinstance(value, (int, float)):
        return "number"
    with contextlib.suppress(ValueError):
        if dt.datetime.fromisoformat(value).utcoffset() == dt.timedelta(0):
            return "time in UTC"
    return "text"
