"""What is found wrong in a file, while what can be read of it is read on.

Must not know what is looked for.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from appliance.store import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST: Final = 100
"""Flaws that are told; the others are counted."""


class Flaws:
    """A list that does not grow without bound."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._more = 0

    def __bool__(self) -> bool:
        return bool(self._told)

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(self._told)

    @property
    def more(self) -> int:
        """How many there are beside those that are told."""
        return self._more

    def add(self, flaw: str) -> None:
        if len(self._told) < MOST:
            self._told.append(flaw)
        else:
            self._more += 1

    @contextlib.contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Take it for a flaw when damage keeps something from being read."""
        try:
            yield
        except sqlite3.Error as error:
            if not faults.is_damage(error):
                raise
            self.add(f"{what} cannot be read ({error})")
