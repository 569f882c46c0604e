"""What all tests share."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
SOMEBODY = 12_345
"""A user that owns nothing else."""


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
