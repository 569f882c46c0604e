"""Appliances to test against: one that all share, and a way to start others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from tests.e2e import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Start(Protocol):
    def __call__(self, *arguments: str, **options: object) -> running.Running: ...


@pytest.fixture(scope="session")
def appliance(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Running]:
    """The embedded default, but for its port, shared by all tests that leave it as it was."""
    state = tmp_path_factory.mktemp("state")
    started = running.start(zipapp, state, "--listen", f"tls://127.0.0.1:{running.free_port()}")
    yield started
    assert started.stop() == 0


@pytest.fixture
def start(zipapp: Path, tmp_path: Path) -> Iterator[Start]:
    """Start appliances with a state folder of the test's own; they are gone when it ends."""
    started: list[running.Running] = []

    def begin(*arguments: str, **options: object) -> running.Running:
        if "--listen" not in arguments and "--config" not in arguments:
            arguments = ("--listen", f"tls://127.0.0.1:{running.free_port()}", *arguments)
        one = running.start(zipapp, tmp_path / "state", *arguments, **options)  # type: ignore[arg-type]
        started.append(one)
        return one

    yield begin
    for one in started:
        one.kill()
