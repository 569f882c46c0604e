"""The plugin as authors have it: a plain pytest in a folder, beside an installed appliance."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.authoring import PATIENCE, PLAIN, install, run_pytest
from tests.e2e import running

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
from appliance.api import Channel, Mode, hookimpl

async def produce(feed, settings):
    async for beat in feed.every(60):
        await feed.publish({"fee": beat}, key="BTC")

CHANNEL = Channel(name="fees", mode=Mode.STATE, message="fee_update", produce=produce)

@hookimpl
def register_channels():
    return [CHANNEL]
"""
FIVE_LINES = """
import fees
from appliance.testing import record

async def test_there_is_a_fee_a_minute(jumping_clock):
    events = await record(fees.CHANNEL, seconds=86_400)
    assert [event.data["fee"] for event in events] == list(range(1440))
"""


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fees.py").write_text(PLUGIN)
    (tmp_path / "test_fees.py").write_text(FIVE_LINES)
    return tmp_path


def test_five_lines_test_a_producer_for_a_day(folder: Path, installed: Path) -> None:
    done = run_pytest(folder, "-W", "error", "--strict-markers", path=installed)
    assert done.status == 0, done.output
    assert "1 passed" in done.output


def test_a_producer_that_does_wrong_fails_its_test(folder: Path, installed: Path) -> None:
    (folder / "fees.py").write_text(PLUGIN.replace("feed.every(60)", "feed.every(30)"))
    done = run_pytest(folder, path=installed)
    assert done.status == 1
    assert "1 failed" in done.output


def test_what_a_producer_raises_is_shown_with_its_line(folder: Path, installed: Path) -> None:
    (folder / "fees.py").write_text(PLUGIN.replace('{"fee": beat}', '{"fee": beat / 0}'))
    done = run_pytest(folder, path=installed)
    assert done.status == 1
    assert 'fees.py", line 6, in produce' in done.output
    assert "ZeroDivisionError" in done.output


def test_other_tests_are_left_as_they_are(folder: Path, installed: Path) -> None:
    (folder / "test_fees.py").write_text(
        "def test_one_that_waits_for_nothing(jumping_clock):\n    assert jumping_clock.current_time() == 0\n\n"
        "def test_a_mark(request):\n    assert request.node.get_closest_marker('trio') is None\n\n"
        "async def test_of_another_library():\n    raise AssertionError\n"
    )
    done = run_pytest(folder, path=installed)
    assert "2 passed" in done.output
    assert "async def functions are not natively supported" in done.output


@pytest.mark.parametrize("setting", ["trio_mode = true", "trio_mode = false"])
def test_it_goes_with_the_settings_of_pytest_trio(folder: Path, installed: Path, setting: str) -> None:
    (folder / "pytest.ini").write_text(f"[pytest]\n{setting}\n")
    done = run_pytest(folder, path=installed)
    assert done.status == 0, done.output


def test_without_pytest_trio_one_is_told_to_install_it(folder: Path, installed: Path) -> None:
    done = run_pytest(folder, "-p", "no:trio", path=installed)
    assert done.status == 1
    assert f"install it with `{sys.executable} -m pip install pytest-trio`" in done.output


def test_a_checkout_has_it_by_its_name(folder: Path, root: Path) -> None:
    done = run_pytest(folder, "-p", "appliance.pytest_plugin", path=root)
    assert done.status == 0, done.output


def test_the_zipapp_has_it_too(folder: Path, zipapp: Path) -> None:
    """Its packages come before those of the Python that has pytest."""
    done = subprocess.run(
        [sys.executable, zipapp, "-m", "pytest", *PLAIN],
        cwd=folder,
        env=running.surroundings(zipapp, {"SHIV_INTERPRETER": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert "1 passed" in done.stdout.splitlines()[-1], done.stdout
