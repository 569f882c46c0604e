from __future__ import annotations

from appliance.ops.doctor.findings import Kind, note, ok, problem, warning
from tests.ops.doctor.said import said


def test_each_verdict_is_made_by_its_name() -> None:
    made = [
        ok(Kind.CLOCK, "synchronised"),
        *(make(Kind.CLOCK, "wrong", why="it counts", remedy="set it") for make in (note, warning, problem)),
    ]
    assert said(made) == [("clock", verdict) for verdict in ("ok", "note", "warning", "problem")]


def test_kinds_are_words_that_stand_in_a_line() -> None:
    assert [kind for kind in Kind if kind != kind.lower() or " " in kind] == []
