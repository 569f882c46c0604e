"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


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
