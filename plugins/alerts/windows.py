"""The values of a field over the last seconds, by the time of their source.

Must not know what they are values of. Values may come late, and then take their place in time.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right

_SLACK = 1e-6  # seconds by which the sum of times may be off


class Window:
    """Keeps the values of the last `seconds`, and the one that held before them; at most so many."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._times = array("d")
        self._values = array("d")

    def add(self, at: float, value: float) -> bool:
        """Take a value; say whether all that counts is still kept."""
        place = bisect_right(self._times, at)
        self._times.insert(place, at)
        self._values.insert(place, value)
        past = max(0, bisect_right(self._times, self._times[-1] - self._seconds + _SLACK) - 1)
        gone = max(past, len(self._times) - self._most)
        del self._times[:gone], self._values[:gone]
        return gone == past

    def measure(self, what: str, seconds: float, end: float) -> float | None:
        """The `min`, `max` or `mean` of these seconds, both ends included; none where there is no value.

        `change` is in percent of the value that held at their beginning, or else of the first one since.
        """
        first = bisect_left(self._times, end - seconds - _SLACK)
        values = self._values[first : bisect_right(self._times, end)]
        if not values:
            return None
        match what:
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "mean":
                return math.fsum(values) / len(values)
            case _:
                held = bisect_right(self._times, end - seconds + _SLACK) - 1
                then = self._values[max(held, 0)]
                return 100 * (values[-1] - then) / abs(then)
