"""The source `postgres`: tables, views and queries of a PostgreSQL or TimescaleDB, each followed as a channel.

Must not know which channels those are: one that no plugin registers is a log of the rows of its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.api import Channel, Mode, Source, hookimpl
from appliance.sources.postgres.settings import PostgresSettings, TableSettings

if TYPE_CHECKING:
    from appliance.sources.postgres.source import Postgres


def _open(settings: PostgresSettings) -> Postgres:
    from appliance.sources.postgres.source import Postgres  # noqa: PLC0415 - takes a while, and most have no such source

    return Postgres(settings)


@hookimpl
def register_sources() -> tuple[Source, ...]:
    return (
        Source(
            kind="postgres",
            open=_open,
            Settings=PostgresSettings,
            ChannelSettings=TableSettings,
            topics_on_demand=True,
            durable=True,
            channel=Channel(name="table", mode=Mode.LOG, message="event", source="postgres"),
        ),
    )
