from __future__ import annotations

import pytest

from appliance.edge.surroundings import Ending


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (Ending(1008, "SLOW_CLIENT"), "SLOW_CLIENT"),
        (Ending(1012, "SERVER_RESTART", 1.26), "SERVER_RESTART retry_after=1.3"),
        (Ending(1012, "SERVER_RESTART", 0.0), "SERVER_RESTART retry_after=0.0"),
    ],
)
def test_the_reason_of_a_close_frame_says_when_to_come_back(ending: Ending, text: str) -> None:
    assert ending.text == text
