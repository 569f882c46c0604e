from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from appliance.core.errors import SettingsError
from appliance.settings.fields import Seconds
from appliance.settings.structure import fill
from appliance.sources.tapes.settings import RecordSettings, ReplaySettings

NOON = dt.datetime(2030, 1, 31, 12, tzinfo=dt.UTC)


def replay(**told: Any) -> ReplaySettings:
    return fill(ReplaySettings, {"file": "tape.jsonl.gz", **told})


def record(**told: Any) -> RecordSettings:
    return fill(RecordSettings, {"folder": "tapes", **told})


def test_a_tape_is_played_as_it_was_recorded_unless_something_is_said() -> None:
    settings = replay()
    assert (settings.speed, settings.start, settings.loop, settings.times) == (1.0, None, False, "original")


def test_what_is_said_is_taken() -> None:
    settings = replay(speed=60, start=NOON, loop=True, times="now", wait="10s")
    assert settings == ReplaySettings(
        file="tape.jsonl.gz", speed=60.0, start=NOON, loop=True, times="now", wait=Seconds(10)
    )
    assert replay(speed="max").speed == "max"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"file": ""}, "file"),
        ({"speed": 0}, "more than 0"),
        ({"speed": -1}, "speed"),
        ({"speed": "fast"}, "max"),
        ({"start": NOON.replace(tzinfo=None)}, "offset from UTC"),
        ({"times": "then"}, "original"),
        ({"wait": -1}, "wait"),
        ({"sped": 2}, "speed"),
    ],
)
def test_mistakes_in_a_replay_are_named(told: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        replay(**told)


def test_all_is_recorded_unless_something_is_said() -> None:
    assert record().topics == ("*",)
    assert record(topics=["price:*", "signals:high"]).topics == ("price:*", "signals:high")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"folder": ""}, "folder"),
        ({"topics": []}, "topics"),
        ({"topics": ["price"]}, "'price' is no channel: write `channel:key`"),
        ({"every": 0}, "every"),
    ],
)
def test_mistakes_in_a_recording_are_named(told: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        record(**told)
