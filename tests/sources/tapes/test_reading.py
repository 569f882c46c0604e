from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.core.errors import SourceError
from appliance.sources.tapes import lines, members
from appliance.sources.tapes.reading import Trouble, read
from tests.sources.tapes.reels import START, numbered, record, taped

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.sources.tapes.lines import Taped


def alike(found: list[Taped | Trouble], expected: list[Taped]) -> bool:
    """Whether these are the events, by all that they say: Raw data compares by identity."""
    return [each if isinstance(each, Trouble) else lines.write(each) for each in found] == [
        lines.write(each) for each in expected
    ]


def test_events_come_in_their_order(tmp_path: Path) -> None:
    events = numbered(9, channels=("price", "trades"))
    path = record(tmp_path / "tape", events[:4], events[4:])
    assert alike(list(read(path)), events)


def test_it_begins_where_it_is_told_to(tmp_path: Path) -> None:
    path = record(tmp_path / "tape", numbered(9))
    assert alike(list(read(path, start=lines.moment(START + 6))), numbered(3, first=6))
    assert alike(list(read(path, start=lines.moment(START + 5.5))), numbered(3, first=6))
    assert list(read(path, start=lines.moment(START + 9))) == []


def test_behind_its_beginning_nothing_is_left_out(tmp_path: Path) -> None:
    events = [taped(second) for second in (1, 7, 2, 8)]  # somebody set the clock
    path = record(tmp_path / "tape", events)
    assert alike(list(read(path, start=lines.moment(START + 5))), events[1:])


def test_a_damaged_member_is_told_of_and_passed_over(tmp_path: Path) -> None:
    path = record(tmp_path / "tape", numbered(3), numbered(3, first=3), numbered(3, first=6))
    text = bytearray(path.read_bytes())
    begin = text.find(members.HEAD, 1)
    end = text.find(members.HEAD, begin + 1)
    text[begin + 20] ^= 1
    path.write_bytes(text)
    found = list(read(path))
    assert found.pop(3) == Trouble(f"{end - begin} bytes from byte {begin} on are damaged")
    assert alike(found, [*numbered(3), *numbered(3, first=6)])


def test_a_torn_end_is_told_of(tmp_path: Path) -> None:
    path = record(tmp_path / "tape", numbered(3), numbered(3, first=3))
    text = path.read_bytes()
    begin = text.find(members.HEAD, 1)
    path.write_bytes(text[:-5])
    *found, trouble = read(path)
    assert alike(found, numbered(3))
    assert trouble == Trouble(f"{len(text) - 5 - begin} bytes from byte {begin} on were not finished")


def test_a_line_that_is_no_event_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    path.write_bytes(members.pack(lines.write(taped(0)) + b"{}\n" + lines.write(taped(1))))
    first, trouble, last = read(path)
    assert alike([first, last], [taped(0), taped(1)])
    assert isinstance(trouble, Trouble)
    assert trouble.problem.startswith("a line is no event: ")


def test_a_tape_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the tape .*/gone cannot be read \(No such file or directory\)"):
        list(read(tmp_path / "gone"))


def test_it_is_opened_by_who_reads(tmp_path: Path) -> None:
    read(tmp_path / "gone")
