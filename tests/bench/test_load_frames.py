from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load_frames import FrameError, FrameReader, Opcode, client_frame, server_frame

CONTROL = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG, Opcode.CLOSE]), st.binary(max_size=125))
SIZES = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
DATA = st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), SIZES.map(lambda size: b"x" * size))
MESSAGES = st.lists(DATA | CONTROL, max_size=8)


def fed(pieces: list[bytes]) -> list[tuple[int, bytes]]:
    reader = FrameReader()
    return [message for piece in pieces for message in reader.feed(piece)]


@given(MESSAGES, st.lists(st.floats(0, 1), max_size=12))
def test_messages_cut_anywhere_come_out_whole_and_in_order(
    messages: list[tuple[Opcode, bytes]], cuts: list[float]
) -> None:
    stream = b"".join(server_frame(opcode, payload) for opcode, payload in messages)
    places = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert fed(pieces) == messages


@given(st.lists(DATA | CONTROL, min_size=1, max_size=4).filter(lambda m: sum(len(p) for _, p in m) < 2000))
def test_messages_come_out_whole_when_cut_at_every_byte(messages: list[tuple[Opcode, bytes]]) -> None:
    stream = b"".join(server_frame(opcode, payload) for opcode, payload in messages)
    assert fed([bytes((byte,)) for byte in stream]) == messages


@given(st.lists(st.binary(max_size=200), min_size=2, max_size=5), st.binary(max_size=125))
def test_fragments_are_joined_and_a_ping_among_them_comes_first(parts: list[bytes], ping: bytes) -> None:
    first, *rest = parts
    stream = server_frame(Opcode.TEXT, first, final=False) + server_frame(Opcode.PING, ping)
    for number, part in enumerate(rest, start=1):
        stream += server_frame(Opcode.CONTINUATION, part, final=number == len(rest))
    after = server_frame(Opcode.TEXT, b"next")
    assert fed([stream + after]) == [
        (Opcode.PING, ping),
        (Opcode.TEXT, b"".join(parts)),
        (Opcode.TEXT, b"next"),
    ]


@pytest.mark.parametrize(
    ("stream", "mistake"),
    [
        (b"\x81\x86\0\0\0\0masked", "masked"),
        (b"\xc1\x00", "reserved"),
        (b"\x83\x00", "reserved"),
        (server_frame(Opcode.PING, b"x" * 126), "control"),
        (server_frame(Opcode.PING, b"", final=False), "control"),
        (server_frame(Opcode.CONTINUATION, b""), "order"),
        (server_frame(Opcode.TEXT, b"", final=False) + server_frame(Opcode.TEXT, b""), "order"),
        (b"\x81\x7e\x00\x7d", "shortest"),
        (b"\x81\x7f" + (65_535).to_bytes(8, "big"), "shortest"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), "too long"),
    ],
)
def test_what_a_server_must_not_send_is_told(stream: bytes, mistake: str) -> None:
    with pytest.raises(FrameError, match=mistake):
        fed([stream])


@given(st.binary(max_size=70_000))
def test_a_clients_frame_is_masked_with_its_payload_inside(payload: bytes) -> None:
    frame = client_frame(Opcode.TEXT, payload)
    head = len(frame) - len(payload)
    mask = frame[head - 4 : head]
    assert frame[1] & 0x80
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(frame[head:])) == payload
