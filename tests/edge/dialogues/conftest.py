"""What the tests of the conversations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.edge.stage import Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A server that asks for a key; in the end nobody is left on it."""
    async with playing(configuration()) as opened:
        yield opened
        await until(lambda: opened.around.admission.connections == 0)
        assert opened.around.sessions == set()
        assert len(opened.around.digests) == 0
