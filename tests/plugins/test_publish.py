from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from appliance.api import Answering, Channel, Mode, NoSettings
from appliance.testing import RecordingFeed
from tests.plugins.built_in import catalogue

if TYPE_CHECKING:
    from trio.testing import MockClock

ALERTS = Channel(name="alerts", mode=Mode.LOG, message="alert", source="publish")


async def test_it_is_there_until_it_is_cancelled_and_publishes_nothing(autojump_clock: MockClock) -> None:
    rows = catalogue().sources["publish"].open(NoSettings())
    feed = RecordingFeed(ALERTS)
    with trio.move_on_after(86_400) as day:
        await rows.produce(feed, NoSettings())
    assert day.cancelled_caught
    assert autojump_clock.current_time() == 86_400
    assert (feed.events, feed.declared) == ([], [])


def test_topics_of_published_rows_are_read_before_there_are_any() -> None:
    assert catalogue().sources["publish"].topics_on_demand


def test_a_channel_that_nobody_registers_is_a_log_of_events() -> None:
    made = catalogue().sources["publish"].channel
    assert made is not None
    assert (made.mode, made.message, made.schema, made.history.durable) == (Mode.LOG, "event", None, False)


def test_what_applications_send_cannot_be_made_for_them() -> None:
    assert not isinstance(catalogue().sources["publish"].open(NoSettings()), Answering)
