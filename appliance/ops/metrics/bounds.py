"""The metrics of limits: how often each was hit, what gathers for clients, and how short memory is.

Must not know the other metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.ops.metrics.family import counter, gauge
from appliance.settings.limits import COUNTED

if TYPE_CHECKING:
    from appliance.ops.metrics.family import Labelled
    from appliance.ops.metrics.instruments import Reading


def _hits(at: Reading) -> Labelled:
    """Give all limits from the start, so that the first hit shows as an increase."""
    hits = dict.fromkeys(COUNTED, 0) | at.instruments.status.traffic.limits
    hits["stalled"] += at.instruments.flusher.dropped["stalled"]
    return {(limit,): count for limit, count in hits.items()}


BOUNDS: Final = (
    counter(
        "appliance_limit_hits_total",
        "How often clients came to a limit, by its setting: without a dot, one of `[limits]`",
        _hits,
        "limit",
    ),
    gauge(
        "appliance_addresses",
        "Addresses that have connections, by `limits.ipv4_prefix` and `limits.ipv6_prefix`",
        lambda at: at.instruments.addresses()[0],
    ),
    gauge(
        "appliance_address_connections_max",
        "Open connections of the address that has most of them (`limits.connections_per_address`)",
        lambda at: at.instruments.addresses()[1],
    ),
    gauge(
        "appliance_owed_bytes",
        "Bytes that are held for clients which do not take them; looked at each second",
        lambda at: at.instruments.relief.owed,
    ),
    gauge(
        "appliance_owed_bytes_max",
        "Bytes that are held for the one client that is owed most (`limits.owed_bytes`)",
        lambda at: at.instruments.relief.most_owed,
    ),
    gauge(
        "appliance_owed_bytes_limit",
        "Most bytes that are held for all clients together (`limits.owed_bytes_in_all`)",
        lambda at: at.settings.limits.owed_bytes_in_all,
    ),
    gauge(
        "appliance_memory_limit_bytes",
        "Memory of the process past which those are ended who are owed most (`limits.memory`); absent with `off`",
        lambda at: None if at.instruments.relief.memory is None else at.instruments.relief.memory.most,
    ),
    gauge(
        "appliance_memory_short",
        "1 while memory is short: nobody is let in, and `/ready` answers 503",
        lambda at: at.instruments.relief.pressed,
    ),
)
