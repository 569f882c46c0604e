from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import StoreError
from appliance.sources.tapes import lines, members
from appliance.sources.tapes.writing import Tape
from tests.sources.tapes.reels import numbered, on_tape, record

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sources.tapes.conftest import Disk

WRITER = """
import sys
from pathlib import Path
from appliance.sources.tapes import lines
from appliance.sources.tapes.writing import Tape
from tests.sources.tapes.reels import numbered
with Tape(Path(sys.argv[1]), append=True) as tape:
    for first in range(0, 1_000_000, 10):
        tape.keep([lines.write(each) for each in numbered(10, first=first)])
        print(first + 10, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tape.jsonl.gz"


def numbers(path: Path) -> list[int]:
    return [line["data"]["n"] for line in on_tape(path)]


def test_what_is_kept_is_there_at_once(path: Path) -> None:
    with Tape(path, append=False) as tape:
        tape.keep([lines.write(each) for each in numbered(3)])
        assert numbers(path) == [0, 1, 2]
        assert tape.size == path.stat().st_size
        tape.keep([lines.write(each) for each in numbered(2, first=3)])
        assert numbers(path) == [0, 1, 2, 3, 4]


def test_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "tapes" / "of" / "today.jsonl.gz"
    assert numbers(record(path, numbered(1))) == [0]


def test_many_lines_become_several_members(path: Path) -> None:
    long = lines.write(numbered(1)[0]).replace(b'"n":0', b'"n":0,"text":"' + b"x" * 1_000_000 + b'"')
    with Tape(path, append=False) as tape:
        tape.keep([long] * 9)
    assert path.read_bytes().count(members.HEAD) == 3
    assert numbers(path) == [0] * 9


def test_a_tape_that_is_there_is_not_written_over(path: Path) -> None:
    record(path, numbered(3))
    with pytest.raises(StoreError, match="is there already"):
        Tape(path, append=False)
    assert numbers(path) == [0, 1, 2]


def test_appending_goes_on_behind_what_is_there(path: Path) -> None:
    record(path, numbered(3))
    record(path, numbered(2, first=3))
    assert numbers(path) == [0, 1, 2, 3, 4]


def test_a_torn_end_is_cut_wherever_it_is_torn(path: Path) -> None:
    record(path, numbered(3))
    begin = path.stat().st_size
    whole = record(path, numbered(3, first=3)).read_bytes()
    for end in range(begin, len(whole)):
        path.write_bytes(whole[:end])
        with Tape(path, append=True) as tape:
            assert tape.cut == end - begin
            tape.keep([lines.write(each) for each in numbered(2, first=6)])
        assert numbers(path) == [0, 1, 2, 6, 7], end


def test_nothing_is_cut_off_a_whole_tape(path: Path) -> None:
    record(path, numbered(3))
    with Tape(path, append=True) as tape:
        assert tape.cut == 0


def test_two_do_not_write_at_once(path: Path) -> None:
    with Tape(path, append=True), pytest.raises(StoreError, match="by another process"):
        Tape(path, append=True)
    Tape(path, append=True).close()


def test_what_is_no_tape_is_left_as_it_is(path: Path) -> None:
    path.write_text("the year's accounts")
    with pytest.raises(StoreError, match="is no tape"):
        Tape(path, append=True)
    assert path.read_text() == "the year's accounts"


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\)"):
        Tape(tmp_path / "file" / "tape.jsonl.gz", append=False)


def test_what_a_full_disk_refuses_is_not_half_on_the_tape(path: Path, disk: Disk) -> None:
    disk.fill()
    much = [line + b"\n" for line in (os.urandom(4096).hex().encode(),)]
    with Tape(path, append=False) as tape:
        tape.keep([lines.write(each) for each in numbered(3)])
        for _ in range(2):
            with pytest.raises(StoreError, match=r"cannot be written \(File too large\)"):
                tape.keep(much)
            assert numbers(path) == [0, 1, 2]
        tape.keep([lines.write(each) for each in numbered(1, first=3)])
    assert numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("reports", [1, 7, 40])
def test_what_was_kept_outlives_a_kill(path: Path, root: Path, reports: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        kept = 0
        for _ in range(reports):
            kept = int(process.stdout.readline())
        process.kill()
    with Tape(path, append=True):
        found = numbers(path)
    assert len(found) >= kept
    assert found == list(range(len(found)))
