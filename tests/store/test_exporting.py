"""Events as lines of JSON: all that is wanted, in the order they came, and around what is damaged."""

from __future__ import annotations

import itertools
import json
import math
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import StoreError
from appliance.core.events import Entry
from appliance.core.kept import Batch, Record
from appliance.store import sweeping
from appliance.store.exporting import Selection, export
from appliance.store.flaws import Flaws
from appliance.store.store import open_store
from tests.store.batches import batch, records

if TYPE_CHECKING:
    from pathlib import Path

ALL = Selection()
PAGE = 4096
LEAF = 13
"""What a page begins with that holds rows."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Nine events that took turns in three topics; the number of an event is also its source time."""
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    topics = itertools.cycle(["price:A", "price:B", "signals:all"])
    for number, topic in zip(range(1, 10), topics, strict=False):
        entry = Entry((number + 2) // 3, float(number), 100.0 + number, b'{"n":%d}' % number, number=number)
        store.write(Batch(records=[Record(topic.partition(":")[0], topic, "e1", entry)]))
    store.close()
    return path


def lines(path: Path, selection: Selection = ALL, flaws: Flaws | None = None) -> list[bytes]:
    noted = Flaws()
    found = list(export(path, selection, noted if flaws is None else flaws, found=lambda _: None))
    assert noted.told == ()
    return found


def numbers(path: Path, selection: Selection = ALL, flaws: Flaws | None = None) -> list[int]:
    return [json.loads(line)["data"]["n"] for line in lines(path, selection, flaws)]


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_each_event_is_a_line_in_the_order_in_which_they_came(path: Path) -> None:
    found = lines(path)
    assert found[4] == (
        b'{"channel":"price","topic":"price:B","epoch":"e1","offset":2,"at":5.0,"received":105.0,"data":{"n":5}}\n'
    )
    assert [json.loads(line)["data"]["n"] for line in found] == list(range(1, 10))


def test_how_many_there_are_is_told_before_the_first(path: Path) -> None:
    told: list[int] = []
    given = export(path, ALL, Flaws(), found=told.append)
    next(given)
    assert told == [9]
    given.close()
    open_store(path, sync="full").close()  # one that was left early holds nothing back


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1.10,"b":1e3,"c":12345678901234567890.123456789}',
        b'{ "\\u00e9" : "\xc3\xa9\\/" }',
        b"null",
        b'""',
    ],
)
def test_data_is_byte_for_byte_as_it_was_kept(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(batch(records("price:A", [1], body=body)))
    store.close()
    (line,) = lines(path)
    assert line.endswith(b',"data":' + body + b"}\n")


def test_a_time_is_exact_and_one_that_is_none_is_null(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    times = [1_766_000_000.123456, 0.1 + 0.2, math.nan]
    for number, at in enumerate(times, 1):
        entry = Entry(number, at, at if at == at else 0.0, b"{}", number=number)  # noqa: PLR0124 - NaN is not itself
        store.write(Batch(records=[Record("price", "price:A", "e1", entry)]))
    store.close()
    found: list[dict[str, Any]] = [json.loads(line) for line in lines(path)]
    assert [line["at"] for line in found] == [*times[:2], None]
    assert [line["received"] for line in found] == [*times[:2], 0.0]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(patterns=("price:A",)), [1, 4, 7]),
        (Selection(patterns=("price:*",)), [1, 2, 4, 5, 7, 8]),
        (Selection(patterns=("price:A", "signals:*", "signals:all")), [1, 3, 4, 6, 7, 9]),
        (Selection(since=4.0), [4, 5, 6, 7, 8, 9]),
        (Selection(until=4.0), [1, 2, 3]),
        (Selection(patterns=("price:*",), since=2.0, until=7.5), [2, 4, 5, 7]),
        (Selection(since=50.0), []),
    ],
)
def test_only_what_is_wanted_is_given(path: Path, selection: Selection, expected: list[int]) -> None:
    assert numbers(path, selection) == expected


def test_an_event_without_a_time_is_in_no_stretch_of_it(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    store.write(Batch(records=[Record("price", "price:A", "e1", Entry(1, math.nan, 0.0, b"{}", number=1))]))
    store.close()
    assert len(lines(path)) == 1
    assert lines(path, Selection(since=0.0)) == []


@pytest.mark.parametrize("most", [0, 100], ids=["not deleted yet", "deleted"])
def test_what_was_let_go_of_is_not_given(path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(sweeping, "MOST_ROWS", most)
    store = open_store(path, sync="full")
    store.write(batch(firsts={"price:A": 3}))
    store.forget("signals")
    store.close()
    assert numbers(path) == [2, 5, 7, 8]


def test_a_pattern_that_covers_nothing_is_told(path: Path) -> None:
    flaws = Flaws()
    assert numbers(path, Selection(patterns=("prise:*", "price:B", "price:C")), flaws) == [2, 5, 8]
    assert flaws.told == ("prise:* covers no topic that is kept", "price:C covers no topic that is kept")


def test_a_store_without_events_gives_none(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    open_store(path, sync="full").close()
    flaws = Flaws()
    assert lines(path, ALL, flaws) == []
    assert not flaws


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = x'00' WHERE number = 5",
        "UPDATE entries SET body = 'text' WHERE number = 5",
        "UPDATE entries SET checksum = 5 WHERE number = 5",
    ],
)
def test_an_event_that_is_damaged_is_left_out_and_told(path: Path, statement: str) -> None:
    change(path, statement)
    flaws = Flaws()
    assert numbers(path, ALL, flaws) == [1, 2, 3, 4, 6, 7, 8, 9]
    assert flaws.told == ("event 2 of price:B is not as it was written",)


def test_a_name_that_is_damaged_hides_nothing(path: Path) -> None:
    change(path, "UPDATE topics SET name = CAST(x'70ff' AS TEXT) WHERE name = 'price:A'")
    found = [json.loads(line) for line in lines(path)]
    assert [line["data"]["n"] for line in found] == list(range(1, 10))
    assert {line["topic"] for line in found} == {"p\ufffd", "price:B", "signals:all"}


def test_what_a_damaged_page_leaves_is_given(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = open_store(path, sync="full")
    for place, (topic, size) in enumerate((("price:A", 500), ("price:B", 9_000), ("price:C", 500))):
        body = json.dumps({"x": "x" * size}).encode()
        store.write(batch(records(topic, range(1, 51), number=place * 50 + 1, body=body)))
    store.close()
    whole = path.read_bytes()
    everything, told = lines(path), 0
    for place in range(PAGE, len(whole), PAGE):
        path.write_bytes(whole[:place] + b"\xff" * PAGE + whole[place + PAGE :])
        flaws = Flaws()
        try:
            found = lines(path, ALL, flaws)
        except StoreError:  # where topics are listed, or what the tables are
            continue
        left = set(found)
        assert found == [line for line in everything if line in left]
        assert flaws or len(found) == len(everything)
        told += bool(flaws)
    assert told > 100


def test_a_damaged_page_costs_only_the_events_on_it(path: Path) -> None:
    store = open_store(path, sync="full")
    for number in range(10, 200):
        body = json.dumps({"n": number, "x": "x" * 900}).encode()
        store.write(batch(records("price:A", [number - 6], number=number, body=body)))
    store.close()
    before = numbers(path)
    whole = path.read_bytes()
    leaves = [place for place in range(0, len(whole), PAGE) if whole[place] == LEAF]
    damaged = next(place for place in leaves if b'{"n": 100,' in whole[place : place + PAGE])
    path.write_bytes(whole[:damaged] + b"\xff" * PAGE + whole[damaged + PAGE :])
    flaws = Flaws()
    found = numbers(path, ALL, flaws)
    lost = sorted(set(before) - set(found))
    assert found == [number for number in before if number not in lost]
    assert 100 in lost
    assert lost == list(range(lost[0], lost[0] + 4))
    assert [flaw.partition(" (")[0] for flaw in flaws.told] == [
        f"event {number - 6} of price:A cannot be read" for number in lost
    ]


def test_one_that_is_no_database_raises(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="is damaged"):
        lines(path)


def test_the_store_stays_as_it_is(path: Path) -> None:
    before = path.read_bytes()
    lines(path)
    assert path.read_bytes() == before
    assert {found.name for found in path.parent.glob("store.db*")} == {"store.db", "store.db-kept"}
