from __future__ import annotations

import attrs
import pytest

from appliance.dialects.complaint import Complaint


def test_beside_the_time_it_says_nothing_that_is_not_given() -> None:
    complaint = Complaint(timestamp="2025-12-02T12:30:00Z")
    assert attrs.asdict(complaint) == {
        "timestamp": "2025-12-02T12:30:00Z",
        "label": None,
        "retry_after": None,
        "resume": {},
    }
    assert complaint.resume is not Complaint(timestamp="").resume


def test_it_cannot_be_changed_once_it_is_made() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Complaint(timestamp="").label = "prices"  # type: ignore[misc]
