"""What is kept."""

from __future__ import annotations

from appliance.core.kept import change


def test_a_note_sets_names_and_takes_them_away() -> None:
    state = {"at": 1, "seen/1": True, "seen/2": False}
    change(state, {"at": 2, "seen/1": None, "seen/3": 0, "never": None})
    assert state == {"at": 2, "seen/2": False, "seen/3": 0}
