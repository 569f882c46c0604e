"""What all tests share."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOMEBODY = 12_345
"""A user that owns nothing else."""
BUSY = ("edge", "runtime", "plugins", "ops", "dialects", "house", "core", "access", "settings")
"""Folders of tests that wait for little, those with the longest files first: most others wait for processes."""
_BETWEEN = 3
"""One file of so many of these has its turn between those that wait."""


# What tests share says what it has found, as they do.
pytest.register_assert_rewrite(
    *(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir() if path.stem != "conftest")
)

# Until the tests begin, next to nothing of what is made can go.
gc.disable()

# Who starts the tests in the background has them ignore Ctrl-C, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Who has not said how to log gets plain tracebacks: rich takes a second over a long one.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# No test is of time: machines are shared. All else is hypothesis's own, which repeats itself where CI runs.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("appliance")
    group.addoption("--seeds", type=int, default=2, help="runs of the tests that kill at random instants")
    group.addoption(
        "--load-seconds", type=float, default=15.0, help="how long the tests of a steady load last"
    )
    group.addoption("--crowd", type=float, default=0.25, help="share of the clients that come back at once")
    group.addoption("--upgrades", type=int, default=2, help="upgrades in a row under load, two at least")
    group.addoption(
        "--examples", type=int, default=10, help="made-up requests of each kind, for each endpoint"
    )
    group.addoption("--attack-seconds", type=float, default=1.5, help="how long attacks of a kind last")
    group.addoption("--cases", type=int, default=150, help="cases of each property that is fuzzed")
    group.addoption("--first-seed", type=int, default=1, help="seed of the first of those runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that wait, several at once, and some of the others between them, so that somebody always
    works; and end with the many that are soon done.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    folders = {path: path.relative_to(ROOT / "tests").parts[0] for path in files}
    busy = sorted(
        (path for path in files if folders[path] in BUSY), key=lambda path: BUSY.index(folders[path])
    )
    waiting = [path for path in files if folders[path] not in BUSY]
    order = [(place / len(waiting), path) for place, path in enumerate(waiting)]
    order += [(_BETWEEN * place / len(busy), path) for place, path in enumerate(busy)]
    items[:] = [item for _, path in sorted(order) for item in files[path]]


def pytest_collection_finish() -> None:
    """Leave what is there before the first test out of every collection of garbage, which takes longer than many tests,
    and look for it less often than after each few hundred objects.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def zipapp(root: Path) -> Path:
    """The built file, as an operator has it."""
    built = root / "dist" / "appliance.pyz"
    if not built.exists():
        pytest.fail("dist/appliance.pyz is not there: run `make pyz`", pytrace=False)
    return built


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """A plugin's code that runs on behind a test slows all that follow down, a hundredfold where they use SQLite."""
    yield
    latest = time.monotonic() + 10
    while left := [thread for thread in threading.enumerate() if thread.name == "plugin"]:
        assert time.monotonic() < latest, f"runs on: {left}"
        time.sleep(0.01)


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A folder of a user whom permissions stop: a test that root runs is that user for as long as it lasts."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, SOMEBODY, -1)
        os.seteuid(SOMEBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)
        shutil.rmtree(folder)
