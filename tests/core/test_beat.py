from __future__ import annotations

from appliance.core.beat import Beat


def test_the_first_beat_is_at_once_and_the_others_are_steady() -> None:
    beat = Beat(2.0)
    assert beat.next(10.0) == (0, 10.0)
    assert beat.next(10.1) == (1, 12.0)
    assert beat.next(12.5) == (2, 14.0)


def test_missed_beats_are_skipped_and_the_rhythm_stays() -> None:
    beat = Beat(2.0)
    beat.next(10.0)
    assert beat.next(17.0) == (4, 18.0)
    assert beat.next(18.0) == (5, 20.0)
