"""Versions of the appliance, in the order in which they came.

Must not know where a version is written.
"""

from __future__ import annotations

import re
from typing import Final

_VERSION: Final = re.compile(r"(\d+(?:\.\d+)*)(?:\.?(dev|a|b|rc|post)(\d+))?(?:\+.*)?")
_STAGES: Final = ("dev", "a", "b", "rc", None, "post")


def is_older(one: str, other: str) -> bool:
    """Whether one version came before another; False where that cannot be told."""
    first, second = _place(one), _place(other)
    return first is not None and second is not None and first < second


def _place(version: str) -> tuple[tuple[int, ...], int, int] | None:
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()  # 1.0 is 1.0.0
    return tuple(numbers), _STAGES.index(found[2]), int(found[3] or 0)
