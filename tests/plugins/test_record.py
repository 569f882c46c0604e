from __future__ import annotations

from appliance.api import Mode, NoSettings
from appliance.sources.tapes.record import Record
from appliance.sources.tapes.settings import RecordSettings
from tests.plugins.built_in import catalogue


def test_it_registers_the_source() -> None:
    source = catalogue().sources["record"]
    assert source.ChannelSettings is RecordSettings
    assert isinstance(source.open(NoSettings()), Record)
    assert not source.durable


def test_its_channels_tell_how_recordings_go() -> None:
    channel = catalogue().sources["record"].channel
    assert channel is not None
    assert (channel.mode, channel.message, channel.source) == (Mode.STATE, "recording", "record")


def test_there_is_no_channel_that_records_unless_somebody_wants_one() -> None:
    assert [name for name, channel in catalogue().channels.items() if channel.source == "record"] == []
