"""The channel `scores`: how good predictions were once their horizon came, `scores:BTC`.

Must not know the models, nor where predictions and prices come from. What it knows is gone with a restart.
"""

from __future__ import annotations

import bisect
import datetime as dt
import itertools
import math
import operator
import time
from collections import defaultdict, deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import msgspec
import trio
from attrs.validators import ge, gt, le, matches_re

from appliance.api import Channel, Event, Feed, History, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

HORIZONS = MappingProxyType({"1min": 60.0, "5min": 300.0, "15min": 900.0})
_CHANNEL = "[a-z][a-z0-9_]*"
_PRICES = (1e-12, 1e12)  # beyond these a number is no price
_AHEAD = 86_400.0  # a row may be that far ahead of our clock: a time zone, no milliseconds for seconds
_LONGEST_KEY = 200
_BINS = 10
_BASELINE = 5  # times as many predictions as are recent
_DUE = operator.attrgetter("due")


@attrs.frozen(kw_only=True)
class ScoresSettings:
    """`docs/scores.md` says what each is. Times are seconds."""

    predictions: str = attrs.field(default="predictions", validator=matches_re(_CHANNEL))
    prices: str = attrs.field(default="price", validator=matches_re(_CHANNEL))
    interval: float = attrs.field(default=10.0, validator=gt(0))
    window: int = attrs.field(default=1_000, validator=ge(1))
    window_age: float = attrs.field(default=86_400.0, validator=gt(0))
    tolerance: float = attrs.field(default=30.0, validator=[gt(0), le(60)])
    open: int = attrs.field(default=1_000, validator=ge(1))
    symbols: int = attrs.field(default=1_000, validator=ge(1))
    models: int = attrs.field(default=4, validator=ge(1))
    recent: int = attrs.field(default=50, validator=ge(1))


class Bin(msgspec.Struct, kw_only=True):
    least: float
    n: int
    confidence: float
    hit_rate: float


class Calibration(msgspec.Struct, kw_only=True):
    n: int
    brier: float
    error: float
    bins: list[Bin]


class Stretch(msgspec.Struct, kw_only=True):
    """Some predictions that do not overlap, one after the other."""

    n: int
    hit_rate: float
    mape: float


class Accuracy(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What came of the predictions of one horizon. There are no means of none."""

    n: int
    unscored: int
    hits: int
    hit_rate: float | None = None
    mae: float | None = None
    mape: float | None = None
    bias: float | None = None
    calibration: Calibration | None = None
    recent: Stretch | None = None
    baseline: Stretch | None = None
    last: str | None = None


class Score(msgspec.Struct, kw_only=True):
    symbol: str
    model_version: str
    current: bool
    horizons: dict[str, Accuracy]
    timestamp: str


@attrs.frozen
class Guess:
    """What was foretold for the moment `due`, when the price was `current`."""

    due: float
    current: float
    predicted: float
    confidence: float | None


@attrs.frozen
class Outcome:
    """What came of a guess. `percent` is the size of its error in percent of the price that came."""

    due: float
    error: float
    percent: float
    hit: bool
    confidence: float | None


class Track:
    """The predictions of one model for one symbol and horizon. `changed` says whether there is something to tell."""

    def __init__(self, horizon: str, settings: ScoresSettings) -> None:
        self.changed = True
        self._seconds = HORIZONS[horizon]
        self._settings = settings
        self._open: list[Guess] = []
        self._outcomes: list[Outcome] = []
        self._unscored: list[float] = []
        self._apart: deque[Outcome] = deque(maxlen=settings.recent * (1 + _BASELINE))

    def add(self, guess: Guess) -> bool:
        """Give whether it is the first for its moment; others do not count."""
        place = bisect.bisect_left(self._open, guess.due, key=_DUE)
        if place < len(self._open) and self._open[place].due == guess.due:
            return False
        self._open.insert(place, guess)
        if len(self._open) > self._settings.open:
            self._miss(self._open.pop().due)
        return True

    def settle(self, limit: float, came: float, at: float) -> None:
        """Judge what was due before `limit` by the newest price of that time, and when that was."""
        end = bisect.bisect_left(self._open, limit, key=_DUE)
        for guess in self._open[:end]:
            if guess.due - at > self._settings.tolerance:
                self._miss(guess.due)
            else:
                self._keep(guess, came)
        del self._open[:end]

    def forget(self, before: float) -> bool:
        """Let go of what was due before that; give whether anything is left."""
        scored = bisect.bisect_left(self._outcomes, before, key=_DUE)
        unscored = bisect.bisect_left(self._unscored, before)
        del self._outcomes[:scored], self._unscored[:unscored]
        self.changed |= scored + unscored > 0
        return bool(self._open or self._outcomes or self._unscored)

    def accuracy(self) -> Accuracy:
        self.changed = False
        outcomes, apart, recent = self._outcomes, list(self._apart), self._settings.recent
        if not outcomes:
            return Accuracy(n=0, unscored=len(self._unscored), hits=0)
        return Accuracy(
            n=len(outcomes),
            unscored=len(self._unscored),
            hits=sum(outcome.hit for outcome in outcomes),
            hit_rate=_mean([outcome.hit for outcome in outcomes]),
            mae=_mean([abs(outcome.error) for outcome in outcomes]),
            mape=_mean([outcome.percent for outcome in outcomes]),
            bias=_mean([outcome.error for outcome in outcomes]),
            calibration=_calibration(outcomes),
            recent=_stretch(apart[-recent:]),
            baseline=_stretch(apart[:-recent]),
            last=_text(outcomes[-1].due),
        )

    def _keep(self, guess: Guess, came: float) -> None:
        self.changed = True
        error, before = guess.predicted - came, guess.current
        # No change is a direction of its own.
        hit = (guess.predicted > before, guess.predicted < before) == (came > before, came < before)
        outcome = Outcome(guess.due, error, abs(error) / came * 100, hit, guess.confidence)
        self._outcomes.append(outcome)
        del self._outcomes[: -self._settings.window]
        if not self._apart or outcome.due >= self._apart[-1].due + self._seconds:
            self._apart.append(outcome)

    def _miss(self, due: float) -> None:
        self.changed = True
        bisect.insort(self._unscored, due)
        del self._unscored[: -self._settings.window]


class Book:
    """One symbol. Its time is what its own rows say: some sources are further behind than others.

    Models stand in the order of their predictions: the last one is current.
    """

    def __init__(self, symbol: str, settings: ScoresSettings) -> None:
        self._symbol = symbol
        self._settings = settings
        self._models: dict[str, dict[str, Track]] = {}
        self._told: str | None = None
        self._price = math.nan
        self._priced = self._time = self._settled = -math.inf

    def take_price(self, price: float, at: float) -> None:
        """Settle what was due before it: which price was the last until then is known now."""
        self._reach(at)
        if at >= self._priced:
            self._settle(at)
            self._price, self._priced = price, at

    def take_prediction(self, version: str, guesses: Mapping[str, Guess], at: float) -> None:
        """Take what is not settled by now: the rest is no prediction any more."""
        self._reach(at)
        tracks = self._models.get(version) or {name: Track(name, self._settings) for name in HORIZONS}
        added = [tracks[name].add(guess) for name, guess in guesses.items() if guess.due >= self._settled]
        if any(added):
            self._models.pop(version, None)
            self._models[version] = tracks
            if len(self._models) > self._settings.models:
                del self._models[next(iter(self._models))]

    def scores(self) -> Iterator[Score]:
        """Tell what changed since the last time, and forget models of which nothing is left."""
        current = next(reversed(self._models), None)
        for version, tracks in list(self._models.items()):
            left = [track.forget(self._time - self._settings.window_age) for track in tracks.values()]
            if not any(left):
                self._models.pop(version, None)
            turned = current != self._told and version in {current, self._told}
            if turned or any(track.changed for track in tracks.values()):
                yield Score(
                    symbol=self._symbol,
                    model_version=version,
                    current=version == current,
                    horizons={name: track.accuracy() for name, track in tracks.items()},
                    timestamp=_text(self._time),
                )
        self._told = current

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

    def take(self, event: Event, now: float) -> None:
        """Take a row; what is no price or prediction is left out."""
        at = _within(event.at, 0.0, now + _AHEAD)
        if at is None:
            return
        if event.channel == self._settings.prices:
            price, book = _within(event.data.get("price"), *_PRICES), self._books.get(event.key)
            if price is not None and book is not None:
                book.take_price(price, at)
        else:
            version, guesses = str(event.data.get("model_version") or "unversioned"), _guesses(event.data, at)
            if guesses and len(model_key(event.key, version)) <= _LONGEST_KEY:
                book = self._books.pop(event.key, None) or Book(event.key, self._settings)
                self._books[event.key] = book
                book.take_prediction(version, guesses, at)
                if len(self._books) > self._settings.symbols:
                    del self._books[next(iter(self._books))]

    def changed(self) -> Iterator[Score]:
        """Tell what changed since the last time. Rows may come in while it tells."""
        for book in list(self._books.values()):
            yield from book.scores()


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


def _mean(values: list[float]) -> float:
    """Six digits of it, wherever the point stands: prices are large and small."""
    return float(f"{math.fsum(values) / len(values):.6g}")


def _text(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def _stretch(outcomes: Sequence[Outcome]) -> Stretch | None:
    if not outcomes:
        return None
    return Stretch(
        n=len(outcomes),
        hit_rate=_mean([outcome.hit for outcome in outcomes]),
        mape=_mean([outcome.percent for outcome in outcomes]),
    )


def _calibration(outcomes: Iterable[Outcome]) -> Calibration | None:
    """Take the confidence for the chance of a hit."""
    told = [(each.confidence, each.hit) for each in outcomes if each.confidence is not None]
    if not told:
        return None
    sorts: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, hit in told:
        sorts[min(int(confidence * _BINS), _BINS - 1)].append((confidence, hit))
    bins = [
        Bin(
            least=place / _BINS,
            n=len(sort),
            confidence=_mean([confidence for confidence, _ in sort]),
            hit_rate=_mean([hit for _, hit in sort]),
        )
        for place, sort in sorted(sorts.items())
    ]
    return Calibration(
        n=len(told),
        brier=_mean([(confidence - hit) ** 2 for confidence, hit in told]),
        error=_mean([abs(each.confidence - each.hit_rate) for each in bins for _ in range(each.n)]),
        bins=bins,
    )


async def produce(feed: Feed, settings: ScoresSettings) -> None:
    board = Scoreboard(settings)
    rows = feed.watch(f"{settings.predictions}:*", f"{settings.prices}:*")
    # Runs until it is cancelled from outside, or fails.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, rows, board)
        async for _ in feed.every(settings.interval):
            for score in board.changed():
                key = model_key(score.symbol, score.model_version)
                await feed.publish(msgspec.to_builtins(score), key=key)


async def _read(rows: AsyncIterator[Event], board: Scoreboard) -> None:
    async for event in rows:
        board.take(event, time.time())


def route(event: Event, settings: Any) -> Iterator[str]:  # noqa: ANN401, ARG001 - the signature of a route
    """The topic of a symbol tells of the model that predicts it now."""
    yield event.key
    if event.data["current"]:
        yield event.data["symbol"]


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="scores",
            mode=Mode.STATE,
            message="score_update",
            produce=produce,
            Settings=ScoresSettings,
            route=route,
            open=True,
            history=History(count=60),
            schema=Score,
        ),
    )
