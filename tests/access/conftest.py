"""What the tests of this row need made once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from appliance.edge.certificates import ensure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def made_certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate in PEM form, as the appliance makes it for itself."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    made = ensure(folder, names=(), valid=86_400.0 * 30, renew_before=86_400.0, now=time.time())
    return made.certificate.read_bytes()
