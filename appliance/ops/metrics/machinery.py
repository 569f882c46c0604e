"""The metrics of the appliance itself: its build, its readiness, its loop, its certificate, its store.

Must not know the other metrics.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from appliance import __version__
from appliance.ops.metrics.family import gauge, histogram, info

if TYPE_CHECKING:
    from appliance.ops.metrics.family import Labelled
    from appliance.ops.metrics.instruments import Reading

MODES: Final = ("disk", "memory", "none")


def _mode(at: Reading) -> Labelled:
    mode = "none" if not at.store["channels"] else "disk" if at.store["is_healthy"] else "memory"
    return {(name,): name == mode for name in MODES}


MACHINERY: Final = (
    info(
        "appliance_build_info",
        "1, with the version of the appliance and that of its Python",
        lambda _: {(__version__, platform.python_version()): 1},
        "version",
        "python",
    ),
    gauge(
        "appliance_ready",
        "1 while `/ready` answers 200",
        lambda at: at.instruments.readiness().able,
    ),
    histogram(
        "appliance_loop_delay_seconds",
        "How late the event loop gives a turn that was asked for; it is asked 20 times a second",
        lambda at: at.instruments.watchman.delays,
    ),
    gauge(
        "appliance_certificate_expiry_timestamp_seconds",
        "When the certificate that is served ends, in seconds since 1970; absent without a `tls://` listener",
        lambda at: at.instruments.certificate(),
    ),
    gauge(
        "appliance_store_mode",
        "1 for what is so: durable channels are kept on `disk`, or only in `memory` although they should be, or there"
        " are `none`",
        _mode,
        "mode",
    ),
    gauge(
        "appliance_store_kept_events",
        "Number of the newest event that was ever kept",
        lambda at: at.store["kept"],
    ),
    gauge(
        "appliance_store_waiting_events",
        "Events that wait to be kept before anybody is told of them",
        lambda at: at.store["waiting"],
    ),
    gauge(
        "appliance_store_waiting_events_limit",
        "Most events that wait to be kept, before publishers are made to wait (`store.waiting`)",
        lambda at: at.settings.store.waiting,
    ),
    gauge(
        "appliance_store_behind_events",
        "Events that clients were told while nothing could be kept, and that are still to be",
        lambda at: at.store["behind"],
    ),
    histogram(
        "appliance_store_write_seconds",
        "Time that it takes to keep a batch of events, with the flush to disk",
        lambda at: at.instruments.journal.writes,
    ),
    gauge(
        "appliance_store_file_bytes",
        "Size of the store's file; absent without a store",
        lambda at: None if at.files is None else at.files[0],
    ),
    gauge(
        "appliance_store_log_bytes",
        "Size of the store's write-ahead log, which a checkpoint moves to the file and begins anew; absent without a"
        " store",
        lambda at: None if at.files is None else at.files[1],
    ),
)
