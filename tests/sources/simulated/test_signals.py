from __future__ import annotations

import pytest

from appliance.sources.simulated.instruments import instrument
from appliance.sources.simulated.model import Forecast, Reading
from appliance.sources.simulated.prices import Move
from appliance.sources.simulated.signals import STAKE, Direction, Signal, Watch

BITCOIN = instrument("BTC", seed=1)
USUAL = BITCOIN.turnover / BITCOIN.price / 86_400


def watch() -> Watch:
    return Watch([BITCOIN], "test")


def reading(*, fast: float = 0.0, slow: float = 0.0, move: float = 0.001, confidence: float = 0.5) -> Reading:
    surest = Forecast(move, confidence)
    return Reading(fast, slow, fast / 1_000, 0.0001, (Forecast(-move, 0.5), surest, Forecast(-move, 0.5)))


def look(
    seen: Reading, *, volume: float = USUAL, at: Watch | None = None, seconds: float = 1.0
) -> list[Signal]:
    return (at or watch()).look([Move(97_000.0, volume)], [seen], seconds)


def test_an_ordinary_moment_is_worth_no_signal() -> None:
    assert look(reading(fast=1.5, slow=0.3, confidence=0.54)) == []


@pytest.mark.parametrize(
    ("seen", "kind", "direction"),
    [
        (reading(fast=5.0, move=-0.01, confidence=0.9), "price_anomaly", Direction.SELL),
        (reading(fast=-5.0, move=0.01, confidence=0.9), "price_anomaly", Direction.BUY),
        (reading(slow=2.0, move=0.01, confidence=0.7), "momentum", Direction.BUY),
        (reading(slow=-2.0, move=-0.01, confidence=0.7), "momentum", Direction.SELL),
        (reading(slow=2.0, move=-0.01, confidence=0.7), "trend_reversal", Direction.SELL),
        (reading(slow=-2.0, move=0.01, confidence=0.7), "trend_reversal", Direction.BUY),
    ],
)
def test_the_type_says_what_happened_and_the_direction_what_is_expected(
    seen: Reading, kind: str, direction: Direction
) -> None:
    (signal,) = look(seen)
    assert (signal.type, signal.direction) == (kind, direction)
    assert signal.confidence == seen.forecasts[1].confidence
    assert signal.symbol in signal.describe()


def test_a_burst_of_volume_is_a_signal() -> None:
    (signal,) = look(reading(), volume=100 * USUAL)
    assert signal.type == "volume_spike"
    assert signal.volume_spike > 2


@pytest.mark.parametrize(
    ("fast", "severity"), [(2.5, "low"), (3.5, "medium"), (-5.0, "high"), (7.0, "critical")]
)
def test_the_severity_says_how_far_it_went(fast: float, severity: str) -> None:
    assert [signal.severity for signal in look(reading(fast=fast))] == [severity]


def test_the_quantity_is_worth_a_stake() -> None:
    (signal,) = look(reading(fast=5.0))
    assert signal.quantity * signal.price == pytest.approx(STAKE, rel=0.01)


def test_the_same_is_not_said_again_at_once() -> None:
    at = watch()
    said = [len(look(reading(fast=5.0), at=at)) for _ in range(61)]
    assert said[0] == 1
    assert 2 <= sum(said) <= 3


def test_ids_are_never_the_same() -> None:
    at = watch()
    signals = [signal for _ in range(100) for signal in look(reading(fast=5.0), at=at, seconds=60.0)]
    assert len({signal.id for signal in signals}) == len(signals) == 100
    assert all(signal.id.startswith("signal_test_") for signal in signals)
