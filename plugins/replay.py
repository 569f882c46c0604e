"""The source `replay`: a tape is played to the channels that name it, at its own times or as many times as fast.

Must not know which channels those are: one that no plugin registers is a log of its events on the tape.
"""

from __future__ import annotations

from appliance.api import Channel, Mode, Source, hookimpl
from appliance.sources.tapes.replay import Replay
from appliance.sources.tapes.settings import ReplaySettings


@hookimpl
def register_sources() -> tuple[Source, ...]:
    channel = Channel(name="tape", mode=Mode.LOG, message="event", source="replay")
    return (
        Source(kind="replay", open=Replay, Settings=ReplaySettings, topics_on_demand=True, channel=channel),
    )
