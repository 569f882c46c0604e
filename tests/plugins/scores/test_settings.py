from __future__ import annotations

from plugins.scores.settings import HORIZONS, ScoresSettings


def test_a_price_is_not_waited_for_beyond_the_next_horizon() -> None:
    """So that a window of the shortest one holds what is settled in its order."""
    settings = ScoresSettings()
    assert settings.tolerance < min(HORIZONS.values())


def test_all_predictions_of_a_second_fit_among_the_open_ones() -> None:
    assert ScoresSettings().open > max(HORIZONS.values())
