"""What is in a store is told, and so is everything that is not as it was written."""

from __future__ import annotations

import math
import random
import sqlite3
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.core.events import Entry
from appliance.core.kept import Batch, Record
from appliance.store import inspection, schema, sweeping
from appliance.store.inspection import MOST_NOTES, Findings, inspect
from appliance.store.store import open_store
from tests.store.batches import batch, records

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two channels: of five events of price:A, two are let go of."""
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(
        batch(
            records("price:A", range(1, 6), body=b"12345"),
            records("price:B", range(1, 151), number=6, body=b"b" * 200),
            note={"where": 1, "seen/1": 1, "seen/2/3": 2, "model\0a": 3, '["key","a"]': 4, "?": 5},
            firsts={"price:A": 3},
        )
    )
    store.write(batch(records("signals:a", [1], number=156, body=b"s" * 9_000)))
    store.close()
    return path


def look(path: Path) -> Findings:
    return inspect(path, tell=lambda _: None)


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_what_is_good_is_told_by_channel(path: Path) -> None:
    found = look(path)
    assert not found.flaws
    assert (found.file, found.size, found.free, found.version) == (
        path,
        path.stat().st_size,
        0,
        schema.NEWEST,
    )
    assert list(found.channels) == ["price", "signals"]
    price, signals = found.channels.values()
    assert (price.topics, price.events, price.size) == (2, 153, 3 * 5 + 150 * 200)
    assert (price.oldest, price.newest) == (1.5, 1.5)
    assert price.notes == {"where": 1, "seen": 2, "model": 1, "key": 1, "…": 1}
    assert (signals.topics, signals.events, signals.size, signals.notes) == (1, 1, 9_000, {})


def test_an_empty_one_is_good(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path, sync="full").close()
    found = look(path)
    assert not found.flaws
    assert found.channels == {}


def test_times_are_those_of_the_source_where_it_gave_any(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    for number, at in enumerate((7.5, math.nan, 3.25, 5.0), 1):
        store.write(
            Batch(records=[Record("price", "price:A", "e1", Entry(number, at, 99.0, b"{}", number=number))])
        )
    store.close()
    (contents,) = look(path).channels.values()
    assert (contents.oldest, contents.newest) == (3.25, 7.5)


def test_notes_are_told_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(note={f"note{place:03}": place for place in range(MOST_NOTES + 5)}))
    store.close()
    (contents,) = look(path).channels.values()
    assert len(contents.notes) == MOST_NOTES + 1
    assert contents.notes["…"] == 5
    assert (contents.topics, contents.events) == (0, 0)


def test_it_tells_how_far_it_has_come(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_AT_ONCE", 10)
    told: list[int] = []
    inspect(path, tell=told.append)
    assert sum(told) == 154
    assert max(told) == 10


def test_what_is_not_deleted_yet_is_no_flaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "MOST_ROWS", 10)
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", range(1, 101)), records("signals:a", range(1, 101), number=101)))
    store.write(batch(firsts={"price:A": 91}))
    store.forget("signals")
    store.close()
    found = look(path)
    assert found.flaws.told == ()
    assert {name: each.events for name, each in found.channels.items()} == {"price": 10}


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("DELETE FROM entries WHERE offset = 4", "event 4 of price:A is missing"),
        ("DELETE FROM entries WHERE topic = 1 AND offset >= 4", "events 4 to 5 of price:A are missing"),
        ("DELETE FROM entries WHERE topic = 1", "events 3 to 5 of price:A are missing"),
        ("DELETE FROM entries WHERE topic = 3", "event 1 of signals:a is missing"),
        ("UPDATE topics SET last = 6 WHERE id = 1", "event 6 of price:A is missing"),
        ("UPDATE topics SET last = 4 WHERE id = 1", "price:A has events up to 5, and its last is 4"),
        ("UPDATE topics SET gone = 9 WHERE id = 1", "topic 'price:A' is not as it was written"),
        ("UPDATE topics SET epoch = x'00' WHERE id = 1", "topic 'price:A' is not as it was written"),
        ("UPDATE entries SET body = x'00' WHERE topic = 1 AND offset = 4", "event 4 of price:A is not as it was"),
        ("UPDATE entries SET body = 'text' WHERE topic = 1 AND offset = 4", "event 4 of price:A is not as it was"),
        ("UPDATE entries SET checksum = 1 WHERE topic = 1 AND offset = 4", "event 4 of price:A is not as it was"),
        ("UPDATE entries SET received = 'x' WHERE topic = 1 AND offset = 4", "event 4 of price:A is not as it"),
        ("UPDATE entries SET at = x'00' WHERE topic = 1 AND offset = 4", "event 4 of price:A is not as it was"),
        ("UPDATE entries SET number = 5 WHERE topic = 1 AND offset = 4", "event 5 of price:A has the number 5"),
        ("UPDATE entries SET number = 999 WHERE topic = 1 AND offset = 5", "event 5 of price:A has the number 999"),
        ("UPDATE head SET number = 155", "event 1 of signals:a has the number 156, out of its order"),
        ("UPDATE head SET identity = ''", "its head is not as it was written: 1 rows"),
        ("DELETE FROM head", "its head is not as it was written: 0 rows"),
        ("INSERT INTO head SELECT * FROM head", "its head is not as it was written: 2 rows"),
        ("DELETE FROM topics WHERE id = 3", "1 events are left over that nothing deletes"),
        ("UPDATE topics SET gone = 4 WHERE id = 1", "2 events are left over that nothing deletes"),
        ("UPDATE state SET value = '{' WHERE name = 'where'", "the note 'where' of channel price is not as it was"),
        ("UPDATE state SET value = x'00' WHERE name = 'where'", "the note 'where' of channel price is not as it"),
        ("DROP TABLE leftovers", "what was let go of cannot be read (no such table: leftovers)"),
        ("DROP TABLE entries", "topic price:A cannot be read (no such table: entries)"),
        ("DROP TABLE topics", "its topics cannot be read (no such table: topics)"),
        ("DROP TABLE state", "what producers noted cannot be read (no such table: state)"),
        ("DROP TABLE head", "its head cannot be read (no such table: head)"),
        ("UPDATE topics SET name = CAST(x'ff' AS TEXT) WHERE id = 1", "its topics cannot be read (Could not decode"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(path: Path, statement: str, flaw: str) -> None:
    change(path, statement)
    told = look(path).flaws.told
    assert [each for each in told if each.startswith(flaw)], told


def test_all_that_is_wrong_is_told_and_what_is_right_is_counted(path: Path) -> None:
    change(
        path,
        "DELETE FROM entries WHERE topic = 1 AND offset = 3",
        "UPDATE entries SET body = x'00' WHERE topic = 2 AND offset = 7",
        "DELETE FROM head",
    )
    found = look(path)
    # Without a head no number is known to be right.
    assert found.flaws.told[0] == "its head is not as it was written: 0 rows"
    assert "event 3 of price:A is missing" in found.flaws.told
    assert "event 7 of price:B is not as it was written" in found.flaws.told
    assert found.flaws.more > 0
    assert set(found.channels) == {"price", "signals"}


def test_a_hole_in_a_topic_does_not_hide_what_is_behind(path: Path) -> None:
    change(path, "DELETE FROM entries WHERE topic = 2 AND offset IN (10, 20, 21)")
    found = look(path)
    assert found.flaws.told == ("event 10 of price:B is missing", "events 20 to 21 of price:B are missing")
    assert found.channels["price"].events == 150


@pytest.mark.parametrize("fill", [b"\0" * PAGE, b"\xff" * PAGE, random.Random(2).randbytes(PAGE)])
def test_each_damaged_page_is_found(path: Path, fill: bytes) -> None:
    whole = path.read_bytes()
    unused = 0
    for place in range(PAGE, len(whole), PAGE):
        path.write_bytes(whole[:place] + fill + whole[place + PAGE :])
        found = look(path)
        unused += not found.flaws
    assert unused == 0
    path.write_bytes(fill + whole[PAGE:])  # what says what it is
    try:
        assert look(path).flaws
    except StoreError as error:
        assert "empty" in str(error) or "another application" in str(error)  # noqa: PT017 - some do not raise


def test_one_flipped_bit_of_an_event_is_found(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"s" * 1_000) + 500] ^= 1
    path.write_bytes(whole)
    assert look(path).flaws.told == ("event 1 of signals:a is not as it was written",)


def test_a_file_that_is_cut_off_is_found(path: Path) -> None:
    whole = path.read_bytes()
    for size in (*range(PAGE, len(whole), PAGE), len(whole) - 1):
        path.write_bytes(whole[:size])
        assert look(path).flaws, size


def test_a_file_of_anything_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(random.Random(1).randbytes(3 * PAGE))
    found = look(path)
    assert found.flaws.told == ("file is not a database",)
    assert (found.version, found.channels, found.size) == (None, {}, 3 * PAGE)


def test_one_that_cannot_be_looked_at_is_no_finding(path: Path) -> None:
    store = open_store(path, sync="full")
    with pytest.raises(StoreError, match="open in another process"):
        look(path)
    store.close()
