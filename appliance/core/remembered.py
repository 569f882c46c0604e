"""A table of what is remembered of many who come, which never holds more than so many of them.

When it is full it gives up somebody who matters little, among those who have not come for longest: who comes from a
great many places cannot make it forget whom it watches, nor grow. Must not know what is remembered, nor of whom.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

_LOOKS: Final = 8
"""How many are looked at to give one up: the cost is the same however many there are."""


class Remembered(Generic[K, V]):
    """`weight` says how much it matters now that something is remembered: 0, when it would be the same anew."""

    def __init__(self, most: int, weight: Callable[[V, float], float]) -> None:
        self._most = most
        self._weight = weight
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def find(self, key: K) -> V | None:
        """Give what is remembered of somebody who has come."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: K, value: V, now: float) -> None:
        """Remember this of somebody from now on."""
        if key not in self._values and len(self._values) >= self._most:
            self._give_one_up(now)
        self._values[key] = value
        self._values.move_to_end(key)

    def forget(self, key: K) -> None:
        self._values.pop(key, None)

    def _give_one_up(self, now: float) -> None:
        least: tuple[float, K] | None = None
        for _ in range(min(_LOOKS, len(self._values))):
            key, value = next(iter(self._values.items()))
            weight = self._weight(value, now)
            if least is None or weight < least[0]:
                least = weight, key
            if not weight:
                break
            self._values.move_to_end(key)  # so that the next look is at others
        if least is not None:
            del self._values[least[1]]
