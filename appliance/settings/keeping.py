"""What is kept of what was told: how much of each topic, and what of it on disk.

Must not know what the store does with it.
"""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, gt

from appliance.settings.fields import Bytes, Seconds, setting


@attrs.frozen(kw_only=True)
class HistorySettings:
    """What a topic keeps for clients that come back; what is not set is the channel's own choice."""

    count: int | None = setting(None, "Most events of one topic", ge(1))
    age: Seconds | Literal["none"] | None = setting(
        None, 'Oldest event kept; `"none"`: however old', gt(0), but="none"
    )
    bytes: Bytes | None = setting(None, "Most bytes of one topic", ge(1024))
    durable: bool | None = setting(
        None, "Whether it is kept on disk, over a restart; none: the channel's own choice, or its source's"
    )


@attrs.frozen(kw_only=True)
class StoreSettings:
    """The file `store.db` in the state folder, which keeps durable histories and where their sources go on."""

    sync: Literal["full", "normal"] = setting(
        "full",
        "What was told of is there again after a power failure (`full`), or only after a crash of the process"
        " (`normal`)",
    )
    required: bool = setting(
        default=False,
        doc="Whether not to start without it; otherwise streaming goes on in memory, as the log and the status say",
    )
    waiting: int = setting(
        100_000, "Events that may wait to be kept; past it, publishers are made to wait", ge(1), reloads=True
    )
