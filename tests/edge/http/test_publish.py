"""`POST /api/v1/publish`: what is asked, what is answered, and what is never an error of the server."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.edge.http.publish import PATH
from appliance.settings.fields import Bytes, Seconds
from appliance.settings.limits import LimitSettings
from appliance.settings.tree import ListenSettings, PublishSettings
from tests.edge.http.publishing import KEY, READER, Office, opened
from tests.edge.stage import PATIENCE, plain_http, rest
from tests.runtime.intaking import Scene, alert, event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    with capture_logs() as log:
        async with opened(Office()) as office:
            yield office
    assert [line for line in log if line["log_level"] == "error"] == []


def receipt(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"success", "data", "error"}
    assert (body["success"], body["error"]) == (True, None)
    data: dict[str, Any] = body["data"]
    return data


def refused(answer: httpx.Response) -> tuple[int, list[str]]:
    """Give the status of a refusal and the paths of its mistakes."""
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"success", "data", "error", "errors"}
    assert (body["success"], body["data"]) == (False, None)
    assert isinstance(body["error"], str)
    assert body["error"]
    assert all(error.keys() == {"path", "problem"} and error["problem"] for error in body["errors"])
    return answer.status_code, [error["path"] for error in body["errors"]]


# --- What is published. ---


async def test_one_event(office: Office) -> None:
    answer = await office.post(alert())
    assert receipt(answer) == {
        "published": 1,
        "duplicate": False,
        "events": [
            {
                "topics": [
                    {"topic": "alerts:all", "epoch": "e", "offset": 1},
                    {"topic": "alerts:symbol:AAPL", "epoch": "e", "offset": 1},
                ]
            }
        ],
    }
    assert answer.headers["content-type"] == "application/json"
    assert office.scene.published("alerts:all") == [{"symbol": "AAPL"}]


@pytest.mark.parametrize("wrap", [lambda events: events, lambda events: {"events": events}])
async def test_many_events(office: Office, wrap: Any) -> None:
    answer = await office.post(wrap([event(), event(at=5), alert()]))
    assert receipt(answer)["published"] == 3
    assert len(office.scene.published("price:AAPL")) == 2


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_the_content_is_json_by_name(office: Office, kind: str) -> None:
    receipt(await office.post(event(), content_type=kind))


# --- Idempotency. ---


async def test_the_same_again_is_published_once(office: Office) -> None:
    first = receipt(await office.post(event(), Idempotency_Key="k"))
    again = receipt(await office.post(event(), Idempotency_Key="k"))
    assert again == {**first, "duplicate": True}
    assert len(office.scene.published("price:AAPL")) == 1


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: {"events": [raw]}])
async def test_the_key_can_stand_in_the_body(office: Office, wrap: Any) -> None:
    for duplicate in (False, True):
        assert receipt(await office.post({**wrap(event()), "idempotency_key": "k"}))["duplicate"] is duplicate
    assert receipt(await office.post(event(), Idempotency_Key="k"))["duplicate"]


async def test_a_key_for_another_body_is_a_conflict(office: Office) -> None:
    receipt(await office.post(event(), Idempotency_Key="k"))
    answer = await office.post(alert(), Idempotency_Key="k")
    assert refused(answer) == (409, ["Idempotency-Key"])
    assert office.scene.hub.events == 1


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "é"])
async def test_an_odd_key_is_told(office: Office, key: str) -> None:
    assert refused(await office.post({**event(), "idempotency_key": key})) == (400, ["idempotency_key"])


@pytest.mark.parametrize("key", [5, True, [], {}])
async def test_a_key_is_text(office: Office, key: Any) -> None:
    assert refused(await office.post({**event(), "idempotency_key": key})) == (400, ["idempotency_key"])


async def test_two_keys_that_differ_are_told(office: Office) -> None:
    answer = await office.post({**event(), "idempotency_key": "a"}, Idempotency_Key="b")
    assert refused(answer) == (400, ["Idempotency-Key"])
    receipt(await office.post({**event(), "idempotency_key": "a"}, Idempotency_Key="a"))


async def test_the_longest_key_is_taken(office: Office) -> None:
    receipt(await office.post(event(), Idempotency_Key="~" * 255))


# --- Who may. ---


@pytest.mark.parametrize("auth", ["none", "optional", "required"])
@pytest.mark.parametrize("key", [None, "sk_wrong", "two words"])
async def test_without_a_good_key_nothing_is_published(auth: Any, key: str | None) -> None:
    async with opened(Office(listen=ListenSettings(url="tcp://127.0.0.1:0", auth=auth))) as office:
        answer = await office.post(event(), key=key)
        assert refused(answer) == (401, [])
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert office.scene.hub.events == 0
        assert key is None or key not in answer.text
        receipt(await office.post(event()))


async def test_a_key_publishes_where_it_may(office: Office) -> None:
    answer = await office.post(event(), key=READER)
    assert refused(answer) == (403, ["channel"])
    assert "reader may not publish into price" in answer.json()["error"]
    assert refused(await office.post([event(), event()], key=READER)) == (403, ["[0].channel", "[1].channel"])
    assert refused(await office.post(event("closed"))) == (403, ["channel"])


# --- What is wrong. ---


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (event("weather"), (404, ["channel"])),
        ([event("weather")], (422, ["[0].channel"])),
        ({"events": [event(), event("weather")]}, (422, ["events[1].channel"])),
        ([event("weather"), event("closed")], (422, ["[0].channel", "[1].channel"])),
        ({**event("weather"), "key": ""}, (422, ["channel", "key"])),
        (event("predictions", data={"confidence": 2}), (422, ["data.confidence"])),
        (event("predictions", data={}), (422, ["data.confidence"])),
        ({"events": [event("predictions", data={"confidence": "x"})]}, (422, ["events[0].data.confidence"])),
        ([event(), 5], (422, ["[1]"])),
        ([], (422, [""])),
        ({"events": []}, (422, ["events"])),
        ({}, (422, ["channel", "key", "data"])),
        ({"idempotency_key": "k"}, (422, ["channel", "key", "data"])),
        ({"events": 5}, (400, [])),
        ({"events": [event()], "more": 1}, (400, [])),
        (5, (400, [])),
        (None, (400, [])),
        ("text", (400, [])),
    ],
)
async def test_a_mistake_has_its_path(office: Office, content: Any, expected: tuple[int, list[str]]) -> None:
    assert refused(await office.post(text=json.dumps(content).encode())) == expected
    assert office.scene.hub.events == 0
    assert office.traffic.errors == {"INVALID_MESSAGE": 1}


async def test_the_first_mistake_is_told_in_words(office: Office) -> None:
    answer = await office.post([event(), event("predictions", data={"confidence": 2}), 5])
    error = answer.json()["error"]
    assert error.startswith("[1].data.confidence: ")
    assert error.endswith("(and 1 more, in `errors`)")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"nothing", b'{"a": NaN}', b'"\\ud800"', b"\xff", b'{"a": 1e400}', b"1" * 5_000, b"{}{}"],
)
async def test_what_is_no_json_is_told(office: Office, text: bytes) -> None:
    assert refused(await office.post(text=text))[0] == 400


async def test_what_is_nested_without_end_is_told(office: Office) -> None:
    for text in (
        b"[" * 500_000,
        b'{"channel":"price","key":"A","data":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
    ):
        answer = await office.post(text=text)
        assert answer.status_code in {200, 400, 422}


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_other_content_is_not_read(office: Office, kind: str) -> None:
    answer = await office.post(event(), content_type=kind)
    assert refused(answer) == (415, [])
    assert "Content-Type: application/json" in answer.json()["error"]


async def test_compressed_content_is_not_read(office: Office) -> None:
    assert refused(await office.post(event(), content_encoding="gzip")) == (415, [])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_not_served(office: Office, method: str) -> None:
    async with plain_http(office.port) as http:
        answer = await http.request(method, PATH)
    assert answer.status_code == 405


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    bodies=st.lists(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from([event(), alert(), event("closed"), event("predictions")]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["channel", "key", "data", "at", "events", "idempotency_key", "symbol"])
                    | st.text(),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=10,
        ),
        min_size=1,
        max_size=10,
    )
)
def test_any_body_gets_a_receipt_or_its_mistakes(bodies: list[Any]) -> None:
    async def run() -> None:
        with capture_logs() as log:
            async with opened(Office()) as office:
                for body in bodies:
                    answer = await office.post(text=json.dumps(body).encode())
                    if answer.status_code == 200:
                        receipt(answer)
                    else:
                        assert 400 <= refused(answer)[0] < 500
        assert [line for line in log if line["log_level"] == "error"] == []

    trio.run(run)


# --- Bounds. ---


async def test_a_large_body_is_not_read() -> None:
    async with opened(Office(Scene(settings=PublishSettings(body_bytes=Bytes(2_000))))) as office:
        small = event(data={"text": "x" * 1_900})
        receipt(await office.post(text=json.dumps(small).encode()))
        assert refused(await office.post(text=b" " * 2_001)) == (413, [])
        stream = await office.dial()
        async with stream:
            await stream.send_all(f"{HEAD}Content-Length: 1000000000000\r\n\r\n".encode())
            with trio.fail_after(PATIENCE):
                assert b" 413 " in bytes(await stream.receive_some(65_536)).partition(b"\r\n")[0]


async def test_a_large_body_of_unknown_length_is_not_read_to_its_end() -> None:
    async with opened(Office(Scene(settings=PublishSettings(body_bytes=Bytes(2_000))))) as office:
        stream = await office.dial()
        async with stream:
            await stream.send_all(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
            with contextlib.suppress(trio.BrokenResourceError):
                for _ in range(20):
                    await stream.send_all(b"3e8\r\n" + b" " * 1_000 + b"\r\n")
            with trio.fail_after(PATIENCE):
                assert b" 413 " in bytes(await stream.receive_some(65_536)).partition(b"\r\n")[0]


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with opened(Office(limits=LimitSettings(handshake=Seconds(0.2)))) as office:
        stream = await office.dial()
        async with stream:
            await stream.send_all(f"{HEAD}Content-Length: 100\r\nConnection: close\r\n\r\n".encode() + b"{")
            answer = await rest(stream)
    assert b" 408 " in answer.partition(b"\r\n")[0]
    assert b"limits.handshake" in answer


async def test_who_leaves_within_a_body_is_no_error(office: Office) -> None:
    for _ in range(5):
        stream = await office.dial()
        async with stream:
            await stream.send_all(f"{HEAD}Content-Length: 100\r\n\r\n".encode() + b"{")
    receipt(await office.post(event()))
    assert office.scene.hub.events == 1


async def test_requests_have_a_rate_of_their_principal() -> None:
    listen = ListenSettings(url="tcp://127.0.0.1:0")
    async with opened(Office(listen=listen, limits=LimitSettings(messages_per_minute=3))) as office:
        statuses = [(await office.post(event())).status_code for _ in range(3)]
        answer = await office.post(event())
        assert statuses == [200, 200, 200]
        assert refused(answer) == (429, [])
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert "limits.messages_per_minute" in answer.json()["error"]
        assert refused(await office.post(event(), key=READER))[0] == 403
        assert office.traffic.errors["RATE_LIMITED"] == 1


async def test_limits_of_events_are_counted_by_their_settings(office: Office) -> None:
    office.scene.settings = PublishSettings(events=2)
    answer = await office.post([event()] * 3)
    assert refused(answer) == (422, [""])
    assert "publish.events" in answer.json()["error"]
    assert refused(await office.post([]))[0] == 422  # is no question of a limit
    assert office.traffic.limits == {"publish.events": 1}
    answer = await office.post([event(), event(data={"text": "x" * 20_000})])
    assert refused(answer) == (422, ["[1].data"])
    assert "limits.event_bytes" in answer.json()["error"]
    assert office.traffic.limits == {"publish.events": 1, "event_bytes": 1}


async def test_who_guesses_keys_is_held_up_by_its_address() -> None:
    async with opened(Office(limits=LimitSettings(messages_per_minute=3))) as office:
        statuses = [(await office.post(event(), key=f"sk_{n}")).status_code for n in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        receipt(await office.post(event()))


async def test_a_changed_rate_holds_at_once() -> None:
    async with opened(Office(limits=LimitSettings(messages_per_minute=1))) as office:
        assert [(await office.post(event())).status_code for _ in range(2)] == [200, 429]
        office.limits = attrs.evolve(office.limits, messages_per_minute=10)
        receipt(await office.post(event()))
