from __future__ import annotations

import pytest

from plugins.scores.figures import Outcome, Stretch, accuracy, time_text


def outcome(due: float, error: float, *, hit: bool = True, confidence: float | None = None) -> Outcome:
    return Outcome(due, error, abs(error), hit, confidence)


def test_there_are_no_means_of_nothing() -> None:
    figures = accuracy([], unscored=3, recent=[], baseline=[])
    assert (figures.n, figures.unscored, figures.hits) == (0, 3, 0)
    assert {figures.hit_rate, figures.mae, figures.mape, figures.bias, figures.last} == {None}


def test_means_are_of_all_outcomes() -> None:
    outcomes = [outcome(0, -1), outcome(60, 3, hit=False)]
    figures = accuracy(outcomes, unscored=0, recent=outcomes[1:], baseline=outcomes[:1])
    assert (figures.n, figures.hits, figures.hit_rate) == (2, 1, 0.5)
    assert (figures.mae, figures.mape, figures.bias) == (2, 2, 1)
    assert figures.recent == Stretch(n=1, hit_rate=0, mape=3)
    assert figures.baseline == Stretch(n=1, hit_rate=1, mape=1)
    assert figures.last == "1970-01-01T00:01:00.000Z"
    assert figures.calibration is None


def test_means_have_six_digits_wherever_the_point_stands() -> None:
    for size in (1e-9, 1.0, 1e9):
        figures = accuracy([outcome(0, size / 3)], unscored=0, recent=[], baseline=[])
        assert figures.mae == pytest.approx(size / 3, rel=1e-6)
        assert len(f"{figures.mae:.12e}".rstrip("0").partition("e")[0].rstrip("0")) <= 8


def test_confidence_is_held_against_hits() -> None:
    outcomes = [outcome(0, 1, confidence=0.9), outcome(1, 1, hit=False, confidence=1.0), outcome(2, 1)]
    calibration = accuracy(outcomes, unscored=0, recent=[], baseline=[]).calibration
    assert calibration is not None
    assert (calibration.n, calibration.brier) == (2, 0.505)
    assert [(each.least, each.n, each.hit_rate) for each in calibration.bins] == [(0.9, 2, 0.5)]


def test_times_are_told_to_the_millisecond() -> None:
    assert time_text(1_766_000_000.0625) == "2025-12-17T19:33:20.062Z"
