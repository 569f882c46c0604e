"""Appliances to test against: one that the tests of a module share, and a way to start others.

None outlives its module: what goes on behind other tests takes their time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

from tests import installed
from tests.e2e import running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.asking import Loaded
    from tests.booted import Machine

MANY = ["BTC", "ETH", "SOL", "ADA", "AAPL", "MSFT", *(f"COIN{number}" for number in range(24))]
"""Symbols of the lively appliance."""


class Start(Protocol):
    def __call__(self, *arguments: str, **options: object) -> running.Running: ...


class Invoke(Protocol):
    def __call__(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def loaded(zipapp: Path) -> Iterator[Loaded]:
    """The built file, loaded once: behind that begin all appliances, but for those of tests that say `launched`."""
    with running.loaded(zipapp) as one:
        yield one


def loaded_for(request: pytest.FixtureRequest) -> Loaded | None:
    """What an appliance of this test, or of the tests of this module, begins behind: nothing, if it is `launched`."""
    if request.node.get_closest_marker("launched"):
        return None
    one: Loaded = request.getfixturevalue("loaded")
    return one


def starter(zipapp: Path, state: Path, started: list[running.Running], loaded: Loaded | None) -> Start:
    """Give a function that starts appliances on free ports and notes them."""

    def begin(*arguments: str, **options: object) -> running.Running:
        if "--listen" not in arguments and "--config" not in arguments:
            arguments = ("--listen", running.ANY_PORT, *arguments)
        one = running.start(zipapp, *arguments, **{"state": state, "loaded": loaded, **options})  # type: ignore[arg-type]
        started.append(one)
        return one

    return begin


@pytest.fixture(scope="module")
def appliance(
    request: pytest.FixtureRequest, zipapp: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[running.Running]:
    """The embedded default, but for its port, shared by a module's tests that leave it as it was."""
    state = tmp_path_factory.mktemp("state")
    started = running.start(zipapp, "--listen", running.ANY_PORT, state=state, loaded=loaded_for(request))
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="module")
def lively(
    request: pytest.FixtureRequest, zipapp: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[running.Running]:
    """More symbols than the default, four ticks a second, and modest demands on a high signal: much comes soon."""
    state = tmp_path_factory.mktemp("lively")
    options = (
        f"sources.simulated.symbols={MANY}",
        "sources.simulated.interval=250ms",
        "channels.signals.high=0.5",
        "status.every=1s",
    )
    settings = (word for option in options for word in ("--set", option))
    started = running.start(
        zipapp, "--listen", running.ANY_PORT, *settings, state=state, loaded=loaded_for(request)
    )
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(request: pytest.FixtureRequest, zipapp: Path, tmp_path: Path) -> Iterator[Start]:
    """Start appliances with a state folder of the test's own; they are gone when it ends."""
    started: list[running.Running] = []
    yield starter(zipapp, tmp_path / "state", started, loaded_for(request))
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def start_shared(
    request: pytest.FixtureRequest, zipapp: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Start appliances that the tests of a module share."""
    started: list[running.Running] = []
    yield starter(zipapp, tmp_path_factory.mktemp("shared") / "state", started, loaded_for(request))
    for one in started:
        one.kill()


@pytest.fixture
def invoke(zipapp: Path) -> Invoke:
    """Run a command of the built file to its end."""
    call: Callable[..., subprocess.CompletedProcess[str]] = partial(running.run, zipapp)
    return call


@pytest.fixture(scope="module")
def blocks() -> Mapping[str, str]:
    """The lines of docs/operations.md, by their marks."""
    return installed.blocks()


@pytest.fixture(scope="module")
def shared(zipapp: Path) -> Iterator[Machine]:
    """A booted machine on which the appliance is installed, for all tests of a module."""
    with installed.installed(zipapp) as machine:
        yield machine


@pytest.fixture
def machine(shared: Machine) -> Machine:
    """That machine, as it was when all was just installed."""
    installed.as_installed(shared)
    return shared


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured."""
    lines = [
        text
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, text in report.user_properties
        if name == "measured"
    ]
    if lines:
        terminalreporter.section("measured")
    for line in lines:
        terminalreporter.write_line(line)
