from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import ErrorCode, RequestError
from appliance.core.events import Mode
from appliance.core.history import Position, Resumption, Retention, Stretch, Topic
from appliance.core.places import Asked, Place
from appliance.dialects import pages
from appliance.dialects.pages import Query


def read(**parameters: str) -> Query:
    return pages.read(parameters, longest=30, most=1_000)


def query(*, wait: float = 0, limit: int = 1_000, times: bool = False, **asked: Any) -> Query:
    return Query(asked=Asked(**asked), wait=wait, limit=limit, times=times)


def topic(*bodies: bytes, mode: Mode = Mode.LOG) -> Topic:
    made = Topic("trades:x", mode, "trade", "e1", Retention(count=100, age=None, size=1_000_000))
    for body in bodies:
        made.append(body, at=0, received=0)
    return made


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, query()),
        (dict.fromkeys(("after", "to", "since", "until", "wait", "limit", "times"), ""), query()),
        ({"after": "7"}, query(after=7)),
        ({"after": "e0:7"}, query(after=Position("e0", 7))),
        ({"after": "e1-7"}, query(after=Place("e1", 7))),
        ({"after": "e1-7.3"}, query(after=Place("e1", 7, seen=3))),
        ({"to": "7"}, query(to=7)),
        ({"to": "e0:7", "after": "0"}, query(to=Position("e0", 7), after=0)),
        ({"since": "1970-01-01T00:01:00Z"}, query(since=60.0)),
        ({"until": "1970-01-01T02:00:00.250+02:00"}, query(until=0.25)),
        ({"wait": "2.5", "limit": "10"}, query(wait=2.5, limit=10)),
        ({"wait": "99", "limit": "9999"}, query(wait=30)),
        ({"wait": "007", "limit": "007"}, query(wait=7, limit=7)),
        ({"times": "true"}, query(times=True)),
        ({"times": "false"}, query()),
        ({"key": "sk", "wat": "1"}, query()),
    ],
)
def test_what_a_poll_asks_for(parameters: dict[str, str], found: Query) -> None:
    assert read(**parameters) == found


def outcome(**parameters: str) -> Query | RequestError:
    try:
        return read(**parameters)
    except RequestError as error:
        return error


@pytest.mark.parametrize("name", ["after", "to", "since", "until", "wait", "limit", "times"])
@given(
    text=st.text(min_size=1, max_size=200)
    | st.from_regex(r"[0-9]{0,12}[.]?[0-9]{1,12}")
    | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
)
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


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31T12:00:00 02:00",
        "1893456000",
        "2030-02-30T00:00Z",
    ],
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_what_is_no_moment(name: str, text: str) -> None:
    with pytest.raises(RequestError, match="a time with its offset, such as 2030-01-31T12:00:00Z"):
        read(**{name: text})


@pytest.mark.parametrize("text", ["yes", "1", "True", " true"])
def test_what_is_no_choice(text: str) -> None:
    with pytest.raises(RequestError, match="`true` or `false`"):
        read(times=text)


def data(answer: bytes) -> Any:
    envelope = json.loads(answer)
    assert (envelope["success"], envelope["error"]) == (True, None)
    return envelope["data"]


def test_a_page_has_the_messages_of_the_socket_and_the_places_before_and_behind_them() -> None:
    made = topic(b'{"n":1}', b'{"n":2}', b'{"n":3}')
    resumption = Resumption(after=1, recovered=True, gap=None)
    found = Stretch(1, 3, [*made.after(1)])
    assert data(pages.page(made, "x", found, resumption)) == {
        "channel": "x",
        "mode": "log",
        "epoch": "e1",
        "offset": 3,
        "position": "e1:3",
        "start": "e1:1",
        "recovered": True,
        "events": [
            {"type": "trade", "channel": "x", "offset": 2, "data": {"n": 2}},
            {"type": "trade", "channel": "x", "offset": 3, "data": {"n": 3}},
        ],
    }


def test_a_page_without_events_stays_where_it_is() -> None:
    page = data(pages.page(topic(b"{}", b"{}"), "x", Stretch(2, 2, []), None))
    assert (page["offset"], page["position"], page["start"], page["events"]) == (2, "e1:2", "e1:2", [])
    assert page.keys().isdisjoint({"recovered", "gap"})


@pytest.mark.parametrize(
    ("resumption", "gap"),
    [
        (Resumption(after=0, recovered=False, gap=(3, 9)), {"from": 3, "to": 9}),
        (
            Resumption(after=0, recovered=False, gap=None, missing=(0.0, 1.5)),
            {"since": "1970-01-01T00:00:00.000Z", "until": "1970-01-01T00:00:01.500Z"},
        ),
        (
            Resumption(after=0, recovered=False, gap=None, missing=(0.0, float("inf"))),
            {"since": "1970-01-01T00:00:00.000Z"},
        ),
    ],
)
def test_a_page_tells_what_is_lost(resumption: Resumption, gap: dict[str, Any]) -> None:
    page = data(pages.page(topic(b"{}"), "x", Stretch(0, 0, []), resumption))
    assert (page["recovered"], page["gap"]) == (False, gap)


def test_the_newest_event_or_null() -> None:
    assert data(pages.latest(topic(), "x")) is None
    event = {"type": "trade", "channel": "x", "offset": 2, "data": {"n": 2}}
    assert data(pages.latest(topic(b'{"n":1}', b'{"n":2}'), "x")) == event


def test_who_wants_times_is_told_them() -> None:
    made = Topic("trades:x", Mode.LOG, "trade", "e1", Retention(count=100, age=None, size=1_000_000))
    made.append(b'{"n":1}', at=1.0, received=2.25)
    event = {
        "type": "trade",
        "channel": "x",
        "offset": 1,
        "at": "1970-01-01T00:00:01.000Z",
        "received": "1970-01-01T00:00:02.250Z",
        "data": {"n": 1},
    }
    assert data(pages.latest(made, "x", times=True)) == event
    assert data(pages.page(made, "x", Stretch(0, 1, [*made.after(0)]), None, times=True))["events"] == [event]
    assert (pages.wants_times({"times": "true"}), pages.wants_times({})) == (True, False)
