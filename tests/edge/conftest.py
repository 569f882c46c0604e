"""What the tests of this row need made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.stage import contexts

if TYPE_CHECKING:
    import ssl
    from pathlib import Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the server's pair, which is made once."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def tls(certificates: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A TLS context of the server, and one of a client that trusts it."""
    return contexts(certificates)
