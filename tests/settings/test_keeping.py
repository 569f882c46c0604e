from __future__ import annotations

import pytest

from appliance.settings.fields import Seconds
from appliance.settings.keeping import HistorySettings, StoreSettings


def test_a_history_is_the_channels_own_choice_until_something_is_said() -> None:
    said = HistorySettings()
    assert (said.count, said.age, said.bytes, said.durable) == (None, None, None, None)


def test_a_bound_of_age_can_be_taken_away_and_no_other_word_says_so() -> None:
    assert HistorySettings(age="none").age == "none"
    with pytest.raises(ValueError, match="must be > 0"):
        HistorySettings(age=Seconds(0))


def test_what_was_told_of_outlives_a_power_failure_unless_it_is_said() -> None:
    assert StoreSettings().sync == "full"


def test_something_may_wait_to_be_kept() -> None:
    with pytest.raises(ValueError, match="must be >= 1"):
        StoreSettings(waiting=0)
