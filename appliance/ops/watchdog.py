"""The watchdog's keeper: feeds it while all is well, and lets it bite when something is stuck for good.

Must not know what it looks at, nor who holds the watchdog. It runs in the event loop: one that stands still feeds
nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_log = structlog.get_logger()

_FEEDS: Final = 3
"""Meals in the time after which the watchdog bites: on a busy machine one may be late."""


async def keep(interval: float, feed: Callable[[], None], stuck: Callable[[], Iterable[str]]) -> None:
    """Feed every third of `interval`, in seconds, unless `stuck` names what no longer works."""
    hungry = False
    while True:
        found = list(stuck())
        if not found:
            feed()
        if found and not hungry:
            _log.error("the watchdog is not fed any more", stuck=found, remedy="systemd restarts the process")
        elif hungry and not found:
            _log.warning("the watchdog is fed again")
        hungry = bool(found)
        await trio.sleep(interval / _FEEDS)
