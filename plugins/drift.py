"""The channel `drift`: when a model begins to predict worse than it did, and when it has recovered, `drift:BTC`.

Must not know how the scores are made: it reads the channel `scores`. Which models drift is noted, and outlives the
process.
"""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec
from attrs.validators import ge, gt, le, matches_re

from appliance.api import Channel, Event, Feed, History, Mode, Row, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Measure = Literal["mape", "hit_rate"]

_FORMAT = "format"
_VERSION = 1
_MOST_DRIFTING = 10_000
_LEAST_MAPE = 0.001  # in percent: below it an error is one of rounding


@attrs.frozen(kw_only=True)
class DriftSettings:
    """`scores` is the channel that is read; `docs/scores.md` says what the bounds are."""

    scores: str = attrs.field(default="scores", validator=matches_re("[a-z][a-z0-9_]*"))
    mape_times: float = attrs.field(default=3.0, validator=gt(1))
    hit_rate_below: float = attrs.field(default=0.25, validator=[gt(0), le(1)])
    recovery: float = attrs.field(default=0.5, validator=[ge(0), le(1)])


class Stretch(msgspec.Struct, kw_only=True):
    """How good some predictions of a model were."""

    n: int
    hit_rate: float
    mape: float


class Horizon(msgspec.Struct, kw_only=True):
    recent: Stretch | None = None
    baseline: Stretch | None = None


class Score(msgspec.Struct, kw_only=True):
    """What is read of an event of `scores`."""

    symbol: str
    model_version: str
    horizons: dict[str, Horizon]
    timestamp: str


class Drift(msgspec.Struct, kw_only=True):
    """`measures` are those that are beyond their bounds: none when a model has recovered."""

    symbol: str
    model_version: str
    horizon: str
    state: Literal["drifting", "recovered"]
    measures: list[Measure]
    recent: Stretch
    baseline: Stretch
    since: str
    timestamp: str


class Lookout:
    """Sees models begin to drift, and recover. One that drifts is held against how it was before.

    `noted` are drifts as `changes` gave them: they go on.
    """

    def __init__(self, settings: DriftSettings, noted: Iterable[Drift] = ()) -> None:
        self._settings = settings
        self._drifting: dict[str, Drift] = {}
        self._changes: dict[str, Any] = {}
        for drift in sorted(noted, key=operator.attrgetter("timestamp")):
            self._remember(_name(drift.symbol, drift.model_version, drift.horizon), drift)

    def changes(self) -> dict[str, Any]:
        """Give what is to be noted since this was asked last: by name each drift, none for one that is over."""
        changes, self._changes = self._changes, {}
        return changes

    def look(self, score: Score) -> Iterator[Drift]:
        """Give what changed with this score. Models with too short a past are not judged."""
        for name, horizon in score.horizons.items():
            recent, baseline = horizon.recent, horizon.baseline
            if recent is None or baseline is None or baseline.n < recent.n:
                continue
            place = _name(score.symbol, score.model_version, name)
            began = self._drifting.pop(place, None)
            if began is not None:
                baseline = began.baseline
            measures = self._beyond(recent, baseline, 1.0 if began is None else self._settings.recovery)
            now = Drift(
                symbol=score.symbol,
                model_version=score.model_version,
                horizon=name,
                state="drifting" if measures else "recovered",
                measures=measures,
                recent=recent,
                baseline=baseline,
                since=score.timestamp if began is None else began.since,
                timestamp=score.timestamp,
            )
            if measures:
                self._remember(place, now)
            if (began is None) == bool(measures):
                self._changes[place] = msgspec.to_builtins(now) if measures else None
                yield now

    def _beyond(self, recent: Stretch, baseline: Stretch, share: float) -> list[Measure]:
        """Name the measures that are beyond that share of their bounds."""
        measures: list[Measure] = []
        times = 1 + (self._settings.mape_times - 1) * share
        if recent.mape > times * max(baseline.mape, _LEAST_MAPE):
            measures.append("mape")
        if baseline.hit_rate - recent.hit_rate > self._settings.hit_rate_below * share:
            measures.append("hit_rate")
        return measures

    def _remember(self, place: str, drift: Drift) -> None:
        """Forget the one that was heard of longest ago when there are too many."""
        self._drifting[place] = drift
        if len(self._drifting) > _MOST_DRIFTING:
            forgotten = next(iter(self._drifting))
            del self._drifting[forgotten]
            self._changes[forgotten] = None


def recall(state: Mapping[str, Any], settings: DriftSettings) -> tuple[list[Drift], dict[str, Any]]:
    """Read what was noted, and what else is to be noted now: of other scores, or another version, nothing is kept."""
    form = [_VERSION, settings.scores]
    noted = {name: value for name, value in state.items() if name != _FORMAT}
    if state.get(_FORMAT) == form:
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(list(noted.values()), list[Drift]), {}
    return [], {**dict.fromkeys(noted), _FORMAT: form}


def _name(symbol: str, version: str, horizon: str) -> str:
    return msgspec.json.encode([symbol, version, horizon]).decode()


async def produce(feed: Feed, settings: DriftSettings) -> None:
    scores = feed.watch(f"{settings.scores}:*")
    noted, note = recall(feed.state, settings)
    lookout = Lookout(settings, noted)
    if note:
        await feed.publish_all([], note=note)
    async for event in scores:
        drifts = list(lookout.look(msgspec.convert(event.data, Score)))
        if drifts:
            rows = [Row(event.key, msgspec.to_builtins(drift), event.at) for drift in drifts]
            await feed.publish_all(rows, note=lookout.changes())


def route(event: Event, settings: Any) -> tuple[str, ...]:  # noqa: ANN401, ARG001 - the signature of a route
    """The key is that of the score: symbol and model."""
    return ("all", event.data["symbol"], event.key)


@hookimpl
def register_channels() -> tuple[Channel, ...]:
    return (
        Channel(
            name="drift",
            mode=Mode.LOG,
            message="model_drift",
            produce=produce,
            Settings=DriftSettings,
            route=route,
            topics=("all",),
            open=True,
            history=History(age=604_800.0, durable=True),
            schema=Drift,
        ),
    )
