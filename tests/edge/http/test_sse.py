"""The stream as server-sent events, over both versions of HTTP."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import h2.config
import h2.connection
import h2.events
import h11
import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from appliance.access.entrance import Entrance
from appliance.api import Event
from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.description.asyncapi import CRYPTOINTEL
from appliance.edge.surroundings import Ending
from appliance.settings.access import AuthSettings, KeySettings
from appliance.settings.fields import Seconds, Secret
from appliance.settings.tree import SseSettings
from appliance.settings.views import ViewSettings
from tests.edge import promised
from tests.edge.http.ledger import Ledger
from tests.edge.stage import KEY, PATIENCE, Stage, configuration, plain_http, playing, rest, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

SHORT = 0.2
"""Seconds of a deadline that a test waits for."""
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


def shown(place: str) -> list[tuple[str, str]]:
    return [("last-event-id", place)] if place else []


class Conversation(Protocol):
    """One request, in a version of HTTP."""

    def request(self, path: str, place: str = "") -> bytes: ...

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what came; give the part of the body in it, and what is to be answered."""

    @property
    def head(self) -> dict[bytes, bytes]: ...

    @property
    def ended(self) -> bool: ...


class First:
    """HTTP/1.1."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        self.ended = False
        self.head: dict[bytes, bytes] = {}

    def request(self, path: str, place: str = "") -> bytes:
        headers = [("host", "x"), *AUTHORIZED.items(), *shown(place)]
        request = h11.Request(method="GET", target=path, headers=headers)
        return (self._connection.send(request) or b"") + (self._connection.send(h11.EndOfMessage()) or b"")

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        self._connection.receive_data(data)
        body = b""
        while True:
            match self._connection.next_event():
                case h11.Response(status_code=status, headers=headers):
                    self.head = {**dict(headers), b":status": b"%d" % status}
                case h11.Data(data=part):
                    body += bytes(part)
                case event:
                    self.ended = isinstance(event, h11.EndOfMessage)
                    return body, b""


class Second:
    """HTTP/2."""

    def __init__(self) -> None:
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self.ended = False
        self.head: dict[bytes, bytes] = {}

    def request(self, path: str, place: str = "") -> bytes:
        self._connection.initiate_connection()
        pseudo = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", "x")]
        self._connection.send_headers(1, [*pseudo, *AUTHORIZED.items(), *shown(place)], end_stream=True)
        return self._connection.data_to_send()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        body = b""
        for event in self._connection.receive_data(data):
            match event:
                case h2.events.ResponseReceived(headers=headers):
                    self.head = dict(headers)
                case h2.events.DataReceived(data=part, flow_controlled_length=length):
                    body += part
                    self._connection.acknowledge_received_data(length, 1)
                case h2.events.StreamEnded():
                    self.ended = True
        return body, self._connection.data_to_send()


@attrs.define
class Reader:
    """What an `EventSource` would make of it."""

    stream: trio.SocketStream
    conversation: Conversation
    retry: int | None = None
    place: str = ""
    comments: int = 0
    waiting: bytes = b""

    async def block(self) -> bytes | None:
        """Give what stands before the next empty line, or None at the end of the stream."""
        with trio.fail_after(PATIENCE):
            while b"\n\n" not in self.waiting:
                if self.conversation.ended:
                    assert self.waiting == b""
                    return None
                data = bytes(await self.stream.receive_some(65_536))
                body, answer = self.conversation.receive(data)
                self.waiting += body
                await self.stream.send_all(answer)
                assert data, "cut off"
        block, _, self.waiting = self.waiting.partition(b"\n\n")
        return block

    async def event(self) -> dict[str, Any]:
        while (event := await self.event_or_end()) is None:
            raise AssertionError("the stream has ended")
        return event

    async def event_or_end(self) -> dict[str, Any] | None:
        """Give the next event, or None at the end of the stream."""
        while (block := await self.block()) is not None:
            message = self.read(block)
            if message is not None:
                return message
        return None

    def read(self, block: bytes) -> dict[str, Any] | None:
        """Take the fields of a block; give the message that is in it."""
        message: dict[str, Any] | None = None
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            match name:
                case b"data":
                    message = json.loads(value)
                    promised.keep((CRYPTOINTEL,), message)
                case b"id":
                    self.place = value.decode()
                case b"retry":
                    self.retry = int(value)
                case _:
                    assert line.startswith(b":")
                    self.comments += 1
        return message


@contextlib.asynccontextmanager
async def reading(
    stage: Stage, channels: str, *, place: str = "", http2: bool = False
) -> AsyncIterator[Reader]:
    conversation = Second() if http2 else First()
    async with await stage.dial() as stream:
        await stream.send_all(conversation.request(f"/sse?channels={channels}", place))
        yield Reader(stream, conversation, place=place)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    with capture_logs() as log:
        async with playing() as opened:
            yield opened
            await until(lambda: opened.around.admission.connections == 0)
            assert opened.around.admission.sessions == 0
            assert opened.around.sessions == set()
            assert opened.traffic.opened == opened.traffic.closed
    assert [line for line in log if line["log_level"] in {"warning", "error"}] == []


async def ask(stage: Stage, query: str) -> httpx.Response:
    async with plain_http(stage.port) as http:
        return await http.get(f"/sse{query}", headers=AUTHORIZED)


# --- The stream. ---


@pytest.mark.parametrize("http2", [False, True])
async def test_events_arrive_behind_position_and_snapshot(stage: Stage, *, http2: bool) -> None:
    stage.publish("price", "BTC", price=1)
    async with reading(stage, "price:BTC,trades:x", http2=http2) as reader:
        answer = await reader.event()
        head = reader.conversation.head
        assert head[b":status"] == b"200"
        assert head[b"content-type"].startswith(b"text/event-stream")
        assert head[b"cache-control"] == b"no-store"
        assert reader.retry == 2_000
        assert [(at["channel"], at["offset"]) for at in answer["channels"]] == [
            ("price:BTC", 1),
            ("trades:x", 0),
        ]
        assert await reader.event() == {
            "type": "price_update",
            "channel": "price:BTC",
            "offset": 1,
            "data": {"price": 1},
        }
        for amount in range(200):
            stage.publish("trades", "x", amount=amount)
        for amount in range(200):
            event = await reader.event()
            assert (event["offset"], event["data"]) == (amount + 1, {"amount": amount})
        assert stage.around.admission.sessions == 1
        assert stage.traffic.opened == 1
    await until(lambda: stage.around.admission.sessions == 0)
    assert stage.traffic.sent_bytes > 1_000


async def test_who_asks_for_times_is_told_when_each_event_happened_and_when_it_came(stage: Stage) -> None:
    stage.hub.publish(Event("price", "BTC", {"price": 1}, 1.0), 2.25)
    async with reading(stage, "price:BTC&times=true") as reader, reading(stage, "price:BTC") as plain:
        for client in (reader, plain):
            await client.event()
        stage.hub.publish(Event("price", "BTC", {"price": 2}, 3.0), 4.25)
        events = [await reader.event() for _ in range(2)]
        assert [(event["at"], event["received"]) for event in events] == [
            ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.250Z"),
            ("1970-01-01T00:00:03.000Z", "1970-01-01T00:00:04.250Z"),
        ]
        assert [(await plain.event()).keys() & {"at", "received"} for _ in range(2)] == [set(), set()]


async def test_aliases_patterns_and_newcomers(stage: Stage) -> None:
    async with reading(stage, "price:bitcoin,trades:*,price:bitcoin") as reader:
        answer = await reader.event()
        assert [at["channel"] for at in answer["channels"]] == ["price:bitcoin"]
        assert answer["patterns"] == ["trades:*"]
        stage.publish("price", "BTC", price=1)
        stage.publish("trades", "new", amount=1)
        events = [await reader.event() for _ in range(3)]
        assert [event["type"] for event in events] == ["price_update", "subscribed", "trade"]


async def test_ids_are_sealed_as_soon_as_the_client_is_not_to_count_by_them() -> None:
    def keys(*views: ViewSettings) -> tuple[KeySettings, ...]:
        return (KeySettings(name="alice", key=Secret(KEY), views=views),)

    entrance = Entrance(AuthSettings(), keys(), lambda _: None)
    async with playing(entrance=entrance) as stage, reading(stage, "trades:x") as reader:
        await reader.event()
        told: list[tuple[int, bool]] = []
        for views in ((), (ViewSettings(topics=("price:*",), hide=("note",)),), ()):
            entrance.use(AuthSettings(), keys(*views))
            await until(partial(may_count, stage, not views))
            stage.publish("trades", "x", amount=len(told))
            told.append(((await reader.event())["offset"], stage.around.seal.is_closed(reader.place)))
            async with reading(stage, "trades:x", place=reader.place) as again:
                assert (await again.event())["channels"][0]["recovered"] is True
        assert told == [(1, False), (2, True), (3, False)]


def may_count(stage: Stage, expected: bool) -> bool:  # noqa: FBT001 - what all sessions are to be
    principals = [session.principal for session in stage.around.sessions if session.principal is not None]
    return all(each.entitlements.scope.is_everything is expected for each in principals)


def change(stage: Stage, **seconds: float) -> None:
    """Go on with other settings of event streams, as by a reload."""
    held = stage.held
    sse = SseSettings(**{name: Seconds(value) for name, value in seconds.items()})
    held.settings = attrs.evolve(held.settings, sse=sse)


async def test_silence_is_broken_by_comments(stage: Stage) -> None:
    change(stage, keep_alive=0.02)
    async with reading(stage, "price:BTC") as reader:
        await reader.event()
        while reader.comments < 3:
            block = await reader.block()
            assert block is not None
            reader.comments += block.startswith(b":")
        stage.publish("price", "BTC", price=1)
        event = await reader.event()
        assert event["data"] == {"price": 1}


async def test_how_long_to_wait_is_a_setting(stage: Stage) -> None:
    change(stage, retry=0.25)
    async with reading(stage, "price:BTC") as reader:
        await reader.event()
        assert reader.retry == 250


async def test_a_stream_counts_as_one_of_its_dialect(stage: Stage) -> None:
    async with reading(stage, "price:BTC") as reader:
        await reader.event()
        (session,) = stage.around.sessions
        assert (session.dialect, dict(session.details)) == ("cryptointel", {"channel": "sse"})


# --- Coming back. ---


def positions(subscribed: dict[str, Any]) -> dict[str, Any]:
    """Give, for each topic, whether it was recovered, and the gap where there is one."""
    return {at["channel"]: (at.get("recovered"), at.get("gap")) for at in subscribed["channels"]}


async def test_who_comes_back_gets_what_it_missed_of_all_topics(stage: Stage) -> None:
    channels = "trades:x,price:*"
    stage.publish("trades", "x", amount=0)  # before anybody reads
    async with reading(stage, channels) as reader:
        await reader.event()
        stage.publish("price", "BTC", price=1)
        stage.publish("trades", "x", amount=1)
        assert [(await reader.event())["data"] for _ in range(2)] == [{"price": 1}, {"amount": 1}]
    stage.publish("trades", "x", amount=2)
    stage.publish("price", "ETH", price=2)
    stage.publish("trades", "x", amount=3)
    async with reading(stage, channels, place=reader.place) as again:
        answer = await again.event()
        assert positions(answer) == dict.fromkeys(("trades:x", "price:BTC", "price:ETH"), (True, None))
        got = [(await again.event())["data"] for _ in range(3)]
        assert got == [{"amount": 2}, {"price": 2}, {"amount": 3}]
        stage.publish("price", "BTC", price=4)
        assert (await again.event())["data"] == {"price": 4}


@pytest.mark.parametrize("parameter", ["last_event_id", "lastEventId"])
async def test_who_can_set_no_header_shows_its_place_in_the_query(stage: Stage, parameter: str) -> None:
    for amount in range(3):
        stage.publish("trades", "x", amount=amount)
    async with reading(stage, f"trades:x&{parameter}=epoch-0-2") as reader:
        assert positions(await reader.event()) == {"trades:x": (True, None)}
        assert (await reader.event())["offset"] == 3


async def test_a_header_is_newer_than_the_query(stage: Stage) -> None:
    """A browser comes back to the URL that it was given, with a header of its own."""
    for amount in range(3):
        stage.publish("trades", "x", amount=amount)
    async with reading(stage, "trades:x&last_event_id=epoch-0-1", place="epoch-0-2") as reader:
        await reader.event()
        assert (await reader.event())["offset"] == 3


async def test_who_leaves_right_after_the_answer_misses_nothing_and_gets_nothing_twice(stage: Stage) -> None:
    stage.publish("price", "BTC", price=1)
    stage.publish("trades", "x", amount=1)  # no part of what a new client gets
    stage.publish("price", "ETH", price=1)
    channels, place, got = "price:BTC,price:ETH,trades:x", "", []
    for _ in range(3):  # each time as far as one event further
        async with reading(stage, channels, place=place) as reader:
            await reader.event()
            async with reading(stage, channels, place=reader.place) as again:
                await again.event()
                got.append(await again.event())
            place = again.place
        stage.publish("trades", "x", amount=2)
    assert [(event["channel"], event["offset"]) for event in got] == [
        ("price:BTC", 1),
        ("price:ETH", 1),
        ("trades:x", 2),
    ]


async def test_a_quiet_topic_does_not_bring_back_what_was_before(stage: Stage) -> None:
    """The newest value of a topic may be much older than the stream that begins with it."""
    stage.publish("price", "BTC", price=1)
    for amount in range(5):
        stage.publish("trades", "x", amount=amount)
    async with reading(stage, "price:BTC,trades:x") as reader:
        assert [(await reader.event())["type"] for _ in range(2)] == ["subscribed", "price_update"]
    stage.publish("trades", "x", amount=5)
    async with reading(stage, "price:BTC,trades:x", place=reader.place) as again:
        answer = await again.event()
        assert positions(answer) == {"price:BTC": (True, None), "trades:x": (True, None)}
        event = await again.event()
        assert (event["channel"], event["offset"]) == ("trades:x", 6)


@pytest.mark.parametrize("place", ["epoch-1-1", "epoch-0-99", "epoch-0-2.99", "epoch-9:1", "epoch-1-9.3"])
async def test_a_place_that_nobody_here_was_given_begins_anew(stage: Stage, place: str) -> None:
    stage.publish("trades", "x", amount=1)
    stage.publish("trades", "x", amount=2)
    async with reading(stage, "trades:x", place=place) as reader:
        assert positions(await reader.event()) == {"trades:x": (False, None)}
        assert reader.place == place  # nothing has been sent yet: who comes back begins anew again
        assert (await reader.event())["offset"] == 1
    async with reading(stage, "trades:x", place=reader.place) as again:
        assert positions(await again.event()) == {"trades:x": (True, None)}
        assert (await again.event())["offset"] == 2


async def test_who_comes_back_too_late_is_told(stage: Stage) -> None:
    for number in range(150):
        stage.publish("trades", "x", amount=number)
        stage.publish("price", "BTC", price=number)
    async with reading(stage, "trades:x,price:BTC", place="epoch-0-5") as reader:
        assert positions(await reader.event()) == {"trades:x": (False, None), "price:BTC": (False, None)}
        offsets = [(await reader.event())["offset"] for _ in range(101)]
        assert offsets == [*range(51, 151), 150]


async def test_a_position_of_a_poll_goes_on_as_a_stream(stage: Stage) -> None:
    for price in range(4):
        stage.publish("price", "BTC", price=price)
    async with reading(stage, "price:bitcoin", place="epoch-0:2") as reader:
        assert positions(await reader.event()) == {"price:bitcoin": (True, None)}
        assert [(await reader.event())["offset"] for _ in range(2)] == [3, 4]


async def test_names_of_one_topic_do_not_send_it_twice(stage: Stage) -> None:
    stage.publish("price", "BTC", price=1)
    async with reading(stage, "price:*,price:BTC,price:bitcoin", place="epoch-0-1") as reader:
        answer = await reader.event()
        assert positions(answer)["price:bitcoin"] == (True, None)
        stage.publish("price", "BTC", price=2)
        event = await reader.event()
        assert (event["channel"], event["offset"]) == ("price:bitcoin", 2)


@pytest.mark.parametrize("http2", [False, True])
async def test_several_ticks_at_once_make_nobody_slow_who_reads(stage: Stage, http2: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """As of a loop that comes late, and has them to catch up with."""
    ticks, keys = range(1, 6), [f"COIN{number}" for number in range(40)]

    def publish(tick: int) -> None:
        for key in keys:
            stage.publish("price", key, tick=tick, filler="x" * 600)

    publish(0)
    async with reading(stage, "price:*", http2=http2) as reader:
        for _ in ("subscribed", *keys):
            await reader.event()
        for tick in ticks:
            publish(tick)
            await trio.lowlevel.checkpoint()
        heard = [await reader.event() for _ in ticks for _ in keys]
    assert [(event.get("channel"), event.get("offset")) for event in heard] == [
        (f"price:{key}", 1 + tick) for tick in ticks for key in keys
    ]


async def little_room(stage: Stage) -> trio.SocketStream:
    """Connect with little room for what is not read at once."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    return trio.SocketStream(sock)


async def nothing() -> None:
    """Do it."""
    await trio.lowlevel.checkpoint()


async def cut(
    stage: Stage,
    channels: str,
    place: str,
    most: int,
    meanwhile: Callable[[], Awaitable[None]] = nothing,
) -> tuple[list[dict[str, Any]], str]:
    """Read so many bytes, and give the messages that were whole by then, and the newest place."""
    conversation = First()
    async with await little_room(stage) as stream:
        reader = Reader(stream, conversation, place=place)
        await stream.send_all(conversation.request(f"/sse?channels={channels}", place))
        with trio.fail_after(PATIENCE):
            while most > 0:
                data = bytes(await stream.receive_some(min(most, 65_536)))
                assert data
                most -= len(data)
                await meanwhile()
                reader.waiting += conversation.receive(data)[0]
                if reader.waiting.endswith(b": still here\n\n"):
                    break  # that was all
    *blocks, _ = reader.waiting.split(b"\n\n")
    messages = [message for block in blocks if (message := reader.read(block)) is not None]
    return messages, reader.place


TOPICS = [*(("price", key) for key in ("BTC", "ETH", "SOL", "ADA")), ("trades", "x"), ("trades", "y")]
COVERED = "price:*,trades:x,trades:y"


@pytest.mark.parametrize("seed", range(8))
async def test_over_however_many_cuts_nothing_is_missed_and_nothing_comes_twice(
    stage: Stage, seed: int
) -> None:
    dice = random.Random(seed)
    ledger, place, going = Ledger(), "", True

    def publish() -> None:
        channel, key = dice.choice(TOPICS)
        stage.publish(channel, key, filler="x" * dice.randrange(200))

    async def produce() -> None:
        while going:
            publish()
            await trio.sleep(0.001)

    for _ in range(dice.randrange(30)):
        publish()
    async with trio.open_nursery() as nursery:  # ends when all cuts are done
        nursery.start_soon(produce)
        for _ in range(40):
            messages, place = await cut(stage, COVERED, place, dice.randrange(1, 3_000))
            ledger.read(messages)
        going = False
    lasts = {topic.name: topic.last for topic in stage.hub.matching("*") if topic.last}
    async with reading(stage, COVERED, place=place) as reader:
        while not ledger.is_complete(lasts):
            ledger.read([await reader.event()])
    assert ledger.recovered > 20
    assert sum(len(account.got) for account in ledger.accounts.values()) > 50


@pytest.mark.parametrize("seed", range(4))
async def test_over_however_many_cuts_a_slow_client_gets_or_is_told_of_every_event(
    stage: Stage, seed: int
) -> None:
    """What is left out of one topic is told before later events of others say that the client has got so far."""
    change(stage, keep_alive=0.02)
    dice = random.Random(seed)
    ledger, place, bursts = Ledger(), "", [0]

    async def burst() -> None:
        for _ in range(bursts.pop() if bursts else 0):
            channel, key = dice.choice(TOPICS[: dice.choice((4, 4, 4, 4, 4, 4, 6))])
            stage.publish(channel, key, filler="x" * 90_000)
            await trio.testing.wait_all_tasks_blocked()  # what a socket takes is written meanwhile

    for _ in range(12):
        bursts.append(25)  # all in all fewer of a topic than it keeps
        messages, place = await cut(stage, COVERED, place, dice.randrange(1, 4_000_000), burst)
        ledger.read(messages)
    lasts = {topic.name: topic.last for topic in stage.hub.matching("*") if topic.last}
    async with reading(stage, COVERED, place=place) as reader:
        while not ledger.is_complete(lasts):
            ledger.read([await reader.event()])
    assert sum(len(account.told) for account in ledger.accounts.values()) > 5


# --- What is refused. ---


@pytest.mark.parametrize("query", ["", "?channels=", "?channels=,,", "?channel=price:BTC"])
async def test_no_channels_are_told(stage: Stage, query: str) -> None:
    answer = await ask(stage, query)
    assert answer.status_code == 400
    assert "/sse?channels=" in answer.json()["error"]


@pytest.mark.parametrize(
    "channels", ["nowhere:x", "price:BTC,nowhere:x", "price", "nowhere:*", "price:B*C", "%ff"]
)
async def test_unknown_channels_are_told_and_nothing_is_left_behind(stage: Stage, channels: str) -> None:
    answer = await ask(stage, f"?channels={channels}")
    assert answer.status_code == 404
    assert answer.json()["success"] is False
    assert stage.around.admission.sessions == 0
    assert stage.errors == {"INVALID_CHANNEL": 1}
    stage.publish("price", "BTC", price=1)  # which nobody reads


async def test_too_many_channels_are_told() -> None:
    async with playing(configuration(limits={"subscriptions": 2})) as stage:
        answer = await ask(stage, "?channels=price:BTC,price:ETH,trades:x")
        assert answer.status_code == 429
        assert "limits.subscriptions" in answer.json()["error"]
        assert stage.around.admission.sessions == 0


@pytest.mark.parametrize(
    "place", ["12", "epoch", "epoch-0-x", "epoch-0-1.2.3", "-1", "epoch-0-1 2", "x" * 300]
)
async def test_a_malformed_place_is_told_what_is_right(stage: Stage, place: str) -> None:
    shown = {**AUTHORIZED, "last-event-id": place}
    async with (
        plain_http(stage.port) as http,
        http.stream("GET", "/sse?channels=price:BTC", headers=shown) as answer,
    ):
        assert answer.status_code == 400
        assert b"EPOCH-SERIAL" in await answer.aread()
    assert stage.around.admission.sessions == 0


async def test_a_choice_that_is_none_is_told_what_is_right(stage: Stage) -> None:
    answer = await ask(stage, "?channels=price:BTC&times=yes")
    assert answer.status_code == 400
    assert "`true` or `false`" in answer.json()["error"]


@pytest.mark.parametrize("channels", ["price:BTC,price:ETH", "price:*"])
async def test_a_position_in_one_topic_is_none_in_several(stage: Stage, channels: str) -> None:
    answer = await ask(stage, f"?channels={channels}&last_event_id=epoch-0:1")
    assert answer.status_code == 400
    assert "epoch-0:1" in answer.json()["error"]


async def test_one_session_too_many_is_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"sessions": 1})) as stage:
        async with reading(stage, "price:BTC"):
            answer = await ask(stage, "?channels=price:BTC")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "capacity" in answer.json()["error"]
        await until(lambda: stage.around.admission.sessions == 0)
        async with reading(stage, "price:BTC") as reader:
            assert (await reader.event())["type"] == "subscribed"


async def test_one_connection_a_minute_too_many_is_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"connections_per_minute": 1})) as stage:
        async with reading(stage, "price:BTC"):
            answer = await ask(stage, "?channels=price:BTC")
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert "limits.connections_per_minute" in answer.json()["error"]


async def test_a_look_at_the_head_opens_no_session(stage: Stage) -> None:
    async with plain_http(stage.port) as http:
        answer = await http.head("/sse?channels=price:BTC", headers=AUTHORIZED)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert stage.around.admission.sessions == 0


# --- Ends. ---


@pytest.mark.parametrize("http2", [False, True])
async def test_an_ended_stream_gets_what_it_is_owed_and_when_to_come_back(
    stage: Stage, *, http2: bool
) -> None:
    async with reading(stage, "trades:x", http2=http2) as reader:
        await reader.event()
        stage.publish("trades", "x", amount=1)
        await stage.flusher.settled()
        (session,) = stage.around.sessions
        session.end(Ending(1012, "SERVER_RESTART", 1.5))
        event = await reader.event()
        assert event["data"] == {"amount": 1}
        assert await reader.event_or_end() is None
        assert reader.retry == 1_500


async def test_a_client_that_resets_is_let_go(stage: Stage) -> None:
    for _ in range(3):
        stream = await stage.dial()
        await stream.send_all(
            b"GET /sse?channels=price:* HTTP/1.1\r\nHost: x\r\nX-API-Key: " + KEY.encode() + b"\r\n\r\n"
        )
        await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        stage.publish("price", "BTC", price=1)
    await until(lambda: stage.around.admission.sessions == 0)


@contextlib.asynccontextmanager
async def stalled(stage: Stage, channel: str) -> AsyncIterator[trio.SocketStream]:
    """A client with little room that reads no more than the head of the answer."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    async with trio.SocketStream(sock) as stream:
        head = f"GET /sse?channels={channel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {KEY}\r\n\r\n"
        await stream.send_all(head.encode())
        assert bytes(await stream.receive_some(12)) == b"HTTP/1.1 200"
        await until(lambda: len(stage.around.sessions) > 0)
        yield stream


async def overwhelm(stage: Stage, channel: str, rounds: int = 200) -> None:
    for _ in range(rounds):
        stage.publish(channel, "BTC", filler="x" * 50_000)
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("channel", ["price", "trades"])
async def test_a_client_that_takes_nothing_is_cut_off(channel: str) -> None:
    async with playing(configuration(limits={"stalled": SHORT})) as stage, stalled(stage, f"{channel}:BTC"):
        await overwhelm(stage, channel)
        await until(lambda: stage.around.admission.connections == 0)
        assert stage.around.admission.sessions == 0
        assert stage.around.sessions == set()


async def test_a_stream_of_http2_that_takes_nothing_is_ended() -> None:
    """Its connection lives on: nothing of TCP would tell."""
    limits = {"stalled": SHORT, "goodbye": SHORT}
    async with playing(configuration(limits=limits)) as stage, await stage.dial() as stream:
        await stream.send_all(Second().request("/sse?channels=price:BTC"))
        await until(lambda: len(stage.around.sessions) == 1)
        async with trio.open_nursery() as nursery:  # ends when the session has
            nursery.start_soon(rest, stream)  # what comes is taken, but no window opened
            while stage.around.admission.sessions:
                await overwhelm(stage, "price", 1)
                await trio.sleep(0.005)
            assert stage.around.admission.connections == 1
            nursery.cancel_scope.cancel()
        assert stage.errors == {"SLOW_CLIENT": 1}


async def test_a_client_that_is_too_slow_for_a_log_is_told_where_it_can_resume() -> None:
    async with playing() as stage, stalled(stage, "trades:BTC") as stream:
        await overwhelm(stage, "trades", 400)
        data = await rest(stream)
        texts = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")]
        _, *events, error = [json.loads(text) for text in texts]
        assert error["error"]["code"] == "SLOW_CLIENT"
        offsets = [event["offset"] for event in events]
        assert offsets == list(range(1, len(offsets) + 1))
        assert error["error"]["resume"]["trades:BTC"]["offset"] == offsets[-1] < 400
        assert stage.errors == {"SLOW_CLIENT": 1}


async def test_who_is_silenced_gets_nothing_more(stage: Stage) -> None:
    async with reading(stage, "price:BTC,trades:*") as reader:
        await reader.event()
        sessions: list[Any] = list(stage.around.sessions)
        sessions[0].silence()
        stage.publish("price", "BTC", price=1)
        stage.publish("trades", "new", amount=1)
        sessions[0].expel(RequestError(ErrorCode.REVOKED_TOKEN, "taken back"))
        assert (await reader.event())["error"]["code"] == "REVOKED_TOKEN"
        assert await reader.event_or_end() is None
