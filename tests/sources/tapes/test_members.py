from __future__ import annotations

import gzip
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sources.tapes import members
from appliance.sources.tapes.members import Damage

LINES = [b'{"n":%d,"text":"%s"}' % (number, b"word " * (number % 7)) for number in range(60)]
PARTS = [b"\n".join(LINES[first : first + 20]) + b"\n" for first in (0, 20, 40)]
MEMBERS = [members.pack(part) for part in PARTS]
TAPE = b"".join(MEMBERS)


def unpacked(tape: bytes) -> list[bytes | Damage]:
    return list(members.unpack(io.BytesIO(tape)))


def test_gzip_unpacks_all_of_it() -> None:
    assert gzip.decompress(TAPE) == b"".join(PARTS)


def test_lines_come_in_their_order() -> None:
    assert unpacked(TAPE) == LINES


def test_an_empty_file_has_no_lines() -> None:
    assert unpacked(b"") == []


def test_what_others_have_packed_is_unpacked() -> None:
    assert unpacked(gzip.compress(b"".join(PARTS), mtime=12345)) == LINES
    assert unpacked(gzip.compress(b"".join(PARTS).rstrip(b"\n"))) == LINES


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=50))
def test_each_member_begins_with_a_head_and_has_no_other(texts: list[str]) -> None:
    packed = members.pack(b"\n".join(msgspec.json.encode({"text": text}) for text in texts))
    assert packed.startswith(members.HEAD)
    assert packed.count(members.HEAD) == 1


@pytest.mark.parametrize("end", range(len(MEMBERS[2])))
def test_a_torn_end_costs_the_last_member_alone(end: int) -> None:
    begin = len(TAPE) - len(MEMBERS[2])
    tape = TAPE[: begin + end]
    *found, torn = [*unpacked(tape), None] if end == 0 else unpacked(tape)
    assert found == LINES[:40]
    assert torn == (None if end == 0 else Damage(begin, len(tape), torn=True))
    assert members.whole(io.BytesIO(tape)) == begin


def test_a_file_that_ends_with_a_member_is_whole() -> None:
    assert members.whole(io.BytesIO(TAPE)) == len(TAPE)
    assert members.whole(io.BytesIO(b"")) == 0


@pytest.mark.parametrize("rest", [b"\0" * 4096, b"\x1f\x8b", b"and more", members.HEAD])
def test_what_is_behind_the_last_member_is_cut(rest: bytes) -> None:
    assert members.whole(io.BytesIO(TAPE + rest)) == len(TAPE)


@pytest.mark.parametrize("end", range(1, len(members.HEAD)))
def test_a_file_that_broke_off_in_its_first_head_is_a_tape(end: int) -> None:
    assert members.whole(io.BytesIO(members.HEAD[:end])) == 0


@pytest.mark.parametrize("text", [b"{}\n", gzip.compress(b"{}\n", mtime=5), b"\0" * 100, b"x" * 300_000])
def test_what_is_no_tape_is_none(text: bytes) -> None:
    assert members.whole(io.BytesIO(text)) is None


def test_a_damaged_member_is_passed_over_wherever_it_is_damaged() -> None:
    begin, end = len(MEMBERS[0]), len(MEMBERS[0]) + len(MEMBERS[1])
    silent = []
    for place in range(begin, end):
        tape = bytearray(TAPE)
        tape[place] ^= 0x20
        found = unpacked(bytes(tape))
        if found == LINES:
            silent.append(place - begin)
        else:
            assert found == [*LINES[:20], Damage(begin, end, torn=False), *LINES[40:]], place
    # A time and the system's name, which gzip does not check and nobody asks for.
    assert silent == [4, 5, 6, 7, 8, 9]


def test_two_damaged_members_are_told_of_as_two() -> None:
    tape = bytearray(TAPE)
    tape[len(MEMBERS[0]) // 2] ^= 1
    tape[len(MEMBERS[0]) + len(MEMBERS[1]) // 2] ^= 1
    ends = [len(MEMBERS[0]), len(MEMBERS[0]) + len(MEMBERS[1])]
    assert unpacked(bytes(tape))[:2] == [Damage(0, ends[0], torn=False), Damage(ends[0], ends[1], torn=False)]


def test_a_head_across_two_reads_is_found() -> None:
    for shift in range(1, 9):
        junk = b"\xff" * (262_144 + 1 - shift)
        assert unpacked(junk + TAPE) == [Damage(0, len(junk), torn=False), *LINES]
        assert members.whole(io.BytesIO(TAPE + junk)) == len(TAPE)


def test_a_large_member_is_given_before_its_checksum_is_seen() -> None:
    line = b'{"text":"' + b"x" * 1000 + b'"}'
    packed = bytearray(gzip.compress(b"\n".join([line] * 20_000)))
    packed[-6] ^= 1
    *found, damage = unpacked(bytes(packed))
    assert 0 < len(found) < 20_000
    assert set(found) == {line}
    assert damage == Damage(0, len(packed), torn=True)


@pytest.mark.parametrize("count", [250, 260, 1_000, 5_000])
def test_what_is_behind_a_large_member_is_read_too(count: int) -> None:
    line = b'{"text":"' + b"x" * 1000 + b'"}'
    assert unpacked(members.pack(b"\n".join([line] * count)) + TAPE) == [line] * count + LINES


def test_a_line_without_an_end_is_damage() -> None:
    assert unpacked(gzip.compress(b"x" * 20_000_000) + TAPE)[1:] == LINES
