"""The conversation in the own protocol, with a real client, the real hub and a stream over TCP."""

from __future__ import annotations

import pytest

from appliance.edge.surroundings import Notice
from tests.edge.clients import is_served, subscription
from tests.edge.stage import KEY, Stage, configuration, playing, until


async def test_nothing_is_served_before_there_is_a_credential(stage: Stage) -> None:
    stage.publish("price", "BTC", price=1)
    async with stage.client(None) as client:
        for message in (
            subscription("price:BTC"),
            {"type": "ping"},
            {"type": "unsubscribe", "channels": ["x:y"]},
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
