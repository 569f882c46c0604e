"""Trio that goes on step by step, and stands still between the steps, as does its time: for tests that are not async,
such as state machines.

In this thread: to wake another one takes longer than most steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio
import trio.testing
from greenlet import greenlet  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")
R = TypeVar("R")


class Stepwise(Generic[T]):
    """`inside` is entered before the first step and left by `stop`. What ends it is raised by the step that finds it
    ended.
    """

    def __init__(self, inside: AbstractAsyncContextManager[T]) -> None:
        self._clock = trio.testing.MockClock()
        self._run: Any = greenlet(lambda: trio.run(self._main, inside, clock=self._clock))
        self.entered: T = self._run.switch()

    def do(self, step: Callable[[], Awaitable[R]]) -> R:
        """Take a step, and give what comes of it."""
        assert not self._run.dead, "it has ended"
        result: R
        result, error = self._run.switch(step)
        if error is not None:
            raise error
        return result

    def jump(self, seconds: float) -> None:
        self._clock.jump(seconds)

    def stop(self) -> None:
        if not self._run.dead:
            self._run.switch(None)

    async def _main(self, inside: AbstractAsyncContextManager[T]) -> None:
        async with inside as entered:
            step = self._run.parent.switch(entered)
            while step is not None:
                step = self._run.parent.switch(await _taken(step))


async def _taken(step: Callable[[], Awaitable[R]]) -> tuple[R | None, Exception | None]:
    try:
        return await step(), None
    except Exception as error:  # noqa: BLE001 - it is raised where the step was taken
        return None, error
