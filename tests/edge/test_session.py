"""Sessions in the appliance's own protocol, with a real client, the real hub and a stream over TCP."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
import trio_websocket
from structlog.testing import capture_logs

from appliance.edge import session as session_module
from appliance.edge.connection import SUBPROTOCOL
from appliance.edge.session import RESTART
from appliance.edge.surroundings import Ending
from appliance.settings.fields import Seconds
from appliance.settings.tree import HeartbeatSettings
from tests.bench.load_frames import FrameReader, Opcode, client_frame
from tests.edge.stage import EXPIRED, KEY, PATIENCE, UPGRADE, Client, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT = 0.2
"""Seconds of a deadline that a test waits for."""
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with playing(configuration(expires=LONG_AGO)) as opened:
        yield opened
        await until(lambda: opened.around.admission.connections == 0)
        assert opened.around.sessions == set()


async def is_served(client: Client) -> bool:
    await client.say(type="ping")
    return (await client.hear_of("pong")) == {"type": "pong"}


async def is_sent_off(client: Client, code: str) -> None:
    """See that a client is told this error and closed for it."""
    message = await client.hear()
    assert (message["type"], message["error"]["code"]) == ("error", code)
    assert await client.close_frame() == (1008, code)


def subscription(*names: str, **more: Any) -> dict[str, Any]:
    return {"type": "subscribe", "channels": list(names), **more}


# --- Who it is. ---


@pytest.mark.parametrize(
    ("target", "subprotocols"),
    [(f"/ws?token={KEY}", []), (f"/ws?api_key={KEY}&x=y", []), ("/ws", [SUBPROTOCOL, f"bearer.{KEY}"])],
)
async def test_a_credential_may_stand_in_the_request(
    stage: Stage, target: str, subprotocols: list[str]
) -> None:
    async with stage.client(None, target=target, subprotocols=subprotocols) as client:
        assert await is_served(client)


async def test_a_credential_may_stand_in_a_header(stage: Stage) -> None:
    async with stage.client(KEY) as client:
        assert await is_served(client)


async def test_a_credential_may_come_as_a_message(stage: Stage) -> None:
    async with stage.client(None) as client:
        await client.say(type="auth", token=KEY)
        assert await client.hear() == {"type": "authenticated", "data": {"name": "alice"}}
        assert await is_served(client)


@pytest.mark.parametrize(
    ("key", "code"),
    [("sk_wrong", "INVALID_TOKEN"), (EXPIRED, "EXPIRED_TOKEN"), ("x" * 5_000, "INVALID_TOKEN")],
)
async def test_a_bad_credential_ends_the_session(stage: Stage, key: str, code: str) -> None:
    async with stage.client(key) as client:
        await is_sent_off(client, code)
    async with stage.client(None) as client:
        await client.say(type="auth", token=key)
        await is_sent_off(client, code)
    assert stage.errors == {code: 2}


async def test_a_bad_credential_ends_a_session_that_had_a_good_one(stage: Stage) -> None:
    async with stage.client() as client:
        assert await is_served(client)
        await client.say(type="auth", token="sk_wrong")
        await is_sent_off(client, "INVALID_TOKEN")


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


async def test_without_a_credential_a_session_ends_in_time() -> None:
    async with playing(configuration(auth_timeout=SHORT)) as stage:
        async with stage.client(None) as client:
            await is_sent_off(client, "UNAUTHORIZED")
        async with stage.client(None) as client:  # talking does not move the deadline
            with contextlib.suppress(trio_websocket.ConnectionClosed):
                while (await client.hear())["error"]["message"].startswith("Authenticate first"):
                    await client.say(type="ping")
                    await trio.sleep(SHORT / 20)
            assert (await client.close_frame())[0] == 1008


async def test_where_no_credential_is_asked_none_is_looked_at() -> None:
    async with playing(configuration(auth="none")) as stage:
        for key in (None, "sk_wrong"):
            async with stage.client(key) as client:
                assert await is_served(client)
                await client.say(type="auth", token="whatever")
                assert await client.hear() == {"type": "authenticated", "data": {"name": "anonymous"}}


async def test_where_a_credential_is_optional_a_bad_one_is_still_refused() -> None:
    async with playing(configuration(auth="optional")) as stage:
        async with stage.client(None) as client:
            assert await is_served(client)
        async with stage.client("sk_wrong") as client:
            await is_sent_off(client, "INVALID_TOKEN")


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


async def test_too_many_messages_are_told_when_to_come_back() -> None:
    async with playing(configuration(limits={"messages_per_minute": 6})) as stage, stage.client() as client:
        for _ in range(6):
            await client.say(type="ping")
            assert await client.hear() == {"type": "pong"}
        await client.say(type="ping")
        error = (await client.hear())["error"]
        assert error["code"] == "RATE_LIMITED"
        assert 0 < error["retry_after"] <= 10


async def test_the_rate_is_that_of_the_moment(stage: Stage) -> None:
    async with stage.client() as client:
        assert await is_served(client)
        stage.change(messages_per_minute=1)
        assert await is_served(client)
        await client.say(type="ping")
        assert (await client.hear())["error"]["code"] == "RATE_LIMITED"


async def test_who_came_too_often_is_served_again_in_time() -> None:
    async with playing(configuration(limits={"messages_per_minute": 60})) as stage, stage.client() as client:
        for _ in range(62):
            await client.say(type="ping")
        await client.hear_of("error")
        assert await is_served(client)


# --- Those that cannot keep up. ---


@contextlib.asynccontextmanager
async def stalled(stage: Stage, *names: str) -> AsyncIterator[trio.SocketStream]:
    """A subscribed client with little room that reads only its answers."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    stream = trio.SocketStream(sock)
    async with stream:
        await stream.send_all(UPGRADE + f"Authorization: Bearer {KEY}\r\n\r\n".encode())
        assert b" 101 " in await stream.receive_some()
        text = json.dumps(subscription(*names)).encode()
        await stream.send_all(client_frame(Opcode.TEXT, text))
        got = b""
        while b'"subscribed"' not in got:
            got += bytes(await stream.receive_some())
        yield stream


async def read_messages(stream: trio.SocketStream) -> tuple[list[dict[str, Any]], tuple[int, str]]:
    """Read to the close frame and answer it; give all messages and what it says."""
    reader = FrameReader()
    messages: list[dict[str, Any]] = []
    with trio.fail_after(PATIENCE):
        while True:
            data = bytes(await stream.receive_some(65_536))
            assert data, "ended without a close frame"
            for opcode, payload in reader.feed(data):
                if opcode == Opcode.CLOSE:
                    await stream.send_all(client_frame(Opcode.CLOSE, payload))
                    return messages, (int.from_bytes(payload[:2], "big"), payload[2:].decode())
                messages.append(json.loads(payload))


async def test_a_client_that_accepts_nothing_is_told_where_it_can_resume() -> None:
    async with (
        playing(configuration(limits={"stalled": SHORT, "unsent": 4_096})) as stage,
        stalled(stage, "trades:x", "price:BTC") as stream,
    ):
        while stage.errors.get("SLOW_CLIENT", 0) == 0:
            stage.publish("trades", "x", filler="x" * 50_000)
            stage.publish("price", "BTC", price=1)
            await trio.sleep(0.005)
        messages, closed = await read_messages(stream)

        *events, error = messages
        assert error["error"]["code"] == "SLOW_CLIENT"
        assert closed == (1008, "SLOW_CLIENT")
        trades = [event["offset"] for event in events if event["channel"] == "trades:x"]
        assert trades == list(range(1, len(trades) + 1))
        prices = [event["offset"] for event in events if event["channel"] == "price:BTC"]
        resume = error["error"]["resume"]
        assert (resume["trades:x"]["offset"], resume["price:BTC"]["offset"]) == (trades[-1], prices[-1])

        async with stage.client() as client:
            await client.say(**subscription("trades:x", recover={"trades:x": resume["trades:x"]}))
            assert (await client.hear())["channels"][0]["recovered"] is True
            assert (await client.hear())["offset"] == trades[-1] + 1


async def test_a_client_that_never_reads_again_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_GOODBYE", SHORT)
    async with (
        playing(configuration(limits={"stalled": SHORT, "unsent": 4_096})) as stage,
        stage.client() as honest,
        stalled(stage, "price:BTC"),
    ):
        await honest.say(**subscription("trades:y"))
        await honest.hear_of("subscribed")
        while len(stage.around.sessions) == 2:
            stage.publish("price", "BTC", filler="x" * 50_000)
            await trio.sleep(0.005)
        await until(lambda: stage.around.admission.sessions == 1)
        stage.publish("trades", "y", amount=1)
        assert (await honest.hear())["data"] == {"amount": 1}
        assert stage.errors == {"SLOW_CLIENT": 1}


async def test_a_client_that_stalls_while_it_is_owed_events_may_be_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flusher waits for its socket then, and must survive that it is closed."""
    monkeypatch.setattr(session_module, "_GOODBYE", SHORT)
    async with playing() as stage, stage.client() as honest, stalled(stage, "price:BTC"):
        await honest.say(**subscription("trades:y"))
        await honest.hear_of("subscribed")
        for _ in range(100):
            stage.publish("price", "BTC", filler="x" * 50_000)
            await trio.lowlevel.checkpoint()
        for session in [session for session in stage.around.sessions if session.sent > 10_000]:
            session.end(Ending(RESTART, "SERVER_RESTART"))
        await until(lambda: stage.around.admission.sessions == 1)
        stage.publish("trades", "y", amount=1)
        assert (await honest.hear())["data"] == {"amount": 1}


async def test_a_late_reader_still_hears_what_it_did_wrong() -> None:
    async with playing() as stage, stalled(stage, "trades:x") as stream:
        for _ in range(100):
            stage.publish("trades", "x", filler="x" * 50_000)
            await trio.lowlevel.checkpoint()
        await stream.send_all(client_frame(Opcode.TEXT, b"\xff"))
        await until(lambda: stage.errors == {"bad_frame": 1})
        await trio.testing.wait_all_tasks_blocked(0.02)
        messages, (code, _) = await read_messages(stream)
        assert code == 1007
        assert [message["offset"] for message in messages] == list(range(1, len(messages) + 1))


async def test_a_client_that_does_not_read_its_answers_is_not_answered_without_end() -> None:
    async with playing(configuration(limits={"messages_per_minute": 1_000_000})) as stage:
        async with stalled(stage, "price:BTC") as stream:
            ping = b"\x81\x8f\0\0\0\0" + b'{"type":"ping" '
            with trio.move_on_after(SHORT):  # malformed: each is answered with more than it takes
                while True:
                    await stream.send_all(ping * 1_000)
            stuck = stage.traffic.received_messages
            with trio.move_on_after(SHORT):
                await stream.send_all(ping * 1_000)
            assert stage.traffic.received_messages == stuck
        await until(lambda: stage.around.admission.sessions == 0)


# --- Those that fall silent, and ends. ---


async def test_a_silent_client_is_pinged_and_let_go() -> None:
    heartbeat = HeartbeatSettings(interval=Seconds(SHORT), timeout=Seconds(SHORT))
    async with (
        playing(configuration(heartbeat=heartbeat)) as stage,
        stage.client() as honest,
        stalled(stage, "price:BTC") as silent,
    ):
        data = b""
        with trio.fail_after(PATIENCE):
            while b"\x88" not in data:
                chunk = bytes(await silent.receive_some())
                assert chunk
                data += chunk
        assert data[:2] == b"\x89\x00"
        assert data[data.index(b"\x88") :] == b"\x88\x11\x03\xe9no sign of life"
        assert await is_served(honest)


async def test_an_ended_session_gets_what_it_is_owed_and_a_reason(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("trades:x"))
        await client.hear_of("subscribed")
        stage.publish("trades", "x", amount=1)
        (session,) = stage.around.sessions
        session.end(Ending(RESTART, "SERVER_RESTART", 2.5))
        session.end(Ending(1000, "too late to change the reason"))
        assert (await client.hear())["data"] == {"amount": 1}
        assert await client.close_frame() == (1012, "SERVER_RESTART retry_after=2.5")


async def test_a_session_is_counted_and_written_down_without_secrets(stage: Stage) -> None:
    with capture_logs() as log:
        async with stage.client(None, target=f"/ws?token={KEY}") as client:
            await client.say(**subscription("price:BTC"))
            await client.hear_of("subscribed")
            stage.publish("price", "BTC", price=1)
            await client.hear_of("price_update")
            assert stage.traffic.opened == 1
            await client.socket.aclose(4000, "done")
        await until(lambda: stage.around.admission.connections == 0)
    opened, closed = log
    assert opened == {
        "event": "session opened",
        "log_level": "info",
        "client": "127.0.0.1",
        "path": "/ws",
        "principal": "alice",
    }
    assert closed["event"] == "session closed"
    wanted = {
        "code": 4000,
        "reason": "done",
        "principal": "alice",
        "events": 2,
        "messages": 1,
        "conflated": 0,
    }
    assert closed.items() >= wanted.items()
    assert closed["bytes_sent"] == stage.traffic.sent_bytes > 0
    assert closed["bytes_received"] == stage.traffic.received_bytes > 0
    assert 0 <= closed["seconds"] < PATIENCE
    assert KEY not in repr(log)
    assert (stage.traffic.closed, stage.traffic.received_messages) == (1, 1)


async def test_a_bad_credential_is_no_secret_of_the_log_either(stage: Stage) -> None:
    with capture_logs() as log:
        async with stage.client(None, target="/ws?token=sk_nearly-right") as client:
            await is_sent_off(client, "INVALID_TOKEN")
        await until(lambda: stage.around.admission.connections == 0)
    assert [(line["event"], line["code"], line["principal"]) for line in log] == [
        ("session closed", 1008, None)
    ]
    assert "nearly-right" not in repr(log)


async def test_a_session_leaves_nothing_behind_in_the_hub(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("trades:nobody-else", "price:*", "trades:*"))
        await client.hear_of("subscribed")
    await until(lambda: stage.around.admission.connections == 0)
    assert list(stage.hub.matching("trades:*")) == []
    stage.publish("price", "BTC", price=1)
    stage.publish("trades", "new", amount=1)
