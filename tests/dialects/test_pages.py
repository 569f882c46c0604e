from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position, Resumption, Retention, Topic
from appliance.core.places import Place
from appliance.dialects import pages
from appliance.dialects.pages import Query


def read(**parameters: str) -> Query:
    return pages.read(parameters, epoch="e1", longest=30, most=1_000)


def topic(*bodies: bytes, mode: Mode = Mode.LOG) -> Topic:
    made = Topic("trades:x", mode, "trade", "e1", Retention(count=100, age=None, size=1_000_000))
    for body in bodies:
        made.append(body, at=0, received=0)
    return made


@pytest.mark.parametrize(
    ("parameters", "query"),
    [
        ({}, Query(after=None, wait=0, limit=1_000)),
        ({"after": "", "wait": "", "limit": ""}, Query(after=None, wait=0, limit=1_000)),
        ({"after": "7"}, Query(after=Position("e1", 7), wait=0, limit=1_000)),
        ({"after": "e0:7"}, Query(after=Position("e0", 7), wait=0, limit=1_000)),
        ({"after": "e1-7"}, Query(after=Place("e1", 7), wait=0, limit=1_000)),
        ({"after": "e1-7.3"}, Query(after=Place("e1", 7, seen=3), wait=0, limit=1_000)),
        ({"wait": "2.5", "limit": "10"}, Query(after=None, wait=2.5, limit=10)),
        ({"wait": "99", "limit": "9999"}, Query(after=None, wait=30, limit=1_000)),
        ({"wait": "007", "limit": "007"}, Query(after=None, wait=7, limit=7)),
        ({"key": "sk", "wat": "1"}, Query(after=None, wait=0, limit=1_000)),
    ],
)
def test_what_a_poll_asks_for(parameters: dict[str, str], query: Query) -> None:
    assert read(**parameters) == query


def outcome(**parameters: str) -> Query | RequestError:
    try:
        return read(**parameters)
    except RequestError as error:
        return error


@pytest.mark.parametrize("name", ["after", "wait", "limit"])
@given(text=st.text(min_size=1, max_size=200) | st.from_regex(r"[0-9]{0,12}[.]?[0-9]{1,12}"))
def test_any_text_is_read_or_refused_by_its_name(name: str, text: str) -> None:
    found = outcome(**{name: text})
    if isinstance(found, RequestError):
        assert found.code is ErrorCode.INVALID_MESSAGE
        assert found.message.startswith(f"{name}=")
        assert "it is " in found.message
    else:
        assert 0 <= found.wait <= 30
        assert 1 <= found.limit <= 1_000


@pytest.mark.parametrize("text", ["0", "00", "-1", "1.5", "1e2", "ten", "9" * 11, "\u0667", " 1", "1 "])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(RequestError, match="1 to 1000"):
        read(limit=text)


@pytest.mark.parametrize("text", ["-1", "inf", "nan", "1e2", "1_0", "soon", ".5", "5.", "\u0667", "1 s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(RequestError, match="0 to 30"):
        read(wait=text)


def data(answer: bytes) -> Any:
    envelope = json.loads(answer)
    assert (envelope["success"], envelope["error"]) == (True, None)
    return envelope["data"]


def test_a_page_has_the_messages_of_the_socket_and_the_position_to_go_on_from() -> None:
    made = topic(b'{"n":1}', b'{"n":2}', b'{"n":3}')
    resumption = Resumption(after=1, recovered=True, gap=None)
    assert data(pages.page(made, "x", after=1, resumption=resumption, entries=made.after(1))) == {
        "channel": "x",
        "mode": "log",
        "epoch": "e1",
        "offset": 3,
        "position": "e1:3",
        "recovered": True,
        "events": [
            {"type": "trade", "channel": "x", "offset": 2, "data": {"n": 2}},
            {"type": "trade", "channel": "x", "offset": 3, "data": {"n": 3}},
        ],
    }


def test_a_page_without_events_stays_where_it_is() -> None:
    made = topic(b"{}", b"{}")
    page = data(pages.page(made, "x", after=2, resumption=None, entries=[]))
    assert (page["offset"], page["position"], page["events"]) == (2, "e1:2", [])
    assert page.keys().isdisjoint({"recovered", "gap"})


def test_a_page_tells_what_is_lost() -> None:
    made = topic(b"{}")
    resumption = Resumption(after=0, recovered=False, gap=(3, 9))
    page = data(pages.page(made, "x", after=0, resumption=resumption, entries=[]))
    assert (page["recovered"], page["gap"]) == (False, {"from": 3, "to": 9})


def test_the_newest_event_or_null() -> None:
    assert data(pages.latest(topic(), "x")) is None
    event = {"type": "trade", "channel": "x", "offset": 2, "data": {"n": 2}}
    assert data(pages.latest(topic(b'{"n":1}', b'{"n":2}'), "x")) == event
