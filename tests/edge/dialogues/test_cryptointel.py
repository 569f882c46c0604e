"""The conversation in the own protocol, with a real client, the real hub and a stream over TCP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.access.principals import Principal
from appliance.api import Event
from appliance.core.entitlements import Entitlements
from appliance.core.instants import timestamp
from appliance.dialects import cryptointel, framing
from appliance.edge.dialogues.cryptointel import Timed
from appliance.edge.session import Session
from appliance.edge.surroundings import Notice
from appliance.edge.words import Wording
from tests.bench.load_frames import Opcode, client_frame
from tests.edge.clients import is_served, subscription, with_little_room
from tests.edge.stage import KEY, Stage, configuration, playing, until


async def test_nothing_is_served_before_there_is_a_credential(stage: Stage) -> None:
    stage.publish("price", "BTC", price=1)
    async with stage.client(None) as client:
        for message in (
            subscription("price:BTC"),
            {"type": "ping"},
            {"type": "unsubscribe", "channels": ["x:y"]},
            {"type": "history", "channel": "price:BTC"},
        ):
            await client.say(**message)
            answer = await client.hear()
            assert answer["error"]["code"] == "UNAUTHORIZED"
            assert '"auth"' in answer["error"]["message"]
        await client.say(type="auth", token=KEY)
        assert (await client.hear())["type"] == "authenticated"


# --- What it asks for. ---


async def test_a_subscription_is_answered_with_position_snapshot_and_stream(stage: Stage) -> None:
    for price in (1, 2):
        stage.publish("price", "BTC", price=price)
    async with stage.client() as client:
        await client.say(**subscription("price:BTC", "trades:x"))
        answer = await client.hear()
        assert answer["type"] == "subscribed"
        assert [(at["channel"], at["mode"], at["offset"]) for at in answer["channels"]] == [
            ("price:BTC", "state", 2),
            ("trades:x", "log", 0),
        ]
        snapshot = await client.hear()
        assert snapshot == {"type": "price_update", "channel": "price:BTC", "offset": 2, "data": {"price": 2}}
        stage.publish("price", "BTC", price=3)
        stage.publish("trades", "x", amount=1)
        assert (await client.hear())["offset"] == 3
        assert await client.hear() == {
            "type": "trade",
            "channel": "trades:x",
            "offset": 1,
            "data": {"amount": 1},
        }


async def test_what_is_left_is_not_sent_any_more(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("price:BTC", "price:ETH"))
        await client.hear_of("subscribed")
        await client.say(type="unsubscribe", channels=["price:BTC", "price:ADA"])
        error = await client.hear()
        assert (error["error"]["code"], error["error"]["channel"]) == ("INVALID_CHANNEL", "price:ADA")
        assert await client.hear() == {"type": "unsubscribed", "channels": ["price:BTC"]}
        stage.publish("price", "BTC", price=1)
        stage.publish("price", "ETH", price=2)
        assert (await client.hear())["channel"] == "price:ETH"


async def test_aliases_are_heard_under_the_name_that_was_asked_for(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("price:bitcoin"))
        assert (await client.hear())["channels"][0]["channel"] == "price:bitcoin"
        stage.publish("price", "BTC", price=1)
        assert (await client.hear())["channel"] == "price:bitcoin"
        await client.say(type="unsubscribe", channels=["price:bitcoin"])
        assert await client.hear() == {"type": "unsubscribed", "channels": ["price:bitcoin"]}


async def test_a_pattern_covers_what_is_there_and_what_appears(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("trades:a*"))
        answer = await client.hear()
        assert (answer["channels"], answer["patterns"]) == ([], ["trades:a*"])
        stage.publish("trades", "b", amount=1)
        stage.publish("trades", "ab", amount=2)
        joined = await client.hear()
        assert joined["type"] == "subscribed"
        assert (
            joined["channels"][0].items()
            >= {"channel": "trades:ab", "pattern": "trades:a*", "offset": 0}.items()
        )
        assert (await client.hear())["data"] == {"amount": 2}


async def test_who_comes_back_gets_what_it_missed(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("trades:x"))
        epoch = (await client.hear())["channels"][0]["epoch"]
        stage.publish("trades", "x", amount=0)
        assert (await client.hear())["offset"] == 1
    for amount in range(1, 5):
        stage.publish("trades", "x", amount=amount)
    async with stage.client() as client:
        await client.say(**subscription("trades:x", recover={"trades:x": {"epoch": epoch, "offset": 2}}))
        assert (await client.hear())["channels"][0]["recovered"] is True
        assert [(await client.hear())["offset"] for _ in range(3)] == [3, 4, 5]
    async with stage.client() as client:
        await client.say(**subscription("trades:x", recover={"trades:x": {"epoch": "another", "offset": 2}}))
        assert (await client.hear())["channels"][0]["recovered"] is False


async def test_a_limit_leaves_updates_out(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("price:BTC", limit=5))
        assert (await client.hear())["channels"][0]["limit"] == 5
        for price in range(100):
            stage.publish("price", "BTC", price=price)
        assert (await client.hear())["offset"] == 1
        assert (await client.hear())["offset"] == 100
        await client.say(**subscription("trades:x", limit=5))
        assert (await client.hear())["error"]["code"] == "INVALID_MESSAGE"


async def test_the_library_is_answered_in_its_own_form(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(type="subscribe", channel="prices", params={"symbols": ["BTC"]})
        answer = await client.hear()
        assert (answer["type"], answer["data"]["channel"]) == ("subscription_success", "prices")
        stage.publish("price", "BTC", price=1)
        assert (await client.hear()).items() >= {
            "channel": "prices",
            "topic": "price:BTC",
            "offset": 1,
        }.items()
        await client.say(type="ping")
        assert "timestamp" in (await client.hear())["data"]
        await client.say(type="unsubscribe", channel="prices")
        assert (await client.hear())["data"] == {"channel": "prices", "channels": ["price:BTC"]}
        await client.say(type="unsubscribe", channel="prices")
        failed = await client.hear()
        assert (failed["type"], failed["data"]["code"]) == ("subscription_error", "INVALID_CHANNEL")


async def test_who_speaks_the_documents_form_is_told_the_status_unasked(stage: Stage) -> None:
    stage.publish("system", "status", status="healthy")
    async with stage.client() as client:
        await client.say(**subscription("price:BTC"))
        await client.hear_of("subscribed")
        assert (await client.hear()).items() >= {
            "type": "system_status",
            "data": {"status": "healthy"},
        }.items()
        await client.say(**subscription("price:ETH"))  # told once, not with each
        await client.hear_of("subscribed")
        stage.publish("system", "status", status="degraded")
        assert (await client.hear())["offset"] == 2
    async with stage.client(None) as client:
        await client.say(type="auth", token=KEY)
        assert (await client.hear())["type"] == "authenticated"
        assert (await client.hear())["type"] == "system_status"
    async with stage.client() as client:
        await client.say(type="subscribe", channel="prices")
        await client.hear_of("subscription_success")
        await client.say(type="ping")
        assert (await client.hear())["type"] == "pong"


async def test_the_status_may_be_left_and_asked_for(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("system:status"))
        await client.hear_of("subscribed")
        stage.publish("system", "status", status="healthy")
        assert (await client.hear())["offset"] == 1
        await client.say(type="unsubscribe", channels=["system:status"])
        await client.hear_of("unsubscribed")
        stage.publish("system", "status", status="healthy")
        assert await is_served(client)


# --- Times. ---

AT = 1_900_000_000.0
"""Of the first event that `happen` lets happen; the next ones follow a second apart."""


def happen(stage: Stage, topic: str, *later: float) -> None:
    """Let events happen at these seconds after AT, each received a quarter of a second after that."""
    channel, _, key = topic.partition(":")
    for seconds in later:
        stage.hub.publish(Event(channel, key, {"n": seconds}, AT + seconds), AT + seconds + 0.25)


def moment(seconds: float) -> str:
    return timestamp(AT + seconds)


def numbers(message: dict[str, Any]) -> list[float]:
    return [event["data"]["n"] for event in message["events"]]


async def test_who_asks_for_times_is_told_when_each_event_happened_and_when_it_came(stage: Stage) -> None:
    happen(stage, "price:BTC", 0)
    async with stage.client() as client, stage.client() as plain:
        await client.say(**subscription("price:BTC", "trades:*", times=True))
        await client.hear_of("subscribed")
        await plain.say(**subscription("price:BTC"))
        await plain.hear_of("subscribed")
        happen(stage, "trades:new", 1)
        happen(stage, "price:BTC", 2)
        assert await client.hear() == {
            "type": "price_update",
            "channel": "price:BTC",
            "offset": 1,
            "at": moment(0),
            "received": moment(0.25),
            "data": {"n": 0},
        }
        await client.hear_of("subscribed")
        assert [(await client.hear())["at"] for _ in range(2)] == [moment(1), moment(2)]
        for _ in range(2):
            assert (await plain.hear()).keys() == {"type", "channel", "offset", "data"}
        await client.say(**subscription("price:BTC"))  # again, without
        await client.hear_of("subscribed")
        happen(stage, "price:BTC", 3)
        assert (await client.hear()).keys() == {"type", "channel", "offset", "data"}


def test_words_with_times_are_others_than_those_without() -> None:
    """By equality, sessions share rendered frames."""
    form, other = cryptointel.Form.DOCUMENT, cryptointel.Form.LIBRARY
    with_times = {Timed(form, framing.text) for _ in range(2)}
    assert len(with_times) == 1
    assert len(with_times | {Wording(form, framing.text), Wording(other, framing.text)}) == 3


async def test_a_replay_begins_with_a_time_and_flows_over_into_what_comes(stage: Stage) -> None:
    happen(stage, "trades:x", 0, 1, 2, 1.5, 3)
    async with stage.client() as client:
        await client.say(**subscription("trades:x", recover={"trades:x": {"since": moment(2)}}))
        happen(stage, "trades:x", 4)
        answer = (await client.hear())["channels"][0]
        assert answer["recovered"] is True
        got = [await client.hear() for _ in range(6 - 2)]
        assert [message["data"]["n"] for message in got] == [2, 1.5, 3, 4]
        assert [message["offset"] for message in got] == [3, 4, 5, 6]
        happen(stage, "trades:x", 5)
        assert (await client.hear())["offset"] == 7


async def test_a_replay_of_what_a_pattern_covers_begins_with_a_time(stage: Stage) -> None:
    happen(stage, "trades:x", 0, 1)
    happen(stage, "trades:y", 0, 2)
    async with stage.client() as client:
        recover = {"trades:*": {"since": moment(1)}}
        await client.say(**subscription("trades:*", "price:bitcoin", recover=recover, times=True))
        answers = (await client.hear())["channels"]
        assert [at.get("recovered") for at in answers] == [True, True, None]
        assert [(await client.hear())["at"] for _ in range(2)] == [moment(1), moment(2)]
        happen(stage, "trades:z", 3)
        assert (await client.hear_of("trade"))["channel"] == "trades:z"


async def test_a_replay_of_what_is_not_all_kept_tells_of_what_times(stage: Stage) -> None:
    happen(stage, "price:BTC", *range(105))  # of which it keeps a hundred
    async with stage.client() as client:
        await client.say(**subscription("price:bitcoin", recover={"price:bitcoin": {"since": moment(2)}}))
        answer = (await client.hear())["channels"][0]
        assert (answer["recovered"], answer["gap"]) == (False, {"since": moment(2), "until": moment(4)})
        assert [(await client.hear())["offset"] for _ in range(100)] == [*range(6, 106)]


async def test_a_replay_of_a_state_that_is_older_begins_with_its_newest_value(stage: Stage) -> None:
    happen(stage, "price:BTC", 0, 1)
    async with stage.client() as client:
        await client.say(**subscription("price:BTC", recover={"price:BTC": {"since": moment(60)}}))
        assert (await client.hear())["channels"][0]["recovered"] is True
        assert (await client.hear())["offset"] == 2


# --- What a topic keeps. ---


async def test_what_a_topic_keeps_is_told_without_a_subscription(stage: Stage) -> None:
    happen(stage, "price:BTC", 0, 1)
    async with stage.client() as client:
        await client.say(type="history", channel="price:bitcoin", limit=1, id={"mine": [1]})
        assert await client.hear() == {
            "type": "history",
            "id": {"mine": [1]},
            "channel": "price:bitcoin",
            "mode": "state",
            "epoch": "epoch-0",
            "offset": 2,
            "position": "epoch-0:2",
            "start": "epoch-0:1",
            "events": [{"offset": 2, "at": moment(1), "received": moment(1.25), "data": {"n": 1}}],
        }
        happen(stage, "price:BTC", 2)
        assert await is_served(client)  # and not told of the event


async def test_history_is_paged_in_both_directions(stage: Stage) -> None:
    happen(stage, "trades:x", *range(7))
    async with stage.client() as client:

        async def ask(**more: Any) -> dict[str, Any]:
            await client.say(type="history", channel="trades:x", limit=3, **more)
            return await client.hear()

        newest = await ask()
        before = await ask(to=newest["start"])
        oldest = await ask(to=before["start"])
        assert [numbers(page) for page in (oldest, before, newest)] == [[0], [1, 2, 3], [4, 5, 6]]
        assert (await ask(to=oldest["start"]))["events"] == []
        onwards = await ask(after=oldest["position"])
        assert (numbers(onwards), onwards["recovered"]) == ([1, 2, 3], True)
        assert numbers(await ask(after=4, to=5)) == [4]
        assert numbers(await ask(since=moment(2))) == [2, 3, 4]
        assert numbers(await ask(since=moment(2), until=moment(4))) == [2, 3]
        assert numbers(await ask(until=moment(2))) == [0, 1]


async def test_history_tells_what_is_no_longer_kept(stage: Stage) -> None:
    happen(stage, "trades:x", *range(105))
    async with stage.client() as client:
        await client.say(type="history", channel="trades:x", after=2, limit=1)
        answer = await client.hear()
        assert (answer["recovered"], answer["gap"]) == (False, {"from": 3, "to": 5})
        await client.say(type="history", channel="trades:x", since=moment(3), limit=1)
        answer = await client.hear()
        assert (answer["recovered"], answer["gap"]) == (False, {"since": moment(3), "until": moment(4)})
        assert numbers(answer) == [5]
        await client.say(type="history", channel="trades:x", after="gone:3", limit=1)
        answer = await client.hear()
        assert (answer["recovered"], "gap" in answer) == (False, False)


async def test_one_answer_has_its_most_events_and_bytes() -> None:
    async with (
        playing(configuration(limits={"page": 4, "burst": 100_000})) as stage,
        stage.client() as client,
    ):
        for amount in range(6):
            stage.publish("trades", "x", amount=amount)
            stage.publish("trades", "large", filler="x" * 60_000)
        for name, most in (("trades:x", 4), ("trades:large", 2)):
            for more in ({}, {"after": 0}, {"limit": 1_000}):
                await client.say(type="history", channel=name, **more)
                assert len((await client.hear())["events"]) == most


@pytest.mark.parametrize("name", ["nowhere:x", "price", "price:*", "*", "price:B TC", "system:other"])
async def test_what_is_no_topic_has_no_history(stage: Stage, name: str) -> None:
    async with stage.client() as client:
        await client.say(type="history", channel=name, id=7)
        error = await client.hear()
        assert error.keys() == {"type", "error"}
        assert error["error"]["code"] == "INVALID_CHANNEL"
        assert (error["error"]["channel"], error["error"]["id"]) == (name, 7)
        await client.say(type="history", channel="trades:x")
        assert (await client.hear())["events"] == []
        await client.say(**subscription("nowhere:x"))
        assert "id" not in (await client.hear())["error"]
    assert stage.errors == {"INVALID_CHANNEL": 2}
    assert stage.hub.known("trades:x") is None  # it was there for who asked


async def test_the_librarys_clients_are_told_of_history_in_the_documents_form(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(type="subscribe", channel="prices", params={"symbols": ["BTC"]})
        await client.hear_of("subscription_success")
        await client.say(type="history", channel="nowhere:x")
        assert (await client.hear())["error"]["channel"] == "nowhere:x"
        await client.say(type="ping")
        assert "timestamp" in (await client.hear())["data"]  # its own form is what it was


async def test_what_a_client_may_not_read_has_no_history_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    happen(stage, "price:BTC", 0)
    monkeypatch.setattr(
        stage.around.gate(), "admit", lambda *_: Principal("narrow", Entitlements(read=("trades:*",)))
    )
    async with stage.client() as client:
        await client.say(type="history", channel="price:BTC")
        error = (await client.hear())["error"]
        assert (error["code"], error["message"]) == (
            "INVALID_CHANNEL",
            "Channel 'price:BTC' does not exist",
        )
        await client.say(type="history", channel="trades:x")
        assert (await client.hear())["type"] == "history"


async def test_history_counts_as_a_message() -> None:
    async with (
        playing(configuration(limits={"messages_per_minute": 2})) as stage,
        stage.client() as client,
    ):
        for _ in range(3):
            await client.say(type="history", channel="trades:x")
        assert [(await client.hear())["type"] for _ in range(3)] == ["history", "history", "error"]
        assert stage.errors == {"RATE_LIMITED": 1}


async def test_answers_for_who_does_not_read_are_not_gathered_without_end(stage: Stage) -> None:
    for _ in range(100):
        stage.publish("trades", "x", filler="x" * 1_000)
    asks = {"type": "history", "channel": "trades:x"}
    async with with_little_room(stage, "/ws", {"type": "ping"}, "pong") as stream:
        for _ in range(60):
            await stream.send_all(client_frame(Opcode.TEXT, json.dumps(asks).encode()))
        (session,) = stage.around.sessions
        assert isinstance(session, Session)
        await until(lambda: not session.outbox.open)
        async with stage.client() as other:
            for _ in range(20):
                assert await is_served(other)
        assert stage.traffic.received_messages < 20 + 30


# --- What it may not ask for. ---

BAD_TEXTS = {
    "no JSON": "hello",
    "nothing": "",
    "no object": "[1]",
    "no type": "{}",
    "unknown type": '{"type": "dance"}',
    "type is no text": '{"type": 1}',
    "wrong types": '{"type": "subscribe", "channels": "price:BTC"}',
    "no channel": '{"type": "subscribe"}',
    "empty list": '{"type": "subscribe", "channels": []}',
    "deep nesting": '{"type": ' + "[" * 20_000 + "]" * 20_000 + "}",
    "half a pair": '{"type": "subscribe", "channels": ["\\ud800"]}',
    "half a pair as type": '{"type": "\\udfff"}',
    "huge number": '{"type": "subscribe", "channels": ["price:BTC"], "limit": 1e999}',
    "negative offset": '{"type": "subscribe", "channels": ["a:b"], "recover": {"a:b": {"epoch": "e", "offset": -1}}}',
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS.keys())
async def test_a_bad_message_is_told_and_the_session_goes_on(stage: Stage, text: str) -> None:
    async with stage.client() as client:
        await client.socket.send_message(text)
        assert (await client.hear())["error"]["code"] == "INVALID_MESSAGE"
        assert await is_served(client)
    assert stage.errors == {"INVALID_MESSAGE": 1}


async def test_a_binary_message_is_told_and_the_session_goes_on(stage: Stage) -> None:
    async with stage.client() as client:
        await client.socket.send_message(b'{"type": "ping"}')
        assert (await client.hear())["error"]["code"] == "INVALID_MESSAGE"
        assert await is_served(client)


@pytest.mark.parametrize(
    "name",
    [
        "nowhere:x",
        "price",
        "price:",
        ":BTC",
        "price:B TC",
        "pr*ce:BTC",
        "nowhere:*",
        "system:other",
        "price:a*b",
    ],
)
async def test_a_bad_channel_is_told_and_the_others_are_served(stage: Stage, name: str) -> None:
    async with stage.client() as client:
        await client.say(**subscription(name, "price:BTC"))
        error = (await client.hear())["error"]
        assert (error["code"], error["channel"]) == ("INVALID_CHANNEL", name)
        assert [at["channel"] for at in (await client.hear())["channels"]] == ["price:BTC"]


async def test_too_many_channels_are_told() -> None:
    async with playing(configuration(limits={"subscriptions": 2})) as stage, stage.client() as client:
        await client.say(**subscription("price:BTC", "trades:*", "price:ETH"))
        error = (await client.hear())["error"]
        assert (error["code"], error["channel"]) == ("RATE_LIMITED", "price:ETH")
        assert "limits.subscriptions" in error["message"]
        await client.hear_of("subscribed")
        await client.say(**subscription("price:BTC"))  # again is no more
        await client.hear_of("subscribed")
        await client.say(type="unsubscribe", channels=["price:BTC"])
        await client.hear_of("unsubscribed")
        await client.say(**subscription("price:ETH"))
        assert (await client.hear())["type"] == "subscribed"


# --- Stale and fresh. ---


def notify(stage: Stage, channel: str, *, stale: bool) -> None:
    for session in list(stage.around.sessions):
        session.notice(Notice(channel, stale=stale, since=1_700_000_000.0))


async def test_who_reads_a_channel_is_told_that_it_is_silent_and_that_it_is_back(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("price:bitcoin", "trades:x"))
        await client.hear_of("subscribed")
        for channel, stale in (("price", True), ("portfolio", True), ("price", False)):
            notify(stage, channel, stale=stale)
        told = [await client.hear(), await client.hear()]
        since = "2023-11-14T22:13:20.000Z"
        assert told == [
            {"type": "stale", "channel": "price:bitcoin", "since": since},
            {"type": "fresh", "channel": "price:bitcoin", "since": since},
        ]
        await client.say(type="ping")
        assert (await client.hear())["type"] == "pong"


async def test_in_the_librarys_form_it_is_told_once_for_what_was_asked_for(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(type="subscribe", channel="prices", params={"symbols": ["BTC", "ETH"]})
        await client.hear_of("subscription_success")
        notify(stage, "price", stale=True)
        told = await client.hear()
        assert (told["type"], told["data"]["channel"]) == ("stale", "prices")
        await client.say(type="ping")
        assert (await client.hear())["type"] == "pong"


@pytest.mark.parametrize("target", ["/trading", "/ws/alerts", "/api/v1/predictions/stream"])
async def test_other_dialects_have_no_words_for_it(stage: Stage, target: str) -> None:
    async with stage.client(target=target) as client:
        await until(lambda: len(stage.around.sessions) == 1)
        notify(stage, "price", stale=True)
        stage.publish("alerts", "all", message="after")
        stage.publish("predictions", "BTC", current_price=1)
        stage.publish("trades", "all", symbol="BTC", side="BUY", quantity=1, price=2)
        first = await client.hear()
        assert first.get("type") not in {"stale", "fresh"}
