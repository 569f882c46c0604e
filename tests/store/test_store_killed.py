"""The store of a process that is killed: what it was told is kept is there, and each batch whole."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.store.store import open_store
from tests.store.batches import offsets

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 15
SIZE = 7
"""Records of a batch."""

WRITER = f"""
import sys
from pathlib import Path
from appliance.store import database
from appliance.store.store import open_store
from tests.store.batches import batch, records
database.CHECKPOINT = 20  # so that many of the kills meet one
print("begin", flush=True)
store = open_store(Path(sys.argv[1]), sync=sys.argv[2])
while True:
    count = store.number // {SIZE}
    first = count * {SIZE} + 1
    store.write(batch(
        records("price:A", range(first, first + {SIZE}), number=first, body=b"x" * 500),
        note={{"where": first, f"seen/{{count}}": first, f"seen/{{count - 5}}": None}},
        firsts={{"price:A": first - 100}},
    ))
    print(store.number, flush=True)
"""


@pytest.mark.parametrize("sync", ["full", "normal"])
def test_all_that_was_told_is_there_and_whole(tmp_path: Path, root: Path, sync: str) -> None:
    path = tmp_path / "store.db"
    chance = random.Random(sync)
    identity = ""
    for _ in range(KILLS):
        number = kill_after(path, root, sync, lines=chance.choice([1, 2, 5, chance.randrange(100)]))
        store = open_store(path, sync="normal")
        assert store.number >= number
        assert store.number % SIZE == 0
        assert identity in ("", store.identity)
        identity = store.identity
        if store.number:
            first = store.number - SIZE + 1
            (kept,) = store.topics("price")
            assert (kept.epoch, kept.last) == ("e1", store.number)
            assert offsets(kept) == list(range(max(1, first - 100), store.number + 1))
            assert [entry.number for entry in kept.entries] == offsets(kept)
            count = store.number // SIZE - 1
            seen = {f"seen/{place}": place * SIZE + 1 for place in range(max(0, count - 4), count + 1)}
            assert store.state("price") == {"where": first, **seen}
        store.close()


def kill_after(path: Path, root: Path, sync: str, *, lines: int) -> int:
    """Kill a writer in whatever it does behind so many lines; gives the last number that it told."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), sync], stdout=subprocess.PIPE, text=True, cwd=root
    ) as writer:
        assert writer.stdout is not None
        told = [next(writer.stdout) for _ in range(lines)]
        writer.kill()
        told += [line for line in writer.stdout if line.endswith("\n")]
    numbers = [int(line) for line in told[1:]]
    return numbers[-1] if numbers else 0
