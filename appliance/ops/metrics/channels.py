"""The metrics of channels: what comes from producers and applications, and how fresh it is.

Must not know the other metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.core.conduct import Offence
from appliance.ops.metrics.family import counter, gauge
from appliance.runtime.intake import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.ops.metrics.family import Labelled
    from appliance.ops.metrics.instruments import Reading
    from appliance.runtime.status import Health

STANDINGS: Final = ("loaded", "refused", "incomplete", "quarantined")


def _channels(value: Callable[[Health], float | None]) -> Callable[[Reading], Labelled]:
    """Read a value of each channel that has one."""

    def read(at: Reading) -> Labelled:
        found = {(name,): value(health) for name, health in at.instruments.status.health.items()}
        return {labels: number for labels, number in found.items() if number is not None}

    return read


def _source_time(health: Health) -> float | None:
    return None if health.last_update is None or health.lag is None else health.last_update - health.lag


def _offences(at: Reading) -> Labelled:
    return {
        (name, offence.name.lower()): health.offences[offence]
        for name, health in at.instruments.status.health.items()
        for offence in Offence
    }


def _topics(at: Reading) -> Labelled:
    return {(name,): topics for name, topics in at.instruments.hub.sizes().items()}


def _submissions(at: Reading) -> Labelled:
    return {(outcome.value,): at.instruments.intake.outcomes[outcome] for outcome in Outcome}


def _plugins(at: Reading) -> Labelled:
    states = [plugin.state for plugin in at.instruments.plugins()]
    return {(standing,): states.count(standing) for standing in STANDINGS}


CHANNELS: Final = (
    gauge(
        "appliance_channel_healthy",
        "1 while the producer runs, has not failed since its last event, and the channel is not stale",
        _channels(lambda health: health.healthy),
        "channel",
    ),
    gauge(
        "appliance_channel_stale",
        "1 while the channel has published nothing for longer than its `stale_after`",
        _channels(lambda health: health.stale),
        "channel",
    ),
    gauge(
        "appliance_channel_quarantined",
        "1 when the producer was ended for its conduct; it starts again when its file changes, or with the appliance",
        _channels(lambda health: health.quarantined is not None),
        "channel",
    ),
    counter(
        "appliance_channel_events_total",
        "Events published; begins anew when the channel's plugin or table changes, as do the other counts by channel",
        _channels(lambda health: health.events),
        "channel",
    ),
    counter(
        "appliance_channel_refused_rows_total",
        "Rows of the producer that the channel could not take",
        _channels(lambda health: health.refused),
        "channel",
    ),
    gauge(
        "appliance_channel_received_timestamp_seconds",
        "When the newest event came here, in seconds since 1970; absent before the first one",
        _channels(lambda health: health.last_update),
        "channel",
    ),
    gauge(
        "appliance_channel_source_timestamp_seconds",
        "The source's own time of the newest event, in seconds since 1970; absent before the first one",
        _channels(_source_time),
        "channel",
    ),
    gauge(
        "appliance_channel_lag_seconds",
        "How long after its source's own time the newest event came here; absent before the first one",
        _channels(lambda health: health.lag),
        "channel",
    ),
    gauge(
        "appliance_channel_topics",
        "Topics of a channel, with those that clients have asked for and that have no event yet",
        _topics,
        "channel",
    ),
    gauge(
        "appliance_channel_topics_limit",
        "Most topics of one channel (`limits.topics`)",
        lambda at: at.settings.limits.topics,
    ),
    gauge(
        "appliance_views",
        "Topics as they are shown under a mask, a filter or a rate, of which each is made once for all who see it so",
        lambda at: len(at.instruments.hub.gallery),
    ),
    counter(
        "appliance_views_refused_total",
        "Times that a topic was not shown in one more way (`limits.views`)",
        lambda at: at.instruments.hub.gallery.refused,
    ),
    counter(
        "appliance_producer_failures_total",
        "Times that the producer failed or returned",
        _channels(lambda health: health.errors),
        "channel",
    ),
    counter(
        "appliance_producer_restarts_total",
        "Times that the producer was started again",
        _channels(lambda health: health.recovery_attempts),
        "channel",
    ),
    counter(
        "appliance_producer_offences_total",
        "What the producer did to others: `blocks` the loop, `floods`, `lingers` when it is to stop, `is_silent` for"
        " too long",
        _offences,
        "channel",
        "offence",
    ),
    gauge(
        "appliance_producer_threads",
        "Threads in use by the blocking code of producers",
        lambda at: at.instruments.threads.borrowed_tokens,
    ),
    gauge(
        "appliance_producer_threads_limit",
        "Most threads for the blocking code of producers (`producers.threads`); what comes past it waits",
        lambda at: at.instruments.threads.total_tokens,
    ),
    gauge(
        "appliance_plugins",
        "Plugins by how they fare: `loaded`, `refused`, `incomplete` or `quarantined`",
        _plugins,
        "state",
    ),
    counter(
        "appliance_publish_requests_total",
        "What applications and plugins sent to be published: `accepted`, `repeated` (accepted before, under the same"
        " idempotency key) or `refused`; who showed no good key, or what could not be read, is among the errors alone",
        _submissions,
        "outcome",
    ),
    counter(
        "appliance_publish_events_total",
        "Events of the requests to publish that were accepted",
        lambda at: at.instruments.intake.events,
    ),
)
