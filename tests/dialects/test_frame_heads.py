"""What the heads of a client's frames announce, against frames made by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dialects.frame_heads import FrameHeads, TooBigError
from tests.bench.load_frames import Opcode, client_frame

MOST = 100_000


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    whole = bytearray(client_frame(opcode, payload))
    whole[0] = (0x80 if final else 0) | opcode
    return bytes(whole)


WHOLE = st.binary(max_size=300).map(lambda payload: (frame(Opcode.TEXT, payload), 0))
CONTROL = st.binary(max_size=125).map(lambda payload: (frame(Opcode.PING, payload), 1))
PIECES = st.lists(st.binary(max_size=70_000 // 4), min_size=2, max_size=4).map(
    lambda parts: (
        b"".join(
            frame(Opcode.CONTINUATION if place else Opcode.BINARY, payload, final=place == len(parts) - 1)
            for place, payload in enumerate(parts)
        ),
        len(parts),
    )
)


@given(st.lists(WHOLE | CONTROL | PIECES, max_size=6), st.lists(st.integers(1, 400), max_size=8))
def test_all_but_whole_messages_are_counted_however_the_bytes_are_cut(
    parts: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(part for part, _ in parts)
    heads, at = FrameHeads(MOST), 0
    counted = 0
    for step in itertools.chain(cuts, (len(data),)):
        counted += heads.feed(data[at : at + step])
        at += step
    assert counted == sum(count for _, count in parts)


@given(st.lists(st.binary(max_size=40)))
def test_what_is_no_frame_does_not_harm(chunks: list[bytes]) -> None:
    heads = FrameHeads(MOST)
    try:
        for chunk in chunks:
            assert 0 <= heads.feed(chunk) <= len(chunk)
    except TooBigError:
        pass  # garbage may announce anything


@pytest.mark.parametrize("size", [126, 65_535, 65_536, 1 << 40, (1 << 63) - 1])
def test_a_message_that_is_announced_too_big_is_told_before_it_is_there(size: int) -> None:
    form = b"\x82\xfe" + size.to_bytes(2, "big") if size < 1 << 16 else b"\x82\xff" + size.to_bytes(8, "big")
    with pytest.raises(TooBigError):
        FrameHeads(125).feed(form + bytes(4))


def test_a_length_that_is_none_is_left_to_who_reads_the_frame() -> None:
    assert FrameHeads(125).feed(b"\x82\xff" + b"\xff" * 8 + bytes(4)) == 0


@pytest.mark.parametrize("payload", [b"", b"x" * 30])
def test_pieces_without_end_are_too_big(payload: bytes) -> None:
    heads = FrameHeads(125)
    heads.feed(frame(Opcode.TEXT, payload, final=False))
    more = frame(Opcode.PING, b"x" * 125) + frame(Opcode.CONTINUATION, payload, final=False)
    with pytest.raises(TooBigError):
        heads.feed(more * 125)


def test_a_message_of_any_number_of_pieces_within_the_bound_is_followed_by_another() -> None:
    heads = FrameHeads(125)
    for _ in range(10):
        for piece in range(125):
            first = Opcode.TEXT if not piece else Opcode.CONTINUATION
            assert heads.feed(frame(first, b"x", final=piece == 124)) == 1
