from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, TextMessage

from appliance.dialects import framing


def received(data: bytes) -> list[Event]:
    """What a client of another make understands."""
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


def texts(data: bytes) -> list[str]:
    whole: list[str] = [""]
    for event in received(data):
        assert isinstance(event, TextMessage)
        whole[-1] += event.data
        if event.message_finished:
            whole.append("")
    assert whole.pop() == ""
    return whole


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 262_144])
def test_a_text_of_any_length_arrives_whole(size: int) -> None:
    assert texts(framing.text(b"x" * size)) == ["x" * size]


@pytest.mark.parametrize(("size", "head"), [(125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_the_shortest_form_of_a_length_is_used(size: int, head: int) -> None:
    assert len(framing.text(b"x" * size)) == head + size


@given(st.lists(st.text(), max_size=5))
def test_frames_may_be_joined(messages: list[str]) -> None:
    assert texts(b"".join(framing.text(message.encode()) for message in messages)) == messages


def test_the_ping_is_one() -> None:
    assert received(framing.PING) == [Ping(payload=b"")]


def test_a_close_frame_is_known_by_its_first_byte() -> None:
    server = Connection(ConnectionType.SERVER)
    assert server.send(CloseConnection(code=1000))[0] == framing.CLOSE
