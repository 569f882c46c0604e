from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.dialects import eventstream


def events(stream: str) -> list[str]:
    """Read a stream as the HTML standard says: the data of each event, which an empty line ends."""
    blocks = [block.split("\n") for block in stream.split("\n\n")]
    assert blocks.pop() == [""]
    data = [[line.removeprefix("data: ") for line in block if line.startswith("data: ")] for block in blocks]
    return ["\n".join(lines) for lines in data if lines]


@given(st.lists(st.dictionaries(st.text(), st.text())))
def test_each_text_is_one_event(messages: list[dict[str, str]]) -> None:
    texts = [json.dumps(message) for message in messages]
    stream = b"".join(eventstream.event(text.encode()) for text in texts)
    assert events(stream.decode()) == texts


def fields(event: bytes) -> list[tuple[str, str]]:
    """Give the fields of one event as the HTML standard reads them."""
    *lines, end, rest = event.decode().split("\n")
    assert (end, rest) == ("", "")
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def test_an_event_has_a_place_if_it_is_given_one() -> None:
    assert fields(eventstream.event(b'{"a":1}')) == [("data", '{"a":1}')]
    assert fields(eventstream.event(b'{"a":1}', "e-7")) == [("id", "e-7"), ("data", '{"a":1}')]


@given(st.dictionaries(st.text(), st.text()))
def test_an_event_can_be_given_another_place(message: dict[str, str]) -> None:
    text = json.dumps(message).encode()
    assert eventstream.placed(eventstream.event(text, "e-7"), "e-9.7") == eventstream.event(text, "e-9.7")


def test_a_comment_is_no_event() -> None:
    assert eventstream.KEEP_ALIVE.startswith(b":")
    stream = (
        eventstream.event(b"1") + eventstream.KEEP_ALIVE + eventstream.retry(0.25) + eventstream.event(b"2")
    )
    assert events(stream.decode()) == ["1", "2"]


def test_the_wait_is_told_in_whole_milliseconds() -> None:
    assert eventstream.retry(2) == b"retry: 2000\n\n"
    assert eventstream.retry(0.0004) == b"retry: 0\n\n"
    assert eventstream.retry(1.2345) == b"retry: 1234\n\n"
