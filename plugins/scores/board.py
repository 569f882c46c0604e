"""What is known of each symbol, from the rows of predictions and prices.

Must not know how figures are computed, nor who is told of them.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .figures import Score, time_text
from .notes import Standing, book_name, piece_name
from .settings import HORIZONS
from .track import Guess, Track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from appliance.api import Event

    from .notes import Recalled
    from .settings import ScoresSettings

_PRICES = (1e-12, 1e12)  # beyond these a number is no price
_AHEAD = 86_400.0  # a row may be that far ahead of our clock: a time zone, no milliseconds for seconds
_LONGEST_KEY = 200


class Book:
    """One symbol. Its time is what its own rows say: some sources are further behind than others.

    Models stand in the order of their predictions: the last one is current. `turn` is its own among all symbols.
    """

    def __init__(self, symbol: str, settings: ScoresSettings) -> None:
        self.symbol = symbol
        self.turn = 0
        self._settings = settings
        self._models: dict[str, dict[str, Track]] = {}
        self._told: str | None = None
        self._price = math.nan
        self._priced = self._time = self._settled = self._forgotten = -math.inf
        self._gone: dict[str, None] = {}

    def take_price(self, price: float, at: float) -> None:
        """Settle what was due before it: which price was the last until then is known now."""
        self._reach(at)
        if at >= self._priced:
            self._settle(at)
            self._price, self._priced = price, at

    def take_prediction(self, version: str, guesses: Mapping[str, Guess], at: float) -> None:
        """Take what is not settled by now: the rest is no prediction any more."""
        self._reach(at)
        tracks = self._models.get(version) or self._new_tracks()
        added = [tracks[name].add(guess) for name, guess in guesses.items() if guess.due >= self._settled]
        if any(added):
            self._models.pop(version, None)
            self._models[version] = tracks
            self._trim()

    def scores(self) -> Iterator[Score]:
        """Tell what changed since the last time, and forget models of which nothing is left."""
        current = next(reversed(self._models), None)
        self._forgotten = self._time - self._settings.window_age
        for version, tracks in list(self._models.items()):
            left = [track.forget(self._forgotten) for track in tracks.values()]
            if not any(left):
                self._forget(version)
            turned = current != self._told and version in {current, self._told}
            if turned or any(track.changed for track in tracks.values()):
                yield Score(
                    symbol=self.symbol,
                    model_version=version,
                    current=version == current,
                    horizons={name: track.accuracy() for name, track in tracks.items()},
                    timestamp=time_text(self._time),
                )
        self._told = current

    def changes(self) -> Iterator[tuple[str, Any]]:
        """Give what is to be noted since this was asked last, as names and values."""
        yield from dict.fromkeys(self._gone).items()
        self._gone.clear()
        untold = [
            version
            for version, tracks in self._models.items()
            if any(track.changed for track in tracks.values())
        ]
        yield (
            book_name(self.symbol),
            Standing(
                turn=self.turn,
                versions=list(self._models),
                untold=untold,
                told=self._told,
                price=_finite(self._price),
                priced=_finite(self._priced),
                time=_finite(self._time),
                settled=_finite(self._settled),
                forgotten=_finite(self._forgotten),
            ).as_value(),
        )
        for version, tracks in self._models.items():
            for horizon, track in tracks.items():
                for kind, number, text in track.changes():
                    yield piece_name(kind, self.symbol, version, horizon, number), text

    def names(self) -> Iterator[str]:
        """Give the names of all that may have been noted."""
        yield book_name(self.symbol)
        yield from self._gone
        for version, tracks in self._models.items():
            yield from self._names(version, tracks)

    def recall(self, recalled: Recalled) -> None:
        """Go on with what was noted."""
        standing = recalled.standing
        self.turn = standing.turn
        self._told = standing.told
        self._price = math.nan if standing.price is None else standing.price
        self._priced = _time(standing.priced)
        self._time = _time(standing.time)
        self._settled = _time(standing.settled)
        self._forgotten = _time(standing.forgotten)
        for version in standing.versions:
            tracks = self._models[version] = self._new_tracks()
            for horizon, track in tracks.items():
                noted = recalled.pieces[version, horizon]
                track.recall(noted, settled=self._settled, forgotten=self._forgotten)
                track.changed = version in standing.untold
        self._trim()

    def _new_tracks(self) -> dict[str, Track]:
        return {name: Track(name, self._settings) for name in HORIZONS}

    def _trim(self) -> None:
        while len(self._models) > self._settings.models:
            self._forget(next(iter(self._models)))

    def _forget(self, version: str) -> None:
        self._gone |= dict.fromkeys(self._names(version, self._models.pop(version)))

    def _names(self, version: str, tracks: Mapping[str, Track]) -> Iterator[str]:
        for horizon, track in tracks.items():
            for kind, number in track.pieces():
                yield piece_name(kind, self.symbol, version, horizon, number)

    def _reach(self, at: float) -> None:
        """Wait for a price no longer than one may be old."""
        self._time = max(self._time, at)
        self._settle(self._time - self._settings.tolerance)

    def _settle(self, limit: float) -> None:
        if limit > self._settled:
            self._settled = limit
            for track in itertools.chain.from_iterable(tracks.values() for tracks in self._models.values()):
                track.settle(limit, self._price, self._priced)


class Scoreboard:
    """All symbols that are predicted; of too many, the one that was predicted longest ago is forgotten."""

    def __init__(self, settings: ScoresSettings) -> None:
        self._settings = settings
        self._books: dict[str, Book] = {}
        self._turn = 0
        self._changed: dict[str, None] = {}
        self._gone: dict[str, None] = {}

    def take(self, event: Event, now: float) -> None:
        """Take a row; what is no price or prediction is left out."""
        at = _within(event.at, 0.0, now + _AHEAD)
        if at is None:
            return
        if event.channel == self._settings.prices:
            price, book = _within(event.data.get("price"), *_PRICES), self._books.get(event.key)
            if price is not None and book is not None:
                book.take_price(price, at)
                self._changed[event.key] = None
        else:
            version, guesses = str(event.data.get("model_version") or "unversioned"), _guesses(event.data, at)
            if guesses and len(model_key(event.key, version)) <= _LONGEST_KEY:
                book = self._books.pop(event.key, None) or Book(event.key, self._settings)
                self._add(book)
                book.take_prediction(version, guesses, at)
                self._changed[event.key] = None

    def books(self) -> Iterator[Book]:
        """Give all symbols; some may come and go meanwhile."""
        for symbol, book in list(self._books.items()):
            if self._books.get(symbol) is book:
                yield book

    def changes(self, symbols: Iterable[str]) -> dict[str, Any]:
        """Give what is to be noted of these since this was asked last, and what of others is gone."""
        # What is gone comes first: its names may be in use again.
        changes: dict[str, Any] = dict.fromkeys(self._gone)
        self._gone.clear()
        for symbol in symbols:
            self._changed.pop(symbol, None)
            changes |= self._books[symbol].changes()
        return changes

    def changed(self, most: int) -> list[str]:
        """Name symbols of which something is to be noted, so many at most: those that have waited longest."""
        return list(itertools.islice(self._changed, most))

    def recall(self, recalled: Mapping[str, Recalled]) -> None:
        """Go on with what was noted of these symbols."""
        for symbol, noted in sorted(recalled.items(), key=lambda item: item[1].standing.turn):
            book = Book(symbol, self._settings)
            book.recall(noted)
            self._add(book)

    def _add(self, book: Book) -> None:
        """Add a symbol as the one that was predicted last."""
        self._turn = book.turn = max(self._turn + 1, book.turn)
        self._books[book.symbol] = book
        if len(self._books) > self._settings.symbols:
            symbol = next(iter(self._books))
            self._gone |= dict.fromkeys(self._books.pop(symbol).names())
            self._changed.pop(symbol, None)


def model_key(symbol: str, version: str) -> str:
    """A key holds no blanks and no `*`, a version may."""
    return f"{symbol}:{quote(version, safe='+@', errors='replace')}"


def _guesses(data: Mapping[str, Any], at: float) -> dict[str, Guess]:
    """What a row foretells, by horizon. Without the price of its time, no direction can be told."""
    current = _within(data.get("current_price"), *_PRICES)
    if current is None:
        return {}
    guesses = {}
    for name, seconds in HORIZONS.items():
        predicted = _within(data.get(f"predicted_{name}"), *_PRICES)
        if predicted is not None:
            confidence = _within(data.get(f"confidence_{name}"), 0.0, 1.0)
            guesses[name] = Guess(at + seconds, current, predicted, confidence)
    return guesses


def _within(value: object, least: float, most: float) -> float | None:
    """The number, if it is one and lies between these. NaN does not, and a whole number of a thousand digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        return None
    return float(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _time(value: float | None) -> float:
    return -math.inf if value is None else value
