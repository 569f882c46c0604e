"""The steps from version to version: all of them or none."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from appliance.store import schema
from appliance.store.store import open_store
from tests.store.batches import batch, contents, records

if TYPE_CHECKING:
    from pathlib import Path


def version(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    return int(found)


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def connection() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def test_an_empty_file_takes_all_steps(connection: sqlite3.Connection) -> None:
    schema.migrate(connection, 0)
    assert version(connection) == schema.NEWEST == len(schema.STEPS)
    assert connection.execute("PRAGMA application_id").fetchone() == (schema.APPLICATION,)
    assert tables(connection) == {"head", "topics", "entries", "leftovers", "state"}


def test_an_older_file_takes_the_steps_that_it_lacks_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [1, 2]), note={"where": 1}))
    before = contents(store)
    store.close()

    def add_a_column(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE topics ADD COLUMN mode TEXT NOT NULL DEFAULT 'log'")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, add_a_column))
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    for _ in range(2):
        store = open_store(path, sync="full")
        assert contents(store) == before
        store.close()
    with sqlite3.connect(path) as connection:
        assert version(connection) == schema.NEWEST
        assert connection.execute("SELECT mode FROM topics").fetchall() == [("log",)]


def test_a_step_that_fails_leaves_the_file_as_it_was(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.migrate(connection, 0)
    before = tables(connection)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE another (name)")
        connection.execute("SELECT 1 FROM nowhere")

    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, fail))
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + 1)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        schema.migrate(connection, 1)
    assert not connection.in_transaction
    assert (tables(connection), version(connection)) == (before, 1)
