"""The source `publish`: the rows come from applications, which send them to `POST /api/v1/publish`.

Must not know who sends them, nor how they are let in.
"""

from __future__ import annotations

import trio

from appliance.api import Channel, Feed, Mode, Source, hookimpl


class Published:
    """Makes no rows of its own."""

    async def produce(self, feed: Feed, settings: object) -> None:  # noqa: ARG002 - the interface of all sources
        feed.ready()
        await trio.sleep_forever()


@hookimpl
def register_sources() -> tuple[Source, ...]:
    channel = Channel(name="published", mode=Mode.LOG, message="event", source="publish")
    return (Source(kind="publish", open=lambda _: Published(), topics_on_demand=True, channel=channel),)
