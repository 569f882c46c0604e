"""The figures that tell how good predictions were, computed from what came of each.

Must not know where predictions come from, nor how long what came of them is kept.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BINS = 10


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


class Outcome(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What came of a guess. `percent` is the size of its error in percent of the price that came."""

    due: float
    error: float
    percent: float
    hit: bool
    confidence: float | None


def accuracy(
    outcomes: Sequence[Outcome], *, unscored: int, recent: Sequence[Outcome], baseline: Sequence[Outcome]
) -> Accuracy:
    if not outcomes:
        return Accuracy(n=0, unscored=unscored, hits=0)
    return Accuracy(
        n=len(outcomes),
        unscored=unscored,
        hits=sum(outcome.hit for outcome in outcomes),
        hit_rate=_mean([outcome.hit for outcome in outcomes]),
        mae=_mean([abs(outcome.error) for outcome in outcomes]),
        mape=_mean([outcome.percent for outcome in outcomes]),
        bias=_mean([outcome.error for outcome in outcomes]),
        calibration=_calibration(outcomes),
        recent=_stretch(recent),
        baseline=_stretch(baseline),
        last=time_text(outcomes[-1].due),
    )


def time_text(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def _mean(values: list[float]) -> float:
    """Six digits of it, wherever the point stands: prices are large and small."""
    return float(f"{math.fsum(values) / len(values):.6g}")


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
