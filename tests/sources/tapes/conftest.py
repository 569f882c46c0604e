"""A disk that is full while a test wants it to be."""

from __future__ import annotations

import resource
import signal
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 4096


@attrs.frozen
class Disk:
    """While it is full, files of this process cannot grow beyond `LARGEST` bytes."""

    limits: tuple[int, int]

    def fill(self, largest: int = LARGEST) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self.limits[1]))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk(resource.getrlimit(resource.RLIMIT_FSIZE))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield disk
    finally:
        disk.clear()
        signal.signal(signal.SIGXFSZ, before)
