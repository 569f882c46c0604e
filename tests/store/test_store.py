"""The store: what it was given, after a restart, and what it refuses."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from appliance.core.errors import StoreError
from appliance.core.events import Entry
from appliance.core.kept import Batch, Kept, Record
from appliance.store.store import Store, open_store
from tests.store.batches import batch, contents, offsets, records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LARGEST = 2**63 - 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path, sync="full")
    yield opened
    opened.close()


def again(store: Store, path: Path) -> Store:
    store.close()
    return open_store(path, sync="full")


def lives(store: Store, path: Path) -> Iterator[Store]:
    """The store, and then what a restart makes of it."""
    yield store
    reopened = again(store, path)
    yield reopened
    reopened.close()


def one(store: Store, topic: str = "price:A") -> Kept:
    (kept,) = (kept for kept in store.topics(topic.partition(":")[0]) if kept.topic == topic)
    return kept


def test_a_new_one_holds_nothing(store: Store) -> None:
    assert contents(store) == (0, {}, {"price": {}, "signals": {}})


def test_what_was_written_is_given_back_after_a_restart(store: Store, path: Path) -> None:
    first = Record("price", "price:A", "e1", Entry(1, 10.25, 11.5, b'{"a":1}', serial=77, number=1))
    second = Record("price", "price:B", "e2", Entry(1, 10.5, 11.5, b"{}", number=2))
    third = Record("price", "price:A", "e1", Entry(2, 10.75, 11.5, b'{"a":2}', number=3))
    store.write(Batch(records=[first, second, third], states={"price": {"where": ["2026", 7]}}))
    expected = [
        Kept("price:A", "e1", 2, [attrs.evolve(first.entry, serial=0), third.entry]),
        Kept("price:B", "e2", 1, [second.entry]),
    ]
    for opened in lives(store, path):
        assert opened.number == 3
        assert opened.topics("price") == expected
        assert opened.state("price") == {"where": ["2026", 7]}
        assert opened.topics("signals") == []
        assert opened.state("signals") == {}


def test_it_is_known_by_what_was_made_with_the_file(store: Store, path: Path, tmp_path: Path) -> None:
    identity = store.identity
    other = open_store(tmp_path / "other.db", sync="full")
    assert len(identity) >= 16
    assert other.identity != identity
    other.close()
    reopened = again(store, path)
    assert reopened.identity == identity
    reopened.close()


def test_what_is_let_go_of_is_not_given_back_and_its_numbers_are_not_given_anew(
    store: Store, path: Path
) -> None:
    store.write(batch(records("price:A", [1, 2, 3]), records("price:B", [1], number=4)))
    store.write(batch(firsts={"price:A": 3}))
    assert offsets(one(store)) == [3]
    store.write(batch(firsts={"price:A": 4, "price:B": 2, "price:unheard": 9}))
    reopened = again(store, path)
    assert reopened.topics("price") == [Kept("price:A", "e1", 3, []), Kept("price:B", "e1", 1, [])]
    assert reopened.number == 4
    reopened.write(batch(records("price:A", [4, 5], number=5), firsts={"price:A": 5}))
    assert one(reopened).entries == [Entry(5, 1.5, 2.5, b'{"x":1}', number=6)]
    reopened.close()


def test_letting_go_never_goes_back_nor_beyond_what_is_there(store: Store) -> None:
    store.write(batch(records("price:A", [1, 2, 3]), firsts={"price:A": 3}))
    store.write(batch(firsts={"price:A": 1}))
    assert offsets(one(store)) == [3]
    store.write(batch(firsts={"price:A": 1000}))
    store.write(batch(records("price:A", [4], number=4)))
    assert offsets(one(store)) == [4]


def test_notes_change_one_by_one(store: Store, path: Path) -> None:
    store.write(Batch(states={"price": {"a": 1, "b": 2}, "signals": {"a": "theirs"}}))
    store.write(Batch(states={"price": {"a": None, "b": [3], "c": {"d": None}, "never": None}}))
    for opened in lives(store, path):
        assert opened.state("price") == {"b": [3], "c": {"d": None}}
        assert opened.state("signals") == {"a": "theirs"}


@pytest.mark.parametrize(
    "value",
    [
        *("", "a\0b", "é\u2028😀", "\ud800", 0, -1, 2**63, 10**300, 0.1, 1e308, math.inf, -math.inf),
        *(True, False, [], {}, [None, [1, {"a": []}]], {"": "", "\ud83d": 1}, "x" * 1_000_000),
    ],
)
def test_a_note_comes_back_as_it_was(store: Store, path: Path, value: Any) -> None:
    store.write(batch(note={"it": value}))
    reopened = again(store, path)
    found = reopened.state("price")["it"]
    assert (found, type(found)) == (value, type(value))
    reopened.close()


def test_a_note_that_is_no_number_comes_back(store: Store) -> None:
    store.write(batch(note={"it": [math.nan]}))
    assert math.isnan(store.state("price")["it"][0])


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(levels: int = 100_000) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 10**5000, endless(), {"a": {(1,): 2}}],
    ids=["an object", "a set", "bytes", "a number without end", "a list in itself", "a name that is no text"],
)
def test_a_note_that_is_no_json_is_refused_by_name(store: Store, value: Any) -> None:
    store.write(batch(records("price:A", [1]), note={"where": 1}))
    before = contents(store)
    with pytest.raises(StoreError, match="note 'where' of channel price is no JSON"):
        store.write(batch(records("price:A", [2], number=2), note={"where": value}))
    assert contents(store) == before
    store.write(batch(records("price:A", [2], number=2), note={"where": 2}))
    assert offsets(one(store)) == [1, 2]


def test_a_note_that_is_too_deep_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="is no JSON"):
        store.write(batch(note={"where": deep()}))


def test_names_are_of_any_characters(store: Store, path: Path) -> None:
    names = {"": 1, "seen/é😀": 2, "a'b\"; --": 3, "\0": 4, "x" * 10_000: 5}
    topic = "price:Ünï/💰"
    store.write(batch(records(topic, [1]), note=names))
    reopened = again(store, path)
    assert reopened.state("price") == names
    assert offsets(one(reopened, topic)) == [1]
    reopened.close()


def test_what_no_file_can_hold_is_refused_and_nothing_of_its_batch_kept(store: Store) -> None:
    store.write(batch(records("price:A", [1]), note={"where": 1}))
    before = contents(store)
    for refused in (
        batch(records("price:A", [2], number=2), note={"where": 2, "\ud800": 3}),
        batch(records("price:A", [2], number=2), records("price:B", [LARGEST + 1], number=3)),
    ):
        with pytest.raises(StoreError, match="cannot hold"):
            store.write(refused)
        assert contents(store) == before
    store.write(batch(records("price:A", [2], number=2)))
    assert offsets(one(store)) == [1, 2]


@pytest.mark.parametrize("body", [b"", b"\0\xff", b"x" * 300_000])
def test_a_body_is_any_bytes(store: Store, path: Path, body: bytes) -> None:
    store.write(batch(records("price:A", [1], body=body)))
    reopened = again(store, path)
    assert one(reopened).entries[0].body == body
    reopened.close()


@pytest.mark.parametrize("at", [0.0, -1e300, math.inf, 5e-324])
def test_a_time_is_any_number(store: Store, at: float) -> None:
    store.write(Batch(records=[Record("price", "price:A", "e1", Entry(1, at, 0.0, b"{}", number=1))]))
    assert one(store).entries[0].at == at


def test_a_time_may_be_none(store: Store) -> None:
    store.write(Batch(records=[Record("price", "price:A", "e1", Entry(1, math.nan, 0.0, b"", number=1))]))
    assert math.isnan(one(store).entries[0].at)


def test_offsets_and_numbers_are_as_large_as_the_file_can_hold(store: Store, path: Path) -> None:
    last = [LARGEST - 2, LARGEST - 1, LARGEST]
    store.write(batch(records("price:A", last, number=LARGEST - 2)))
    reopened = again(store, path)
    assert reopened.number == LARGEST
    assert offsets(one(reopened)) == last
    reopened.write(batch(firsts={"price:A": LARGEST}))
    assert offsets(one(reopened)) == [LARGEST]
    reopened.write(batch(firsts={"price:A": LARGEST + 1}))
    assert one(reopened) == Kept("price:A", "e1", LARGEST, [])
    reopened.close()


@pytest.mark.parametrize(
    ("epoch", "offset"), [("e2", 1), ("e2", 4), ("e1", 5), ("e1", 1), ("e1", 3), ("e1", 1000)]
)
def test_a_topic_begins_anew_with_an_entry_that_does_not_follow(
    store: Store, path: Path, epoch: str, offset: int
) -> None:
    store.write(batch(records("price:A", [1, 2, 3]), records("price:B", [1], number=4)))
    store.write(batch(records("price:A", [offset, offset + 1], number=5, epoch=epoch)))
    for opened in lives(store, path):
        assert one(opened).epoch == epoch
        assert offsets(one(opened)) == [offset, offset + 1]
        assert offsets(one(opened, "price:B")) == [1]


def test_a_topic_begins_anew_in_the_middle_of_a_batch(store: Store) -> None:
    store.write(
        batch(
            records("price:A", [1, 2]),
            records("price:A", [1, 2], number=3, epoch="e2"),
            records("price:B", [1], number=5),
        )
    )
    assert (one(store).epoch, [entry.number for entry in one(store).entries]) == ("e2", [3, 4])
    assert [entry.number for entry in one(store, "price:B").entries] == [5]


def test_a_channel_that_is_forgotten_leaves_nothing(store: Store, path: Path) -> None:
    store.write(batch(records("price:A", [1, 2]), records("signals:a", [1], number=3), note={"where": 1}))
    store.write(Batch(states={"signals": {"where": 2}}))
    store.forget("price")
    for opened in lives(store, path):
        assert (opened.topics("price"), opened.state("price")) == ([], {})
        assert offsets(one(opened, "signals:a")) == [1]
        assert opened.state("signals") == {"where": 2}
        assert opened.number >= 3
        opened.write(batch(records("price:A", [3], number=opened.number + 1, epoch="e9")))
        assert one(opened) == Kept("price:A", "e9", 3, [Entry(3, 1.5, 2.5, b'{"x":1}', number=opened.number)])
        opened.forget("price")


def test_a_channel_of_notes_alone_is_forgotten_too(store: Store) -> None:
    store.write(batch(note={"where": 1}))
    store.forget("price")
    store.forget("price")
    store.forget("unheard")
    assert store.state("price") == {}


def test_it_is_called_from_any_thread(store: Store) -> None:
    def elsewhere(work: Callable[[], object]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    elsewhere(lambda: store.write(batch(records("price:A", [1]))))
    elsewhere(lambda: store.write(batch(records("price:A", [2], number=2))))
    assert offsets(one(store)) == [1, 2]


def test_closing_leaves_one_file_and_may_be_repeated(store: Store, path: Path) -> None:
    store.write(batch(records("price:A", [1])))
    store.close()
    store.close()
    assert {found.name for found in path.parent.iterdir()} == {path.name, f"{path.name}-kept"}
    with pytest.raises(StoreError, match="closed"):
        store.write(batch(records("price:A", [2], number=2)))


def test_a_second_one_on_the_same_file_is_refused_at_once(store: Store, path: Path) -> None:
    store.write(batch(records("price:A", [1])))
    with pytest.raises(StoreError, match="open in another process: stop that one"):
        open_store(path, sync="full")
    store.write(batch(records("price:A", [2], number=2)))


HOLDER = """
import sys
from pathlib import Path
from appliance.store.store import open_store
store = open_store(Path(sys.argv[1]), sync="full")
print(store.identity, flush=True)
sys.stdin.readline()
"""


def test_another_process_is_told_and_its_death_frees_the_file(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            identity = holder.stdout.readline().strip()
            with pytest.raises(StoreError, match="open in another process") as caught:
                open_store(path, sync="full")
            assert str(path) in str(caught.value)
        finally:
            holder.kill()
    store = open_store(path, sync="full")
    assert store.identity == identity
    store.close()


def test_the_sizes_of_its_files_are_those_on_disk(store: Store, path: Path) -> None:
    log = path.with_name("store.db-wal")
    store.write(batch(records("price:A", range(1, 51))))
    assert store.sizes == (path.stat().st_size, log.stat().st_size)
    assert min(store.sizes) > 0
    store.close()
    assert store.sizes == (path.stat().st_size, 0)
