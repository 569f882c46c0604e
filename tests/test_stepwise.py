"""Trio step by step: what the state machines that use it take for granted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.stepwise import Stepwise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextlib.asynccontextmanager
async def breaking_after(seconds: float, left: list[str]) -> AsyncIterator[str]:
    async def broken() -> None:
        await trio.sleep(seconds)
        raise LookupError("of a task")

    try:
        async with trio.open_nursery() as nursery:  # ends with the block
            nursery.start_soon(broken)
            yield "entered"
            nursery.cancel_scope.cancel()
    finally:
        left.append("left")


async def settled() -> float:
    await trio.testing.wait_all_tasks_blocked()
    return trio.current_time()


@pytest.fixture
def left() -> list[str]:
    return []


@pytest.fixture
def steps(left: list[str]) -> Iterator[Stepwise[str]]:
    steps = Stepwise(breaking_after(5, left))
    assert steps.entered == "entered"
    steps.do(settled)
    yield steps
    steps.stop()
    assert left == ["left"]


def test_time_moves_when_it_is_moved_and_what_was_entered_is_left(
    steps: Stepwise[str], left: list[str]
) -> None:
    before = steps.do(settled)
    steps.jump(3)
    assert steps.do(settled) == before + 3
    assert left == []
    steps.stop()
    assert left == ["left"]


def test_a_step_that_fails_is_its_own_and_the_next_is_taken(steps: Stepwise[str]) -> None:
    async def wrong() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("of a step")

    with pytest.raises(KeyError, match="of a step"):
        steps.do(wrong)
    assert steps.do(settled) >= 0


def test_a_task_that_fails_is_told_by_the_step_that_finds_it(steps: Stepwise[str], left: list[str]) -> None:
    steps.jump(6)
    with pytest.raises(ExceptionGroup) as caught:
        steps.do(settled)
    assert caught.group_contains(LookupError, match="of a task")
    assert left == ["left"]
