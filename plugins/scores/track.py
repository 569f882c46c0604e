"""The predictions of one model for one symbol and horizon: those that wait for their moment, and what came of others.

Must not know where prices come from, nor who keeps what is noted.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from .figures import Outcome, accuracy
from .pieces import Schedule, Series
from .settings import HORIZONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .figures import Accuracy
    from .settings import ScoresSettings

_BASELINE = 5  # times as many predictions as are recent
_DUE = operator.attrgetter("due")


class Guess(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was foretold for the moment `due`, when the price was `current`."""

    due: float
    current: float
    predicted: float
    confidence: float | None


_KINDS: dict[str, Callable[[str], Any]] = {
    "open": partial(msgspec.json.decode, type=list[Guess]),
    "scored": partial(msgspec.json.decode, type=list[Outcome]),
    "unscored": partial(msgspec.json.decode, type=list[float]),
    "apart": partial(msgspec.json.decode, type=list[Outcome]),
}


class Track:
    """`changed` says whether there is something to tell."""

    def __init__(self, horizon: str, settings: ScoresSettings) -> None:
        self.changed = True
        self._seconds = HORIZONS[horizon]
        self._settings = settings
        self._open: Schedule[Guess] = Schedule()
        self._outcomes: Series[Outcome] = Series()
        self._unscored: Series[float] = Series()
        self._apart: Series[Outcome] = Series()
        self._noted: dict[str, Schedule[Any] | Series[Any]] = {
            "open": self._open,
            "scored": self._outcomes,
            "unscored": self._unscored,
            "apart": self._apart,
        }

    def add(self, guess: Guess) -> bool:
        """Give whether it is the first for its moment; others do not count."""
        added = self._open.add(guess)
        if len(self._open.items) > self._settings.open:
            self._miss(self._open.pop().due)
        return added

    def settle(self, limit: float, came: float, at: float) -> None:
        """Judge what was due before `limit` by the newest price of that time, and when that was."""
        for guess in self._open.take(limit):
            if guess.due - at > self._settings.tolerance:
                self._miss(guess.due)
            else:
                self._keep(guess, came)

    def forget(self, before: float) -> bool:
        """Let go of what was due before that; give whether anything is left."""
        scored = bisect.bisect_left(self._outcomes.items, before, key=_DUE)
        unscored = sum(1 for _ in itertools.takewhile(lambda due: due < before, self._unscored.items))
        self._outcomes.drop(scored)
        self._unscored.drop(unscored)
        self.changed |= scored + unscored > 0
        return bool(self._open.items or self._outcomes.items or self._unscored.items)

    def accuracy(self) -> Accuracy:
        self.changed = False
        apart, recent = self._apart.items, self._settings.recent
        return accuracy(
            self._outcomes.items,
            unscored=len(self._unscored.items),
            recent=apart[-recent:],
            baseline=apart[:-recent],
        )

    def changes(self) -> Iterator[tuple[str, int, str | None]]:
        """Give kind, number and text of what changed since this was asked last; no text for what is gone."""
        for kind, noted in self._noted.items():
            for number, items in noted.changes():
                # As text it takes a fifth of the memory.
                yield kind, number, None if items is None else msgspec.json.encode(items).decode()

    def pieces(self) -> Iterator[tuple[str, int]]:
        """Give kind and number of all pieces that may have been noted."""
        for kind, noted in self._noted.items():
            for number in noted.pieces:
                yield kind, number

    def recall(self, noted: Mapping[str, Mapping[int, Any]], *, settled: float, forgotten: float) -> None:
        """Go on with pieces as `read_piece` gives them; what was settled is not open, what was forgotten is gone."""
        self._open.recall(noted.get("open", {}), settled)
        self._outcomes.recall(noted.get("scored", {}))
        self._unscored.recall(noted.get("unscored", {}))
        self._apart.recall(noted.get("apart", {}))
        while len(self._open.items) > self._settings.open:
            self._miss(self._open.pop().due)
        self._trim()
        self.forget(forgotten)
        self.changed = False

    def _keep(self, guess: Guess, came: float) -> None:
        self.changed = True
        error, before = guess.predicted - came, guess.current
        # No change is a direction of its own.
        hit = (guess.predicted > before, guess.predicted < before) == (came > before, came < before)
        outcome = Outcome(guess.due, error, abs(error) / came * 100, hit, guess.confidence)
        self._outcomes.append(outcome)
        if not self._apart.items or outcome.due >= self._apart.items[-1].due + self._seconds:
            self._apart.append(outcome)
        self._trim()

    def _miss(self, due: float) -> None:
        self.changed = True
        self._unscored.append(due)
        self._trim()

    def _trim(self) -> None:
        window, apart = self._settings.window, self._settings.recent * (1 + _BASELINE)
        for series, most in ((self._outcomes, window), (self._unscored, window), (self._apart, apart)):
            if len(series.items) > most:
                series.drop(len(series.items) - most)


def read_piece(kind: str, text: str) -> Any:  # noqa: ANN401 - what `recall` takes
    """Read what `changes` gave; an error where it gave nothing like that."""
    return _KINDS[kind](text)
