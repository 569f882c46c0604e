"""Databases to test against: one server that all share, and a fresh database of it for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Fresh


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """A server that all tests share, and that none stops."""
    with Database() as server:
        yield server


@pytest.fixture
def own_database() -> Iterator[Database]:
    """A server for one test, to stop, kill and start as it likes."""
    with Database() as server:
        yield server


@pytest.fixture
def fresh(database: Database) -> Iterator[Fresh]:
    """A database that no other test has used."""
    made = database.create()
    yield made
    made.drop()
