"""Times and sizes as text: `"30s"`, `"64KiB"`.

Must not know which settings are times or sizes.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from types import MappingProxyType

_TIME = re.compile(r"(\d{1,400}(?:\.\d{1,400})?)\s?(ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,18})\s?(B|KiB|MiB|GiB|kB|MB|GB)", re.ASCII)
_SECONDS = MappingProxyType({"d": 86_400, "h": 3_600, "m": 60, "s": 1})
_BYTES = MappingProxyType(
    {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
)
_MILLI = 1000


def seconds(text: str) -> float:
    """The time that `text` names; ValueError when it names none."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError("write a time as a number and ms, s, m, h or d")
    number, unit = float(found[1]), found[2]
    value = number / _MILLI if unit == "ms" else number * _SECONDS[unit]
    if not math.isfinite(value):
        raise ValueError("the time is too long")
    return value


def size(text: str) -> int:
    """The bytes that `text` names; ValueError when it names none."""
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("write a size as a whole number and B, KiB, MiB, GiB, kB, MB or GB")
    return int(found[1]) * _BYTES[found[2]]


def time_text(value: float) -> str:
    """The shortest text that `seconds` reads back as exactly `value`."""
    for unit, length in _SECONDS.items():
        count = value / length
        if count and count.is_integer() and count * length == value:
            return f"{count:.0f}{unit}"
    count = value * _MILLI
    if count and count.is_integer() and count / _MILLI == value:
        return f"{count:.0f}ms"
    return f"{Decimal(repr(float(value))).normalize():f}s"


def size_text(value: int) -> str:
    """The text in binary units that `size` reads back as exactly `value`."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % _BYTES[unit] == 0:
            return f"{value // _BYTES[unit]}{unit}"
    return f"{value}B"
