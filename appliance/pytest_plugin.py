"""What pytest is given for authors of plugins: `jumping_clock`, on which an hour takes no time.

An async test that asks for it runs on Trio, by pytest-trio, without any setting. Must not know what is tested.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING

import pytest
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio.testing import MockClock

_CLOCK = "jumping_clock"
_RUNNER = "pytest_trio.plugin"


@pytest.fixture(name=_CLOCK)
def jumping_clock(pytestconfig: pytest.Config) -> MockClock:
    """The clock of a test: it jumps to what is next as soon as everything waits."""
    if not _has_runner(pytestconfig):
        pytest.fail(
            "jumping_clock needs pytest-trio, which pytest has not loaded: install it with "
            f"`{sys.executable} -m pip install pytest-trio`",
            pytrace=False,
        )
    return trio.testing.MockClock(autojump_threshold=0)


@pytest.hookimpl(tryfirst=True)  # before other plugins look for the mark
def pytest_collection_modifyitems(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    if not _has_runner(config):
        return
    asking = (item for item in items if isinstance(item, pytest.Function) and _CLOCK in item.fixturenames)
    for item in asking:
        if inspect.iscoroutinefunction(item.obj) and item.get_closest_marker("trio") is None:
            item.add_marker(pytest.mark.trio)


def _has_runner(config: pytest.Config) -> bool:
    return any(getattr(plugin, "__name__", "") == _RUNNER for plugin in config.pluginmanager.get_plugins())
