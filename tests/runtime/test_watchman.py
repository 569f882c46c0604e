"""A loop that a plugin keeps to itself: what it does there ends, and nothing else does."""

from __future__ import annotations

import signal
import sys
import time
import types
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
from structlog.testing import capture_logs

from appliance.runtime.watchman import BlockedError, Watchman
from tests.edge.stage import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PATIENCE = 0.1

SOURCE = """
import time

def spin(call=None):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if call is not None:
            call()

def sleep():
    time.sleep(20)

def hide():
    try:
        spin()
    except Exception:
        spin()
"""


def is_plugin(module: str) -> bool:
    return module.startswith("appliance_plugins.")


@pytest.fixture
def plugin() -> Iterator[Any]:
    """A module as the loader makes it of a plugin's file."""
    module = types.ModuleType("appliance_plugins.0.busy")
    sys.modules[module.__name__] = module
    exec(compile(SOURCE, "/plugins/busy.py", "exec"), module.__dict__)  # noqa: S102 - the module of the test
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
async def watched() -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(Watchman(patience=lambda: PATIENCE, is_plugin=is_plugin).run)
        yield
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("does", ["spin", "sleep", "hide"])
async def test_what_blocks_is_interrupted_where_it_stands(plugin: Any, does: str, watched: None) -> None:  # noqa: ARG001 - it runs
    begun = time.monotonic()
    with pytest.raises(BlockedError, match=r"/plugins/busy\.py:\d+: kept the loop to itself for 0\.\d s"):
        getattr(plugin, does)()
    assert time.monotonic() - begun < 10
    await trio.sleep(2 * PATIENCE)


async def test_the_appliances_own_code_is_not_interrupted(plugin: Any, watched: None) -> None:  # noqa: ARG001 - it runs
    """A plugin that is within a call of ours is interrupted once it is out of it."""
    own = types.ModuleType("appliance.own")
    source = "import time\ndef work():\n    time.sleep(0.5)\n    done.append(1)\n"
    done: list[int] = []
    own.__dict__["done"] = done
    exec(compile(source, "own.py", "exec"), own.__dict__)  # noqa: S102 - the module of the test
    with pytest.raises(BlockedError):
        plugin.spin(own.work)
    assert done


async def test_who_waits_in_time_is_left_alone(watched: None) -> None:  # noqa: ARG001 - it runs
    for _ in range(10):
        time.sleep(PATIENCE / 3)  # noqa: ASYNC251 - it blocks, but not for long
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.06)


async def test_other_code_that_blocks_is_told_of_and_goes_on(watched: None) -> None:  # noqa: ARG001 - it runs
    await trio.sleep(0.2)  # on a busy machine, it may have stood still before
    with capture_logs() as log:
        end = time.monotonic() + 5 * PATIENCE
        while time.monotonic() < end:
            pass
        await trio.sleep(0.2)
    told, *_ = [line for line in log if line["event"] == "the loop stands still"]
    assert "test_watchman.py" in told["within"]


async def test_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGURG)
    async with trio.open_nursery() as nursery:  # ends at once
        await nursery.start(Watchman(patience=lambda: PATIENCE, is_plugin=is_plugin).run)
        assert signal.getsignal(signal.SIGURG) is not before
        nursery.cancel_scope.cancel()
    assert signal.getsignal(signal.SIGURG) is before


async def test_how_late_the_loop_is_is_measured() -> None:
    watchman = Watchman(patience=lambda: 60.0, is_plugin=is_plugin)
    async with trio.open_nursery() as nursery:  # ends with the test
        await nursery.start(watchman.run)
        await until(lambda: watchman.delays.count > 0)
        quiet = watchman.delays.count
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is held up
        await until(lambda: watchman.delays.count > quiet)
        nursery.cancel_scope.cancel()
    assert watchman.delays.longest >= 0.4
