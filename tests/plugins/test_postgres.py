from __future__ import annotations

from appliance.api import Mode
from appliance.sources.postgres.settings import PostgresSettings, TableSettings
from appliance.sources.postgres.source import Postgres
from tests.plugins.built_in import catalogue


def test_it_registers_the_source() -> None:
    source = catalogue().sources["postgres"]
    assert source.Settings is PostgresSettings
    assert source.ChannelSettings is TableSettings
    assert isinstance(source.open(PostgresSettings()), Postgres)


def test_its_channels_are_kept_and_any_topic_of_theirs_may_be_asked_for() -> None:
    source = catalogue().sources["postgres"]
    assert source.durable
    assert source.topics_on_demand


def test_a_channel_that_no_plugin_registers_is_a_log_of_rows() -> None:
    channel = catalogue().sources["postgres"].channel
    assert channel is not None
    assert (channel.mode, channel.message, channel.source) == (Mode.LOG, "event", "postgres")
    assert channel.schema is None
