from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.store.batches import folder_in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of the test's own, for thousands of commits."""
    folder = folder_in_memory()
    yield folder
    shutil.rmtree(folder)
