"""Polls on real sockets: what they answer, what they wait for, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs
import h11
import httpx
import pytest
import trio
import trio.testing
from starlette.exceptions import HTTPException
from starlette.requests import Request
from structlog.testing import capture_logs

from appliance.access.gate import Peer
from appliance.access.principals import Principal
from appliance.api import Event
from appliance.core.entitlements import Entitlements
from appliance.core.errors import ErrorCode, RequestError
from appliance.core.instants import timestamp
from appliance.edge.http import polling
from appliance.edge.surroundings import Ending
from tests.edge.description import described
from tests.edge.http.ledger import Ledger
from tests.edge.stage import EXPIRED as KEY_OF_BOB
from tests.edge.stage import KEY, PATIENCE, UNTRUSTING, Stage, configuration, plain_http, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.responses import Response

AUTHORIZED = {"authorization": f"Bearer {KEY}"}
LONG = 20
"""Seconds that a poll would wait, were it not woken."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing() as opened:
            yield opened
            await until(lambda: opened.around.admission.connections == 0)
            assert_nothing_is_left(opened)
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


def assert_nothing_is_left(stage: Stage) -> None:
    assert stage.around.admission.sessions == 0
    assert stage.around.sessions == set()
    assert stage.traffic.opened == stage.traffic.closed
    assert stage.hub.known("price:unheard-of") is None  # it was there for who asked, and goes with them


def client(stage: Stage) -> httpx.AsyncClient:
    return plain_http(stage.port, "/api/v1/topics", headers=AUTHORIZED)


DESCRIBED = described.openapi()
POLL = described.answer(described.operation(DESCRIBED, "GET", "/api/v1/topics/price:BTC/events"), 200)


async def ask(stage: Stage, path: str, method: str = "GET", **parameters: Any) -> httpx.Response:
    async with client(stage) as http:
        return await http.request(method, path, params=parameters)


async def poll(stage: Stage, topic: str, **parameters: Any) -> dict[str, Any]:
    """Ask for events, and give the data of a good answer."""
    answer = await ask(stage, f"/{quote(topic, safe=':')}/events", **parameters)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
        "application/json",
        "no-store",
    )
    body = answer.json()
    assert body.keys() == {"success", "data", "error"}
    assert (body["success"], body["error"]) == (True, None)
    assert described.misfits(DESCRIBED, POLL, body) == []
    data: dict[str, Any] = body["data"]
    return data


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status
    body = answer.json()
    assert (body["success"], body["data"]) == (False, None)
    error: str = body["error"]
    return error


def offsets(data: dict[str, Any]) -> list[int]:
    return [event["offset"] for event in data["events"]]


@contextlib.asynccontextmanager
async def waiting(stage: Stage, topic: str, **parameters: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """Have a poll wait; its answer is there when the block has ended."""
    answers: list[dict[str, Any]] = []
    before = stage.around.admission.sessions

    async def ask_for_it() -> None:
        answers.append(await poll(stage, topic, **{"wait": LONG, **parameters}))

    async with trio.open_nursery() as nursery:  # ends with the answer
        nursery.start_soon(ask_for_it)
        await until(lambda: stage.around.admission.sessions == before + 1)
        yield answers


# --- What a poll answers. ---


async def test_a_first_poll_gets_what_a_new_subscriber_gets(stage: Stage) -> None:
    for price in range(3):
        stage.publish("price", "BTC", price=price)
        stage.publish("trades", "x", amount=price)
    assert await poll(stage, "price:BTC") == {
        "channel": "price:BTC",
        "mode": "state",
        "epoch": "epoch-0",
        "offset": 3,
        "position": "epoch-0:3",
        "start": "epoch-0:2",
        "events": [{"type": "price_update", "channel": "price:BTC", "offset": 3, "data": {"price": 2}}],
    }
    assert await poll(stage, "trades:x") == {
        "channel": "trades:x",
        "mode": "log",
        "epoch": "epoch-0",
        "offset": 3,
        "position": "epoch-0:3",
        "start": "epoch-0:3",
        "events": [],
    }


@pytest.mark.parametrize("after", ["epoch-0:2", "2", "epoch-0-2", "epoch-0-5.2"])
async def test_the_next_poll_gets_what_came_behind_the_position(stage: Stage, after: str) -> None:
    for amount in range(5):
        stage.publish("trades", "x", amount=amount)
    data = await poll(stage, "trades:x", after=after)
    assert data["recovered"] is True
    if after == "epoch-0-5.2":  # of a snapshot there is nothing in a log
        assert offsets(data) == []
    else:
        assert offsets(data) == [3, 4, 5]
        assert data["events"][0]["data"] == {"amount": 2}
    assert data["position"] == "epoch-0:5"


async def test_pages_follow_each_other(stage: Stage) -> None:
    for amount in range(7):
        stage.publish("trades", "x", amount=amount)
    position, got = "0", []
    for _ in range(4):
        data = await poll(stage, "trades:x", after=position, limit=3)
        position = data["position"]
        got.append(offsets(data))
    assert got == [[1, 2, 3], [4, 5, 6], [7], []]
    assert position == "epoch-0:7"


async def test_a_page_has_its_most_events_and_bytes() -> None:
    async with playing(configuration(limits={"page": 4, "burst": 100_000})) as stage:
        for amount in range(6):
            stage.publish("trades", "x", amount=amount)
            stage.publish("trades", "large", filler="x" * 60_000)
        assert offsets(await poll(stage, "trades:x", after="0", limit=1_000)) == [1, 2, 3, 4]
        assert offsets(await poll(stage, "trades:large", after="0")) == [1, 2]
        stage.publish("trades", "huge", filler="x" * 99_000)
        stage.publish("trades", "huge", filler="x" * 99_000)
        stage.change(burst=4_096)
        assert offsets(await poll(stage, "trades:huge", after="0")) == [1]


async def test_who_is_too_late_is_told(stage: Stage) -> None:
    for amount in range(150):
        stage.publish("trades", "x", amount=amount)
        stage.publish("price", "BTC", price=amount)
    log = await poll(stage, "trades:x", after="epoch-0:20", limit=2)
    assert (log["recovered"], log["gap"], offsets(log)) == (False, {"from": 21, "to": 50}, [51, 52])
    state = await poll(stage, "price:BTC", after="epoch-0:20")
    assert (state["recovered"], state["gap"], offsets(state)) == (False, {"from": 21, "to": 149}, [150])


@pytest.mark.parametrize("after", ["epoch-1:1", "epoch-0:99", "99", "epoch-1-1", "epoch-0-99"])
async def test_a_position_that_nobody_here_was_given_begins_anew(stage: Stage, after: str) -> None:
    for amount in range(2):
        stage.publish("trades", "x", amount=amount)
        stage.publish("price", "BTC", price=amount)
    for topic, there in (("trades:x", [1, 2]), ("price:BTC", [2])):
        data = await poll(stage, topic, after=after)
        assert (data["recovered"], offsets(data)) == (False, there)
        assert "gap" not in data


async def test_a_state_whose_history_has_let_go_still_has_its_newest_value(stage: Stage) -> None:
    topic = stage.hub.topic("price:BTC")
    topic.retention = attrs.evolve(topic.retention, age=60)
    for price in range(3):
        stage.publish("price", "BTC", price=price)
    topic.expire(1e12)
    assert offsets(await poll(stage, "price:BTC")) == [3]
    data = await poll(stage, "price:BTC", after="2")
    assert (data["recovered"], offsets(data)) == (True, [3])


AT = 1_900_000_000.0
"""Of the first event that `happen` lets happen; the next ones follow a second apart."""


def happen(stage: Stage, topic: str, *later: float) -> None:
    """Let events happen at these seconds after AT, each received a quarter of a second after that."""
    channel, _, key = topic.partition(":")
    for seconds in later:
        stage.hub.publish(Event(channel, key, {"n": seconds}, AT + seconds), AT + seconds + 0.25)


def moment(seconds: float) -> str:
    return timestamp(AT + seconds)


def numbers(data: dict[str, Any]) -> list[float]:
    return [event["data"]["n"] for event in data["events"]]


async def test_events_are_found_by_their_time(stage: Stage) -> None:
    happen(stage, "trades:x", 0, 1, 3, 2, 4)
    data = await poll(stage, "trades:x", since=moment(2))
    assert (numbers(data), data["recovered"], data["position"]) == ([3, 2, 4], True, "epoch-0:5")
    assert numbers(await poll(stage, "trades:x", since=moment(1), until=moment(3))) == [1, 2]
    assert numbers(await poll(stage, "trades:x", until=moment(2))) == [0, 1]
    assert numbers(await poll(stage, "trades:x", since=moment(4.5))) == []
    zoned = timestamp(AT + 2 + 3600).replace("Z", "+01:00")
    assert numbers(await poll(stage, "trades:x", since=zoned)) == [3, 2, 4]


async def test_events_of_a_time_are_paged_in_both_directions(stage: Stage) -> None:
    happen(stage, "trades:x", *range(10))
    between: dict[str, Any] = {"since": moment(2), "until": moment(9), "limit": 3}
    got, data = [], await poll(stage, "trades:x", **between)
    while data["events"]:
        got.append(numbers(data))
        data = await poll(stage, "trades:x", after=data["position"], **between)
        assert data["recovered"] is True
    assert got == [[2, 3, 4], [5, 6, 7], [8]]
    got, data = [], await poll(stage, "trades:x", to=data["position"], **between)
    while data["events"]:
        got.append(numbers(data))
        data = await poll(stage, "trades:x", to=data["start"], **between)
    assert got == [[6, 7, 8], [3, 4, 5], [2]]


async def test_events_are_found_between_offsets(stage: Stage) -> None:
    happen(stage, "trades:x", *range(10))
    assert offsets(await poll(stage, "trades:x", after="3", to="epoch-0:6")) == [4, 5, 6]
    assert offsets(await poll(stage, "trades:x", to="6", limit=2)) == [5, 6]
    lost = await poll(stage, "trades:x", to="gone:6")
    assert (lost["recovered"], offsets(lost)) == (False, [])


async def test_who_asks_for_times_that_are_not_kept_is_told(stage: Stage) -> None:
    happen(stage, "trades:x", *range(105))
    data = await poll(stage, "trades:x", since=moment(2), limit=1)
    gap = {"since": moment(2), "until": moment(4)}
    assert (data["recovered"], data["gap"], offsets(data)) == (False, gap, [6])
    assert (await poll(stage, "trades:x", since=moment(5), limit=1))["recovered"] is True


async def test_who_wants_times_is_told_them(stage: Stage) -> None:
    happen(stage, "trades:x", 0)
    event = (await poll(stage, "trades:x", after=0, times="true"))["events"][0]
    assert (event["at"], event["received"]) == (moment(0), moment(0.25))
    newest = (await ask(stage, "/trades:x/latest", times="true")).json()["data"]
    assert newest == event
    assert "at" not in (await poll(stage, "trades:x", after=0, times="false"))["events"][0]


async def test_a_topic_is_named_as_it_was_written(stage: Stage) -> None:
    stage.publish("price", "BTC", price=1)
    stage.publish("trades", "a/b c?é".replace(" ", "_"), amount=1)
    data = await poll(stage, "price:bitcoin")
    assert (data["channel"], data["events"][0]["channel"]) == ("price:bitcoin", "price:bitcoin")
    for path in ("/price%3ABTC/events", "/price:BTC/events", "/%70rice:BTC/events"):
        assert (await ask(stage, path)).json()["data"]["channel"] == "price:BTC"
    for path in ("/trades:a%2Fb_c%3F%C3%A9/latest", "/trades:a/b_c%3F%C3%A9/latest"):
        assert (await ask(stage, path)).json()["data"]["channel"] == "trades:a/b_c?é"


async def test_the_newest_event_or_null(stage: Stage) -> None:
    stage.publish("trades", "x", amount=1)
    stage.publish("trades", "x", amount=2)
    body = (await ask(stage, "/trades:x/latest")).json()
    event = {"type": "trade", "channel": "trades:x", "offset": 2, "data": {"amount": 2}}
    assert body == {"success": True, "data": event, "error": None}
    nothing = await ask(stage, "/price:unheard-of/latest")
    assert nothing.json() == {"success": True, "data": None, "error": None}


async def test_a_head_is_all_that_head_gets(stage: Stage) -> None:
    for path in ("/price:BTC/events", "/price:BTC/latest"):
        answer = await ask(stage, path, "HEAD", wait=LONG)
        assert (answer.status_code, answer.content) == (200, b"")
        assert int(answer.headers["content-length"]) > 10
    assert stage.traffic.opened == 0  # nobody waits for a head


async def test_other_parameters_are_passed_over(stage: Stage) -> None:
    answer = await ask(stage, "/price:BTC/events", token="not-looked-at", _="1", after="", wait="", limit="")
    assert answer.status_code == 200


# --- Waiting. ---


@pytest.mark.parametrize("topic", ["trades:x", "price:BTC", "price:unheard-of"])
async def test_a_poll_waits_for_the_next_event(stage: Stage, topic: str) -> None:
    async with waiting(stage, topic) as answers:
        (session,) = stage.around.sessions
        assert (session.dialect, dict(session.details)) == ("cryptointel", {"channel": "polling"})
        assert stage.traffic.opened == 1
        channel, _, key = topic.partition(":")
        if key == "unheard-of":
            session.end(Ending(1012, "SERVER_RESTART"))
        else:
            stage.publish(channel, key, n=1)
            stage.publish(channel, key, n=2)
    if key != "unheard-of":
        assert [event["data"] for event in answers[0]["events"]] == [{"n": 1}, {"n": 2}]
        assert "recovered" not in answers[0]


async def test_what_is_there_is_not_waited_for(stage: Stage) -> None:
    stage.publish("trades", "x", amount=1)
    stage.publish("price", "BTC", price=1)
    assert offsets(await poll(stage, "trades:x", after="0", wait=LONG)) == [1]
    assert offsets(await poll(stage, "price:BTC", wait=LONG)) == [1]
    assert stage.traffic.opened == 0


async def test_many_wait_and_each_gets_its_own(stage: Stage) -> None:
    stage.publish("trades", "x", amount=1)
    async with (
        waiting(stage, "trades:x", after="epoch-0:1") as first,
        waiting(stage, "trades:x", limit=1) as second,
        waiting(stage, "trades:y") as other,
    ):
        stage.publish("trades", "x", amount=2)
        await until(lambda: bool(first and second))
        assert other == []
        stage.publish("trades", "y", amount=3)
    assert (offsets(first[0]), offsets(second[0]), offsets(other[0])) == ([2], [2], [1])
    assert first[0]["recovered"] is True


@pytest.mark.parametrize("wait", ["0.05", "999999"])
async def test_when_the_time_is_over_the_answer_is_empty(wait: str) -> None:
    async with playing(configuration(limits={"wait": 0.1})) as stage:
        stage.publish("trades", "x", amount=1)
        data = await poll(stage, "trades:x", after="1", wait=wait)
        assert (data["events"], data["position"], data["recovered"]) == ([], "epoch-0:1", True)
        assert stage.traffic.opened == 1
        assert_nothing_is_left(stage)


async def test_at_a_stop_who_waits_is_told_when_to_come_back(stage: Stage) -> None:
    async with client(stage) as http, trio.open_nursery() as nursery:  # ends with the answer
        answers: list[httpx.Response] = []

        async def ask_for_it() -> None:
            answers.append(await http.get("/trades:x/events", params={"wait": LONG}))

        nursery.start_soon(ask_for_it)
        await until(lambda: len(stage.around.sessions) == 1)
        for session in list(stage.around.sessions):
            session.end(Ending(1012, "SERVER_RESTART", 1.5))
    assert (answers[0].status_code, answers[0].headers["retry-after"]) == (200, "2")
    assert answers[0].json()["data"]["position"] == "epoch-0:0"


async def test_what_is_lost_while_a_poll_waits_is_told(stage: Stage) -> None:
    async with waiting(stage, "trades:x") as answers:
        for amount in range(130):  # at once: more than the history keeps
            stage.publish("trades", "x", amount=amount)
    assert (answers[0]["recovered"], answers[0]["gap"]) == (False, {"from": 1, "to": 30})
    assert offsets(answers[0]) == list(range(31, 131))


@pytest.mark.parametrize("body", [b"", b"Content-Length: 3\r\n\r\nabc"])
async def test_a_client_that_leaves_is_let_go(stage: Stage, body: bytes) -> None:
    for _ in range(3):
        async with await stage.dial() as stream:
            await stream.send_all(
                b"GET /api/v1/topics/trades:x/events?wait=20 HTTP/1.1\r\nHost: x\r\nX-API-Key: "
                + KEY.encode()
                + b"\r\n"
                + (body or b"\r\n")
            )
            await until(lambda: stage.around.admission.sessions == 1)
        await until(lambda: stage.around.admission.sessions == 0)
    stage.publish("trades", "x", amount=1)  # which nobody reads


async def test_what_is_still_to_come_of_a_time_is_waited_for(stage: Stage) -> None:
    happen(stage, "trades:x", 0)
    async with waiting(stage, "trades:x", since=moment(1)) as answers:
        happen(stage, "trades:x", 1)
    assert numbers(answers[0]) == [1]
    for parameters in ({"to": "0"}, {"until": moment(0)}, {"since": moment(9), "to": "9"}):
        data = await poll(stage, "trades:x", wait=LONG, **parameters)
        assert data["events"] == []  # at once: nothing more can come of it
    assert stage.traffic.opened == 1


# --- What is refused. ---


@pytest.mark.parametrize("topic", ["nowhere:x", "price", "price:*", "*", "price:B*C", "%FF", "trades:", ":"])
@pytest.mark.parametrize("what", ["events", "latest"])
async def test_unknown_topics_are_told(stage: Stage, topic: str, what: str) -> None:
    answer = await ask(stage, f"/{topic}/{what}")
    assert refused(answer, 404)
    assert stage.errors == {"INVALID_CHANNEL": 1}


@pytest.mark.parametrize("endpoint", [polling.events, polling.latest])
async def test_what_a_client_may_not_read_does_not_exist_for_it(
    stage: Stage, endpoint: Callable[..., Awaitable[Response]]
) -> None:
    stage.publish("price", "BTC", price=1)
    narrow = Principal("narrow", Entitlements(read=("trades:*",)))

    async def answer(topic: str) -> tuple[int, str]:
        scope: dict[str, Any] = {
            "type": "http",
            "method": "GET",
            "query_string": b"",
            "headers": [],
            "client": None,
            "state": {"peer": Peer("127.0.0.1")},
        }
        request = Request({**scope, "path_params": {"topic": topic}})
        with pytest.raises(HTTPException) as caught:
            await endpoint(stage.around, stage.policy, narrow, request)
        return caught.value.status_code, caught.value.detail

    for topic in ("price:BTC", "price:unheard-of", "nowhere:x"):
        assert await answer(topic) == (404, f"Channel {topic!r} does not exist")


@pytest.mark.parametrize("key", ["", "sk_wrong"])
@pytest.mark.parametrize("what", ["events", "latest"])
async def test_without_a_good_key_nothing_is_told(stage: Stage, key: str, what: str) -> None:
    async with plain_http(stage.port) as http:
        answer = await http.get(f"/api/v1/topics/price:BTC/{what}", headers={"x-api-key": key})
    assert refused(answer, 401).startswith("Unauthorized: ")


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("after", "yesterday", "EPOCH:OFFSET"),
        ("after", "-1", "EPOCH:OFFSET"),
        ("after", "epoch-0:x", "EPOCH:OFFSET"),
        ("after", "9" * 20, "EPOCH:OFFSET"),
        ("to", "epoch-0:x", "EPOCH:OFFSET"),
        ("since", "yesterday", "2030-01-31T12:00:00Z"),
        ("until", "2030-01-31T12:00:00", "a time with its offset"),
        ("since", "1893456000", "a time with its offset"),
        ("times", "yes", "`true` or `false`"),
        ("wait", "soon", "0 to 30"),
        ("wait", "-1", "0 to 30"),
        ("wait", "inf", "0 to 30"),
        ("wait", "1e3", "0 to 30"),
        ("limit", "0", "1 to 1000"),
        ("limit", "1.5", "1 to 1000"),
        ("limit", "all", "1 to 1000"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_is_right(
    stage: Stage, name: str, value: str, right: str
) -> None:
    error = refused(await ask(stage, "/price:BTC/events", **{name: value}), 400)
    assert f"{name}={value!r}" in error
    assert right in error
    assert stage.errors == {"INVALID_MESSAGE": 1}


async def test_polls_have_their_own_rate_and_are_no_connections() -> None:
    limits = {"messages_per_minute": 5, "connections_per_minute": 1}
    async with playing(configuration(limits=limits)) as stage, client(stage) as http:
        for number in range(5):
            answer = await http.get("/price:BTC/events" if number % 2 else "/price:BTC/latest")
            assert answer.status_code == 200
        for path in ("/price:BTC/events", "/price:BTC/latest"):
            answer = await http.get(path)
            assert "limits.messages_per_minute" in refused(answer, 429)
            assert 0 < int(answer.headers["retry-after"]) <= 60
        assert stage.errors == {"RATE_LIMITED": 2}
        bob = await http.get("/price:BTC/latest", headers={"authorization": f"Bearer {KEY_OF_BOB}"})
        assert bob.status_code == 200
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2", verify=UNTRUSTING)
        async with httpx.AsyncClient(
            base_url=http.base_url, headers=AUTHORIZED, transport=transport
        ) as other:
            assert (await other.get("/price:BTC/latest")).status_code == 200


async def test_one_that_waits_too_many_is_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"sessions": 1})) as stage:
        async with waiting(stage, "trades:x"):
            answer = await ask(stage, "/trades:x/events", wait=LONG)
            assert "limits.sessions" in refused(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
            assert (
                await ask(stage, "/trades:x/events")
            ).status_code == 200  # who does not wait is no session
            stage.publish("trades", "x", amount=1)
        assert_nothing_is_left(stage)
        assert stage.errors == {"CONNECTION_FULL": 1}


@pytest.mark.parametrize("what", ["events", "latest"])
async def test_nothing_can_be_changed_here(stage: Stage, what: str) -> None:
    assert (await ask(stage, f"/price:BTC/{what}", "POST")).status_code == 405


# --- Coming back. ---


async def cut_or_not(stage: Stage, path: str, most: int) -> dict[str, Any] | None:
    """Poll on a connection of its own, that is cut after so many bytes; give the answer if it was whole by then."""
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target=path, headers=[("host", "x"), *AUTHORIZED.items()])
    body = b""
    async with await stage.dial() as stream:
        await stream.send_all(
            (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
        )
        with trio.fail_after(PATIENCE):
            while most > 0:
                data = bytes(await stream.receive_some(most))
                most -= len(data)
                connection.receive_data(data)
                while not isinstance(event := connection.next_event(), type):
                    if isinstance(event, h11.Data):
                        body += bytes(event.data)
                    elif isinstance(event, h11.EndOfMessage):
                        answer: dict[str, Any] = json.loads(body)
                        return answer
    return None


@pytest.mark.parametrize("topic", ["trades:x", "price:BTC"])
@pytest.mark.parametrize("seed", range(3))
async def test_over_however_many_cuts_nothing_is_missed_and_nothing_comes_twice(
    stage: Stage, topic: str, seed: int
) -> None:
    dice = random.Random(seed)
    channel, _, key = topic.partition(":")
    ledger = Ledger()
    first = await poll(stage, topic)
    ledger.read([{"type": "subscribed", "channels": [first]}, *first["events"]])
    position, whole = first["position"], 0

    async def produce() -> None:
        while True:
            # Never so far ahead that the history lets go of what is polled next: of that other tests tell.
            if stage.hub.topic(topic).last - int(position.rpartition(":")[2]) < 80:
                stage.publish(channel, key, filler="x" * dice.randrange(200))
            await trio.sleep(0.001)

    async with trio.open_nursery() as nursery:  # ends when all cuts are done
        nursery.start_soon(produce)
        while whole < 30:
            path = f"/api/v1/topics/{topic}/events?after={position}&wait=9&limit={dice.randrange(1, 9)}"
            answer = await cut_or_not(stage, path, dice.choice((dice.randrange(1, 600), 10_000)))
            if answer is not None:
                whole += 1
                position = answer["data"]["position"]
                assert answer["data"]["recovered"] is True
                ledger.read(answer["data"]["events"])
        nursery.cancel_scope.cancel()
    last = stage.hub.topic(topic).last
    while not ledger.is_complete({topic: last}):
        data = await poll(stage, topic, after=position)
        position = data["position"]
        ledger.read(data["events"])
    assert len(ledger.accounts[topic].got) >= 30


async def test_who_is_silenced_hears_of_no_event(stage: Stage) -> None:
    answers: list[httpx.Response] = []
    async with trio.open_nursery() as nursery:  # ends with the answer

        async def ask_for_it() -> None:
            answers.append(await ask(stage, "/trades:x/events", wait=LONG))

        nursery.start_soon(ask_for_it)
        await until(lambda: len(stage.around.sessions) == 1)
        sessions: list[Any] = list(stage.around.sessions)
        sessions[0].silence()
        stage.publish("trades", "x", amount=1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert answers == []
        sessions[0].expel(RequestError(ErrorCode.REVOKED_TOKEN, "taken back"))
    assert answers[0].status_code == 401
