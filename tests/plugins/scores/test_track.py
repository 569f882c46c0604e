from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from plugins.scores.settings import ScoresSettings
from plugins.scores.track import Guess, Track, read_piece


def track(**settings: Any) -> Track:
    return Track("1min", ScoresSettings(**settings))


def guess(due: float) -> Guess:
    return Guess(due, 100.0, 101.0, 0.75)


def pieces(made: Track) -> dict[str, dict[int, Any]]:
    """What is noted, as it is read again."""
    found: dict[str, dict[int, Any]] = {}
    for kind, number, text in made.changes():
        if text is not None:
            found.setdefault(kind, {})[number] = read_piece(kind, json.loads(json.dumps(text)))
    return found


def test_an_outcome_moves_from_the_open_to_the_scored() -> None:
    made = track()
    made.add(guess(60.0))
    assert list(made.changes()) == [("open", 4, "[[60.0,100.0,101.0,0.75]]")]
    made.settle(61.0, 102.0, 59.0)
    assert list(made.changes()) == [
        ("open", 4, None),
        ("scored", 0, "[[60.0,-1.0,0.9803921568627451,true,0.75]]"),
        ("apart", 0, "[[60.0,-1.0,0.9803921568627451,true,0.75]]"),
    ]
    assert list(made.changes()) == []
    assert set(made.pieces()) == {("scored", 0), ("apart", 0)}


def test_what_has_no_price_is_unscored() -> None:
    made = track()
    made.add(guess(60.0))
    made.settle(61.0, 102.0, 29.0)
    assert pieces(made) == {"unscored": {0: [60.0]}}
    assert made.accuracy().unscored == 1


def test_what_was_settled_is_not_scored_again() -> None:
    made = track()
    for due in (60.0, 61.0, 70.0):
        made.add(guess(due))
    noted = pieces(made)
    made.settle(61.0, 102.0, 59.0)
    noted |= {kind: found for kind, found in pieces(made).items() if kind != "open"}
    again = track()
    again.recall(noted, settled=61.0, forgotten=0.0)
    assert not again.changed, "there is nothing to tell"
    for each in (made, again):
        each.settle(99.0, 103.0, 60.5)
    assert again.accuracy() == made.accuracy()
    assert again.accuracy().n == 3


def test_what_was_forgotten_does_not_come_back() -> None:
    made = track(window=3)
    for due in range(60, 68):
        made.add(guess(float(due)))
    made.settle(99.0, 102.0, 60.0)
    made.forget(66.0)
    again = track(window=3)
    again.recall(pieces(made), settled=99.0, forgotten=66.0)
    assert made.accuracy().n == again.accuracy().n == 2


def test_fewer_open_ones_than_were_noted_are_counted_as_unscored() -> None:
    made = track()
    for due in range(60, 68):
        made.add(guess(float(due)))
    fewer = track(open=3)
    fewer.recall(pieces(made), settled=0.0, forgotten=0.0)
    fewer.settle(99.0, 102.0, 60.0)
    assert (fewer.accuracy().n, fewer.accuracy().unscored) == (3, 5)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("open", "[[1.0,2.0]]"),
        ("scored", '[["soon"]]'),
        ("unscored", "[null]"),
        ("apart", "no JSON"),
        ("other", "[]"),
    ],
)
def test_what_is_no_piece_is_refused(kind: str, text: str) -> None:
    with pytest.raises((msgspec.MsgspecError, LookupError)):
        read_piece(kind, text)
