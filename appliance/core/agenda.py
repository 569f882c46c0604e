"""Who is due when, to the second. Time comes in as an argument, and may jump either way."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Agenda(Generic[T]):
    """However many there are, and however often they come and go, one that is not due costs nothing."""

    def __init__(self) -> None:
        self._seconds: defaultdict[int, dict[T, None]] = defaultdict(dict)
        self._places: dict[T, int] = {}
        self._looked = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, who: T, when: float) -> None:
        """Note when somebody is due, in place of what was noted before."""
        self.drop(who)
        second = math.ceil(when)
        self._places[who] = second
        self._seconds[second][who] = None
        self._looked = min(self._looked, second - 1)

    def drop(self, who: T) -> None:
        """Forget somebody, who may not be there."""
        second = self._places.pop(who, None)
        if second is not None:
            del self._seconds[second][who]
            if not self._seconds[second]:
                del self._seconds[second]

    def due(self, now: float) -> Iterator[T]:
        """Give those that are due by now, and forget each as it is given; others may come and go in between."""
        second = math.floor(now)
        passed = range(self._looked + 1, second + 1)
        seconds = (
            sorted(each for each in self._seconds if each <= second) if self._is_rare(passed) else passed
        )
        self._looked = second
        for each in seconds:
            while there := self._seconds.get(each):
                who = next(iter(there))
                self.drop(who)
                yield who

    def _is_rare(self, passed: range) -> bool:
        return len(passed) > len(self._seconds)
