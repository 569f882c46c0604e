"""Where the blocks of the documents run. Each module has a fixture `running`: the appliance that its blocks talk to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.e2e.chromium import chromium
from tests.e2e.documents.programs import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.e2e.running import Running


@pytest.fixture(scope="module")
def browser(running: Running) -> Iterator[Browser]:
    with chromium(running.certificate) as started:
        yield started


@pytest.fixture(params=["chromium", "node"])
def stage(
    request: pytest.FixtureRequest, browser: Browser, running: Running, tmp_path: Path
) -> Iterator[Stage]:
    """Node, and a page in headless Chromium."""
    with contextlib.ExitStack() as cleanup:
        yield Stage(
            engine=request.param,
            folder=tmp_path,
            browser=browser,
            certificate=running.certificate,
            cleanup=cleanup,
        )


@pytest.fixture(scope="session")
def websockets_13(root: Path) -> Path:
    """The folder with the release of `websockets` that the documents' Python was written for."""
    folder = root / "build" / "websockets-13"
    if not (folder / ".installed").exists():
        pytest.fail(
            "build/websockets-13 is not there: run `make build/websockets-13/.installed`", pytrace=False
        )
    return folder
