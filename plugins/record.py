"""The source `record`: a channel of it writes the events of other channels on a tape a day.

Must not know which channels those are. What the channel itself tells is how the recording goes.
"""

from __future__ import annotations

from appliance.api import Channel, Mode, Source, hookimpl
from appliance.sources.tapes.record import Record, Written
from appliance.sources.tapes.settings import RecordSettings


@hookimpl
def register_sources() -> tuple[Source, ...]:
    channel = Channel(name="tape", mode=Mode.STATE, message="recording", source="record", schema=Written)
    return (Source(kind="record", open=Record, ChannelSettings=RecordSettings, channel=channel),)
