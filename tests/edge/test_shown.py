"""Who is shown a part comes back to exactly that part, over the wire; and is told of nothing else either."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import h11
import pytest
import trio

from appliance.access.entrance import Entrance
from appliance.api import Page, PageQuery, Row
from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Secret
from appliance.settings.views import ViewSettings
from tests.edge.stage import PATIENCE, TRADES, Stage, configuration, plain_http, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from appliance.runtime.report import Part

KEYS: dict[str, dict[str, Any]] = {
    "all": {},
    "masked": {"views": (ViewSettings(hide=("note",)),)},
    "mine": {"views": (ViewSettings(hide=("note",), only='account = "A1"'),)},
    "few": {"views": (ViewSettings(rate=20.0),)},
    "narrow": {"read": ("price:*",)},
}
MINE = 3
"""Every third event is of the account that `mine` sees."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    keys = tuple(KeySettings(name=name, key=Secret(f"sk_{name}"), **said) for name, said in KEYS.items())
    entrance = Entrance(AuthSettings(), keys, lambda _: None)
    async with playing(
        configuration(limits={"views": 2, "messages_per_minute": 60_000}),
        entrance=entrance,
        statistics=lambda part: {"whole": part is None},
        socket_status=counted,
    ) as opened:
        yield opened


def counted(part: Part | None) -> dict[str, Any]:
    return {"price": part is None or part.scope.has_whole("price")}


def publish(stage: Stage, first: int, last: int, topic: str = "trades:all") -> None:
    channel, _, key = topic.partition(":")
    for number in range(first, last + 1):
        account = "A1" if number % MINE == 0 else "A2-marker"
        stage.publish(channel, key, n=number, account=account, note="note-marker")


def mine(first: int, last: int) -> list[tuple[int, int]]:
    """Give the offsets and numbers of the events that `mine` gets."""
    return [(n // MINE, n) for n in range(first, last + 1) if n % MINE == 0]


async def heard(client: Any, count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while len(found) < count:
        message = await client.hear_of("trade")
        assert "marker" not in json.dumps(message)
        found.append((message["offset"], message["data"]["n"]))
    return found


async def test_own_protocol_resumes_inside_what_it_is_shown(stage: Stage) -> None:
    publish(stage, 1, 10)
    async with stage.client("sk_mine") as client:
        await client.say(type="subscribe", channels=["trades:all"])
        told = await client.hear_of("subscribed")
        (place,) = (
            told["channels"] if isinstance(told["channels"][0], dict) else [told["positions"]["trades:all"]]
        )
        assert place["offset"] == 3
        publish(stage, 11, 20)
        assert await heard(client, 3) == mine(11, 20)
    publish(stage, 21, 40)
    async with stage.client("sk_mine") as client:
        await client.say(
            type="subscribe", channels=["trades:all"], recover={"trades:all": {**place, "offset": 6}}
        )
        told = await client.hear_of("subscribed")
        assert '"recovered": true' in json.dumps(told)
        assert await heard(client, 7) == mine(21, 40)
        await client.say(type="history", channel="trades:all", limit=2)
        kept = await client.hear_of("history")
        assert [(event["offset"], event["data"]["n"]) for event in kept["events"]] == mine(34, 40)
        assert "marker" not in json.dumps(kept)


async def ask(stage: Stage, key: str, path: str) -> httpx.Response:
    async with plain_http(stage.port) as http:
        return await http.get(path, headers={"authorization": f"Bearer sk_{key}"})


async def test_polls_resume_inside_what_they_are_shown(stage: Stage) -> None:
    publish(stage, 1, 10)
    path, found = "/api/v1/topics/trades:all/events?limit=2&after=", []
    place = "0"
    for _ in range(3):
        answer = await ask(stage, "mine", path + place)
        assert "marker" not in answer.text
        told = answer.json()["data"]
        place = told["position"]
        found += [(event["offset"], event["data"]["n"]) for event in told["events"]]
        if len(found) == 2:
            publish(stage, 11, 20)
    assert found == mine(1, 20)


async def test_a_poll_waits_for_what_it_is_shown(stage: Stage) -> None:
    publish(stage, 1, 4)
    answers: list[httpx.Response] = []

    async def wait() -> None:
        answers.append(await ask(stage, "mine", "/api/v1/topics/trades:all/events?after=1&wait=25"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await until(lambda: bool(stage.around.sessions))
        publish(stage, 5, 5)
        await trio.sleep(0.05)
        assert not answers
        publish(stage, 6, 6)
    assert [event["data"]["n"] for event in answers[0].json()["data"]["events"]] == [6]


@attrs.define
class EventStream:
    """A stream of server-sent events as it comes over HTTP/1.1."""

    tcp: trio.SocketStream
    http: h11.Connection
    _text: str = ""

    async def event(self) -> dict[str, str]:
        """Give the next event that has data."""
        while True:
            while "\n\n" not in self._text:
                self._text += await self._more()
            event, _, self._text = self._text.partition("\n\n")
            found = {name: value for name, _, value in (line.partition(": ") for line in event.splitlines())}
            if "data" in found:
                return found

    async def _more(self) -> str:
        while True:
            match self.http.next_event():
                case h11.Data(data=part):
                    return bytes(part).decode()
                case h11.NEED_DATA:
                    with trio.fail_after(PATIENCE):
                        self.http.receive_data(await self.tcp.receive_some())


@contextlib.asynccontextmanager
async def streaming(stage: Stage, key: str, place: str = "") -> AsyncIterator[EventStream]:
    http = h11.Connection(h11.CLIENT)
    shown = [("host", "x"), ("authorization", f"Bearer sk_{key}")] + [("last-event-id", place)] * bool(place)
    request = h11.Request(method="GET", target="/sse?channels=trades:*", headers=shown)
    async with await stage.dial() as tcp:
        await tcp.send_all((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
        yield EventStream(tcp, http)


async def events_of(stream: EventStream, count: int) -> tuple[list[tuple[int, int]], str]:
    found: list[tuple[int, int]] = []
    place = ""
    while len(found) < count:
        event = await stream.event()
        assert "marker" not in json.dumps(event)
        message = json.loads(event["data"])
        if message["type"] == "trade":
            found.append((message["offset"], message["data"]["n"]))
            place = event["id"]
    return found, place


async def test_event_streams_resume_inside_what_they_are_shown(stage: Stage) -> None:
    publish(stage, 1, 10)
    async with streaming(stage, "mine") as stream:
        assert json.loads((await stream.event())["data"])["type"] == "subscribed"
        publish(stage, 11, 20)
        found, place = await events_of(stream, 3)
        assert found == mine(11, 20)
        # It does not tell how many events there were.
        assert place.startswith("~")
    publish(stage, 21, 40)
    async with streaming(stage, "mine", place) as stream:
        found, _ = await events_of(stream, 7)
        assert found == mine(21, 40)


async def test_at_a_rate_the_last_event_comes_in_the_end_and_nothing_faster(stage: Stage) -> None:
    async with stage.client("sk_few") as client:
        await client.say(type="subscribe", channels=["trades:all"])
        await client.hear_of("subscribed")
        publish(stage, 1, 50)
        assert [(m["offset"], m["data"]["n"]) for m in [await client.hear_of("trade") for _ in range(2)]] == [
            (1, 1),
            (2, 50),
        ]
    answer = await ask(stage, "few", "/api/v1/topics/trades:all/events?after=0")
    assert [event["data"]["n"] for event in answer.json()["data"]["events"]] == [1, 50]


async def test_no_more_ways_than_a_limit_and_a_hint(stage: Stage) -> None:
    async with stage.client("sk_mine") as one, stage.client("sk_masked") as other:
        for client in (one, other):
            await client.say(type="subscribe", channels=["trades:all"])
            await client.hear_of("subscribed")
        async with stage.client("sk_few") as third:
            await third.say(type="subscribe", channels=["trades:all", "price:BTC"])
            told = await third.hear_of("error")
            assert told["error"]["code"] == "UNAVAILABLE"
            assert "limits.views" in told["error"]["message"]
            assert (await third.hear_of("subscribed"))["type"] == "subscribed"
        assert (await ask(stage, "few", "/api/v1/topics/trades:all/latest")).status_code == 503
        publish(stage, 1, 3)
        assert await heard(one, 1) == [(1, 3)]


@pytest.mark.parametrize(
    ("key", "whole", "price"),
    [("all", True, True), ("masked", False, False), ("mine", False, False), ("narrow", False, True)],
)
async def test_who_is_shown_a_part_is_told_of_that_part(
    stage: Stage, key: str, *, whole: bool, price: bool
) -> None:
    assert (await ask(stage, key, "/ws/stats")).json() == {"whole": whole}
    assert (await ask(stage, key, "/websocket/status")).json() == {"price": price}
    assert (await ask(stage, key, "/metrics")).status_code == (200 if whole else 403)
    assert ("reasons" in (await ask(stage, key, "/ready")).json()) is whole


async def test_who_publishes_is_told_no_places_that_it_must_not_count() -> None:
    keys = (
        KeySettings(name="writer", key=Secret("sk_writer"), publish=("*",), read=("price:*",)),
        KeySettings(name="mine", key=Secret("sk_mine"), publish=("*",), **KEYS["mine"]),
        KeySettings(name="masked", key=Secret("sk_masked"), publish=("*",), **KEYS["masked"]),
    )
    async with playing(entrance=Entrance(AuthSettings(), keys, lambda _: None)) as stage:
        told = {}
        async with plain_http(stage.port) as http:
            for key in ("writer", "mine", "masked"):
                answer = await http.post(
                    "/api/v1/publish",
                    headers={"authorization": f"Bearer sk_{key}"},
                    json=[{"channel": name, "key": "BTC", "data": {}} for name in ("price", "trades")],
                )
                told[key] = [
                    [place["topic"] for place in event["topics"]] for event in answer.json()["data"]["events"]
                ]
    assert told == {
        "writer": [["price:BTC"], []],
        "mine": [[], []],
        "masked": [["price:BTC"], ["trades:BTC"]],
    }


async def test_a_place_of_a_stream_is_one_for_polls(stage: Stage) -> None:
    publish(stage, 1, 9)
    async with streaming(stage, "mine") as stream:
        assert json.loads((await stream.event())["data"])["type"] == "subscribed"
        publish(stage, 10, 12)
        _, place = await events_of(stream, 1)
    publish(stage, 13, 18)
    answer = await ask(stage, "mine", f"/api/v1/topics/trades:all/events?after={place}")
    assert [event["data"]["n"] for event in answer.json()["data"]["events"]] == [15, 18]
    answer = await ask(stage, "mine", f"/api/v1/topics/trades:all/events?after={place[:-1]}")
    assert answer.status_code == 400


async def test_the_next_page_of_rows_does_not_tell_where_it_begins(stage: Stage) -> None:
    asked: list[str | None] = []

    async def pager(query: PageQuery) -> Page:
        asked.append(query.cursor)
        return Page([Row("all", {"account": "A1", "n": 1}, 1.0)], "cursor-marker")

    stage.around.pages.add(TRADES, pager)
    path = "/api/v1/channels/trades/rows?limit=1"
    following = (await ask(stage, "mine", path)).json()["next"]
    assert "marker" not in following
    assert (await ask(stage, "mine", f"{path}&cursor={following}")).status_code == 200
    assert asked == [None, "cursor-marker"]
    assert (await ask(stage, "mine", f"{path}&cursor=cursor-marker")).status_code == 400
    assert (await ask(stage, "all", path)).json()["next"] == "cursor-marker"
    assert (await ask(stage, "all", f"{path}&cursor=cursor-marker")).status_code == 200
