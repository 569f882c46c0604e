"""What the tests of this row need made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.stage import contexts

if TYPE_CHECKING:
    import ssl


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A TLS context of the server, and one of a client that trusts it."""
    return contexts(tmp_path_factory.mktemp("certificates"))
