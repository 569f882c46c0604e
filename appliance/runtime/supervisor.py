"""The supervisor: runs each channel's producer, contains its failures and starts it again.

Must not know what a producer does, nor where its rows come from.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import attrs
import trio

from appliance.core.backoff import Backoff
from appliance.core.errors import SourceError, StoreError
from appliance.runtime.watchman import BlockedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.runtime.status import Health


@attrs.frozen
class Producer:
    """What a supervisor runs: `produce` for as long as it lasts."""

    channel: str
    produce: Callable[[], Awaitable[None]]
    health: Health
    log: Any


async def supervise(
    producer: Producer,
    *,
    first: float,
    most: float,
    calm: float,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a producer until cancelled. One that returns or raises is started again, later each time."""
    backoff = Backoff(first, most)
    health = producer.health
    task_status.started()
    while True:
        started = trio.current_time()
        health.started_at = time.time()
        health.running = True
        await _attempt(producer)
        health.running = False
        if trio.current_time() - started >= calm:
            backoff.reset()
        wait = backoff.next(random.random())  # noqa: S311 - jitter, not a secret
        producer.log.warning("producer restarts", wait=round(wait, 3), attempt=backoff.failures)
        await trio.sleep(wait)
        health.recovery_attempts += 1


async def _attempt(producer: Producer) -> None:
    health = producer.health
    try:
        await producer.produce()
    except* (Exception, SystemExit, BlockedError) as group:
        # Whatever a plugin raises stays its own trouble; cancellation is no Exception and passes.
        errors = leaves(group)
        first = errors[0]
        if all(isinstance(error, (SourceError, StoreError)) for error in errors):
            # It is not the producer's fault: the message says what is to be done, and no traceback does.
            health.last_error = str(first)
            producer.log.error("producer failed", error=health.last_error)  # noqa: TRY400 - as said
        else:
            health.last_error = f"{type(first).__name__}: {first}"
            producer.log.exception(
                "producer failed",
                error=health.last_error,
                remedy="correct it where the traceback ends; it is started again by itself",
                exc_info=group,
            )
    else:
        health.last_error = "the producer returned"
        producer.log.error("producer returned", remedy="produce must run until it is cancelled")
    health.errors += 1
    health.failing = True


def leaves(error: BaseException) -> list[BaseException]:
    """Give the errors of a group, whatever groups they are in."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for part in error.exceptions for leaf in leaves(part)]
