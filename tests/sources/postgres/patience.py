"""Waiting for what nobody tells of, such as the state of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN = 60.0


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(WITHIN):
        while not condition():  # noqa: ASYNC110 - nothing would set an event
            await trio.sleep(0.005)
