"""The values of a field over the last seconds, by the time of their source.

Must not know what they are values of. Values may come late, and then take their place in time.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SLACK = 1e-6  # seconds by which the sum of times may be off
_PIECES = 8  # a window is noted in as many pieces, for a value changes but one of them

Sample: TypeAlias = tuple[float, float]
_Numbers = list[float | None]


def read_piece(text: str) -> list[Sample]:
    """Read what `changes` gave; ValueError where it gave nothing like that."""
    numbers = msgspec.json.decode(text, type=_Numbers)
    times, values = numbers[::2], [math.nan if value is None else value for value in numbers[1::2]]
    samples = [(at, value) for at, value in zip(times, values, strict=True) if at is not None]
    if len(samples) < len(times):
        raise ValueError("a value without a time")
    return samples


class Window:
    """Keeps the values of the last `seconds`, and the one that held before them; at most so many.

    A value that is no number (NaN) says that nobody knows what has held since then.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._width = max(seconds, 1.0) / _PIECES
        self._interrupted = -math.inf
        self._times = array("d")
        self._values = array("d")
        self._changed: set[int] = set()
        self._noted: set[int] = set()

    def add(self, at: float, value: float) -> bool:
        """Take a value; say whether all that counts is still kept."""
        self._changed.add(self._piece(at))
        if math.isnan(value):
            self._interrupted = max(at, self._interrupted)
        place = bisect_right(self._times, at)
        self._times.insert(place, at)
        self._values.insert(place, value)
        begin = self._times[-1] - self._seconds
        held = max(0, bisect_right(self._times, begin + _SLACK) - 1)
        past = min(held, bisect_left(self._times, begin - _SLACK))  # several may be of the first moment
        gone = max(past, len(self._times) - self._most)
        del self._times[:gone], self._values[:gone]
        return gone == past

    def interrupt(self) -> None:
        """Take note that nobody watched after the last value, until the next one."""
        if self._times and not math.isnan(self._values[-1]):
            self.add(self._times[-1], math.nan)

    def measure(self, what: str, seconds: float, end: float) -> float | None:
        """The `min`, `max` or `mean` of these seconds, both ends included; none where there is no value.

        `change` is in percent of the value that held at their beginning, or else of the first one since.
        """
        first = bisect_left(self._times, end - seconds - _SLACK)
        last = bisect_right(self._times, end)
        values = self._known(first, last)
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
                if math.isnan(then):
                    then = self._known(held, last)[0]
                return 100 * (values[-1] - then) / abs(then)

    def changes(self) -> Iterator[tuple[int, str | None]]:
        """Give the pieces that changed since this was asked last, by number; none for one that is let go of."""
        oldest = self._piece(self._times[0]) if self._times else math.inf
        for piece in sorted(piece for piece in self._noted if piece < oldest):
            yield piece, None
        for piece in sorted(piece for piece in self._changed if piece >= oldest):
            yield piece, self._text(piece)
        self._noted = {piece for piece in self._noted | self._changed if piece >= oldest}
        self._changed.clear()

    @property
    def pieces(self) -> Iterable[int]:
        """The numbers of the pieces that `changes` gave, and did not let go of since."""
        return self._noted

    def recall(self, piece: int, samples: Iterable[Sample]) -> None:
        """Take what `read_piece` gives of a piece."""
        for at, value in samples:
            self.add(at, value)
        self._noted.add(piece)
        self._changed.clear()

    def _known(self, begin: int, end: int) -> array[float]:
        values = self._values[begin:end]
        if self._times and self._interrupted >= self._times[0]:
            return array("d", [value for value in values if not math.isnan(value)])
        return values

    def _piece(self, at: float) -> int:
        return int(at // self._width)

    def _text(self, piece: int) -> str:
        """As text: it takes a fifth of the memory of a list, and NaN has no other way into JSON."""
        begin = bisect_left(self._times, piece, key=self._piece)
        end = bisect_right(self._times, piece, key=self._piece)
        pairs = zip(self._times[begin:end], self._values[begin:end], strict=True)
        return msgspec.json.encode([number for pair in pairs for number in pair]).decode()
