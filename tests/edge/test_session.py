"""The life of a session, whatever it speaks, with a real client, the real hub and a stream over TCP."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
import trio_websocket
from structlog.testing import capture_logs

from appliance.core.errors import ErrorCode, RequestError
from appliance.edge.connection import SUBPROTOCOL
from appliance.edge.session import RESTART
from appliance.edge.surroundings import Ending
from appliance.settings.fields import Seconds
from appliance.settings.tree import HeartbeatSettings
from tests.bench.load_frames import Opcode, client_frame
from tests.edge.clients import (
    SHORT,
    is_sent_off,
    is_served,
    read_messages,
    subscription,
    with_little_room,
)
from tests.edge.stage import EXPIRED, KEY, PATIENCE, UPGRADE, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with playing(configuration(expires=LONG_AGO)) as opened:
        yield opened
        await until(lambda: opened.around.admission.connections == 0)
        assert opened.around.sessions == set()


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


# --- How often it may ask. ---


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


def stalled(stage: Stage, *names: str) -> contextlib.AbstractAsyncContextManager[trio.SocketStream]:
    """A subscribed client with little room that reads only its answers."""
    return with_little_room(stage, "/ws", subscription(*names), "subscribed")


async def test_a_client_that_accepts_nothing_is_told_where_it_can_resume() -> None:
    async with (
        playing(configuration(limits={"stalled": SHORT, "unsent": 4_096, "goodbye": SHORT})) as stage,
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


async def test_a_client_that_never_reads_again_harms_nobody() -> None:
    async with (
        playing(configuration(limits={"stalled": SHORT, "unsent": 4_096, "goodbye": SHORT})) as stage,
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


async def test_a_client_that_stalls_while_it_is_owed_events_may_be_ended() -> None:
    """The flusher waits for its socket then, and must survive that it is closed."""
    settings = configuration(limits={"goodbye": SHORT})
    async with playing(settings) as stage, stage.client() as honest, stalled(stage, "price:BTC"):
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

            async def speak() -> None:
                while True:  # malformed: each is answered with more than it takes
                    await stream.send_all(ping * 1_000)

            async with trio.open_nursery() as nursery:  # ends when no more of it is read
                nursery.start_soon(speak)
                with trio.fail_after(PATIENCE):
                    read = 0
                    while not read or stage.traffic.received_messages != read:
                        read = stage.traffic.received_messages
                        await trio.sleep(SHORT)
                nursery.cancel_scope.cancel()
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


TOLD: dict[str, Callable[[Any], Any]] = {
    "/ws": lambda message: (message["error"]["code"], message["error"]["message"]),
    "/shared": lambda message: (None, message["error"]),
    "/trading": lambda message: (None, message["error"]),
    "/ws/predictions/BTC": lambda message: (None, message["message"]),
    "/ws/alerts": lambda message: (None, message["message"]),
}
"""How the dialect on each path says an error: its code, where it has such a thing, and its text."""


@pytest.mark.parametrize("target", TOLD)
async def test_a_session_without_a_message_either_way_is_ended(target: str) -> None:
    started = trio.current_time()
    async with playing(configuration(limits={"idle": SHORT})) as stage, stage.client(target=target) as client:
        code, text = TOLD[target](await client.hear_of("error"))
        assert code in {None, "IDLE_TIMEOUT"}
        assert text == "No message either way for 0.2 s (limits.idle)"
        assert await client.close_frame() == (1001, "IDLE_TIMEOUT")
        assert trio.current_time() - started >= SHORT
        assert stage.errors == {"IDLE_TIMEOUT": 1}


async def test_a_client_that_only_listens_to_rows_is_ended_without_a_word() -> None:
    settings = configuration(limits={"idle": SHORT})
    target = "/api/v1/predictions/stream"
    async with playing(settings) as stage, stage.client(target=target) as client:
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.hear()
        assert await client.close_frame() == (1001, "IDLE_TIMEOUT")


async def test_who_speaks_or_is_spoken_to_is_not_idle() -> None:
    """Also by what a protocol's own pings are not: they say nothing."""
    idle = 10 * SHORT  # longer than a busy machine lets anybody wait for an answer
    async with (
        playing(configuration(limits={"idle": idle})) as stage,
        stage.client() as speaking,
        stage.client() as listening,
        stage.client() as silent,
    ):
        for client in (listening, silent):
            await client.say(**subscription("trades:x" if client is listening else "trades:y"))
            await client.hear_of("subscribed")
        closing: list[tuple[int, str]] = []

        async def read_to_the_end() -> None:
            await silent.hear_of("error")
            closing.append(await silent.close_frame())

        async with trio.open_nursery() as nursery:  # ends with the silent client
            nursery.start_soon(read_to_the_end)
            while not closing:
                with contextlib.suppress(trio_websocket.ConnectionClosed):  # which is soon read
                    await silent.socket.pong()
                stage.publish("trades", "x", amount=1)
                assert await is_served(speaking)
                assert (await listening.hear())["data"] == {"amount": 1}
                await trio.sleep(idle / 20)
        assert closing == [(1001, "IDLE_TIMEOUT")]
        await until(lambda: stage.around.admission.sessions == 2)
        assert await is_served(listening)


@pytest.mark.parametrize("target", TOLD)
async def test_a_message_that_is_too_big_is_told_before_the_end(target: str) -> None:
    settings = configuration(limits={"message_bytes": 1_000})
    async with playing(settings) as stage, stage.client(target=target) as client:
        await client.socket.send_message("x" * 1_001)
        code, text = TOLD[target](await client.hear_of("error"))
        assert code in {None, "INVALID_MESSAGE"}
        assert text == "A message is at most 1000 bytes (limits.message_bytes)"
        assert (await client.close_frame())[0] == 1009
        assert stage.errors["INVALID_MESSAGE"] == 1


@pytest.mark.parametrize("target", [target for target in TOLD if target != "/shared"])
async def test_who_cannot_be_let_in_is_told_in_its_own_words(target: str) -> None:
    async with (
        playing(configuration(limits={"sessions": 1})) as stage,
        stage.client(),
        stage.client(target=target) as second,
    ):
        code, text = TOLD[target](await second.hear())
        assert code in {None, "CONNECTION_FULL"}
        assert "limits.sessions" in text
        assert await second.close_frame() == (1013, "CONNECTION_FULL retry_after=5.0")


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
    let_in, opened, closed = log
    assert (let_in["event"], let_in["principal"], let_in["way"]) == ("let in", "alice", "query")
    assert opened == {
        "event": "session opened",
        "log_level": "info",
        "client": "127.0.0.1",
        "path": "/ws",
        "dialect": "cryptointel",
        "way": "query",
        "principal": "alice",
        "kind": "key",
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
    refused, closed = log
    assert (refused["event"], refused["code"], refused["way"]) == ("refused", "INVALID_TOKEN", "query")
    assert (closed["event"], closed["code"], closed["principal"]) == ("session closed", 1008, None)
    assert "nearly-right" not in repr(log)


async def test_a_session_leaves_nothing_behind_in_the_hub(stage: Stage) -> None:
    async with stage.client() as client:
        await client.say(**subscription("trades:nobody-else", "price:*", "trades:*"))
        await client.hear_of("subscribed")
    await until(lambda: stage.around.admission.connections == 0)
    assert list(stage.hub.matching("trades:*")) == []
    stage.publish("price", "BTC", price=1)
    stage.publish("trades", "new", amount=1)


async def test_what_sessions_have_moved_never_becomes_less() -> None:
    """Not even while one says goodbye: who reads the counts would take that for a restart."""
    async with playing() as stage:
        told: list[tuple[int, int]] = []

        def look() -> None:
            for session in stage.around.sessions:
                session.account()
            told.append((stage.traffic.received_bytes, stage.traffic.sent_bytes))

        async with stage.client() as client:
            await client.say(type="subscribe", channels=["trades:all"])
            await client.hear_of("subscribed")
            look()
            stage.publish("trades", "all", text="x" * 1000)
            await client.hear_of("trade")
            look()
            look()
        await until(lambda: stage.traffic.closed == 1)
        look()
    assert told == sorted(told)
    assert told[0][0] > 0
    assert told[1][1] - told[0][1] > 1000
    assert told[2] == told[1]
    assert told[3][1] > told[2][1]  # the close frame


@pytest.mark.parametrize(
    ("target", "transport"),
    [
        ("/ws", "websocket"),
        ("/sse?channels=price:BTC", "sse"),
        ("/api/v1/topics/price:BTC/events?wait=30", "poll"),
    ],
)
async def test_it_is_known_how_each_travels(target: str, transport: str) -> None:
    async with playing() as stage, await stage.dial() as stream:
        headers = UPGRADE if transport == "websocket" else b"GET /ws HTTP/1.1\r\nHost: localhost\r\n"
        credential = b"Authorization: Bearer %b\r\n\r\n" % KEY.encode()
        await stream.send_all(headers.replace(b"/ws", target.encode(), 1) + credential)
        await until(lambda: bool(stage.around.sessions))
        assert [(each.dialect, each.transport) for each in stage.around.sessions] == [
            ("cryptointel", transport)
        ]


async def test_who_is_silenced_gets_nothing_more_and_is_not_heard(stage: Stage) -> None:
    """Many are silenced at once, and ended one by one."""
    async with stage.client() as client:
        await client.say(type="subscribe", channels=["price:BTC", "trades:x"])
        await client.hear_of("subscribed")
        sessions: list[Any] = list(stage.around.sessions)
        sessions[0].silence()
        stage.publish("price", "BTC", price=1)
        stage.publish("trades", "x", amount=1)
        await client.say(type="subscribe", channels=["price:ETH"])
        await until(lambda: stage.traffic.received_messages == 2)
        sessions[0].expel(RequestError(ErrorCode.REVOKED_TOKEN, "taken back"))
        assert (await client.hear())["error"]["code"] == "REVOKED_TOKEN"
        assert await client.close_frame() == (1008, "REVOKED_TOKEN")
