"""How refusals are told: at once, and not without end."""

from __future__ import annotations

from structlog.testing import capture_logs

from appliance.access.refusals import EVERY, MOST, OTHERS, Refusals


def told(*refused: tuple[str, float], settle: float | None = None) -> list[tuple[str, int | None]]:
    refusals = Refusals()
    with capture_logs() as log:
        for address, now in refused:
            refusals.note(address, now, why="no")
        if settle is not None:
            refusals.settle(settle)
    assert all(line["why"] == "no" for line in log)
    return [(line["client"], line.get("count")) for line in log]


def test_a_refusal_is_told_at_once() -> None:
    assert told(("a", 0.0), ("b", 0.1)) == [("a", None), ("b", None)]


def test_those_that_follow_are_summed_up_once_a_second() -> None:
    flood = [("a", number / 100) for number in range(250)]
    assert told(*flood) == [("a", None), ("a", 99), ("a", 100)]
    assert told(*flood, settle=3.0) == [("a", None), ("a", 99), ("a", 100), ("a", 50)]


def test_one_who_comes_again_later_is_told_at_once() -> None:
    assert told(("a", 0.0), ("a", EVERY)) == [("a", None), ("a", None)]
    assert told(("a", 0.0), ("a", 0.5), ("a", 5.0), settle=9.0) == [("a", None), ("a", 1), ("a", 1)]


def test_a_crowd_is_summed_up_too() -> None:
    crowd = [(f"address {number}", 0.0) for number in range(MOST + 50)]
    lines = told(*crowd, settle=EVERY)
    assert len(lines) == MOST + 1
    assert lines[-1] == (OTHERS, 50)
    assert len(told(*crowd, *crowd, settle=EVERY)) == 2 * MOST + 1
