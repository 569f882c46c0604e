"""The channel `drift`: when a model begins to predict worse than it did, and when it has recovered, `drift:BTC`.

Must not know how the scores are made: it reads the channel `scores`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs
import msgspec
from attrs.validators import ge, gt, le, matches_re

from appliance.api import Channel, Event, Feed, History, Mode, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

Measure = Literal["mape", "hit_rate"]

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
    """Sees models begin to drift, and recover. One that drifts is held against how it was before."""

    def __init__(self, settings: DriftSettings) -> None:
        self._settings = settings
        self._drifting: dict[tuple[str, str, str], Drift] = {}

    def look(self, score: Score) -> Iterator[Drift]:
        """Give what changed with this score. Models with too short a past are not judged."""
        for name, horizon in score.horizons.items():
            recent, baseline = horizon.recent, horizon.baseline
            if recent is None or baseline is None or baseline.n < recent.n:
                continue
            place = (score.symbol, score.model_version, name)
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

    def _remember(self, place: tuple[str, str, str], drift: Drift) -> None:
        """Forget the one that was heard of longest ago when there are too many."""
        self._drifting[place] = drift
        if len(self._drifting) > _MOST_DRIFTING:
            del self._drifting[next(iter(self._drifting))]


async def produce(feed: Feed, settings: DriftSettings) -> None:
    lookout = Lookout(settings)
    async for event in feed.watch(f"{settings.scores}:*"):
        for drift in lookout.look(msgspec.convert(event.data, Score)):
            await feed.publish(msgspec.to_builtins(drift), key=event.key, at=event.at)


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
            history=History(age=604_800.0),
            schema=Drift,
        ),
    )
