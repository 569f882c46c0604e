"""What happened, and what a topic keeps of it."""

from __future__ import annotations

import attrs
import pytest

from appliance.core.events import Entry, Event, Mode


def test_a_mode_is_its_word() -> None:
    assert [str(mode) for mode in Mode] == ["state", "log"]
    assert Mode("log") is Mode.LOG


def test_what_happened_does_not_change() -> None:
    event = Event("price", "BTC", {"price": 1}, 5.0)
    entry = Entry(1, 5.0, 6.0, b"{}")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.key = "ETH"  # type: ignore[misc]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        entry.offset = 2  # type: ignore[misc]
