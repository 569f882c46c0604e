"""The end of all sessions: nothing that they are owed is lost, and nobody is waited for beyond the deadline."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio
import trio.testing

from appliance.edge.farewell import say_goodbye
from appliance.settings.fields import Seconds
from appliance.settings.tree import StopSettings
from tests.edge.clients import is_served
from tests.edge.stage import KEY, PATIENCE, Stage, plain_http, playing, rest, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def end(stage: Stage, settled: Callable[[], Awaitable[None]] | None = None, *, deadline: float) -> None:
    stop = StopSettings(deadline=Seconds(deadline), retry=Seconds(4))
    await say_goodbye(
        stage.reception,
        stage.server,
        settled or stage.flusher.settled,
        stop=stop,
        deadline=trio.current_time() + deadline,
    )


async def test_each_is_handed_what_it_is_owed_and_told_when_to_come_back() -> None:
    async with playing() as stage, stage.client() as client, stage.client() as other:
        await client.say(type="subscribe", channels=["trades:all"])
        await client.hear_of("subscribed")
        assert await is_served(other)
        for number in range(100):
            stage.publish("trades", "all", number=number)
        random.seed(1)  # by chance, two wait as long in one run of about forty
        stage.nursery.start_soon(lambda: end(stage, deadline=PATIENCE))
        heard = [(await client.hear_of("trade"))["data"]["number"] for _ in range(100)]
        assert heard == list(range(100))
        reasons = []
        for each in (client, other):
            code, reason = await each.close_frame()
            assert code == 1012
            reasons.append(float(reason.removeprefix("SERVER_RESTART retry_after=")))
        assert all(0 <= wait <= 4 for wait in reasons)
        assert len(set(reasons)) == 2
        await until(lambda: not stage.around.sessions)


async def test_who_comes_meanwhile_is_told_the_same_at_once() -> None:
    async with playing() as stage, stage.client() as client:
        assert await is_served(client)
        drained = trio.Event()

        async def until_drained() -> None:
            await drained.wait()

        async with trio.open_nursery() as nursery:  # ends when all have gone
            nursery.start_soon(lambda: end(stage, until_drained, deadline=PATIENCE))
            await trio.testing.wait_all_tasks_blocked()
            async with stage.client() as late:
                assert (await late.hear())["error"]["code"] == "SERVER_RESTART"
                code, reason = await late.close_frame()
                assert (code, reason.partition("=")[0]) == (1012, "SERVER_RESTART retry_after")
            async with plain_http(stage.port) as http:
                answer = await http.get(
                    "/sse?channels=trades:all", headers={"Authorization": f"Bearer {KEY}"}
                )
            assert answer.status_code == 503
            assert 1 <= int(answer.headers["retry-after"]) <= 4
            assert await is_served(client)
            drained.set()
            assert (await client.close_frame())[0] == 1012


async def test_who_came_just_before_is_answered() -> None:
    async with playing() as stage, await stage.dial() as arriving:
        await until(lambda: bool(stage.reception.arriving))
        async with trio.open_nursery() as nursery:  # ends when all have gone
            nursery.start_soon(lambda: end(stage, deadline=PATIENCE))
            await trio.testing.wait_all_tasks_blocked()
            await arriving.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await rest(arriving)).startswith(b"HTTP/1.1 200 ")


async def test_it_returns_when_the_last_has_gone() -> None:
    async with playing() as stage, stage.client() as client:
        assert await is_served(client)
        with trio.fail_after(PATIENCE):
            await end(stage, deadline=10 * PATIENCE)
        assert not stage.around.sessions


async def test_who_does_not_go_is_not_waited_for_beyond_the_deadline() -> None:
    async with playing() as stage, await stage.dial() as stream:
        stage.change(goodbye=30.0)
        await stream.send_all(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Authorization: Bearer %b\r\n\r\n" % KEY.encode()
        )
        await until(lambda: bool(stage.around.sessions))
        begun = trio.current_time()

        async def never() -> None:
            await trio.sleep_forever()

        await end(stage, never, deadline=0.5)
        assert 0.25 < trio.current_time() - begun < PATIENCE


async def test_connections_that_idle_or_have_asked_for_nothing_are_let_go() -> None:
    async with playing() as stage, await stage.dial() as silent:
        async with plain_http(stage.port) as http:
            assert (await http.get("/health")).status_code == 200
            await until(lambda: bool(stage.reception.arriving))
            await end(stage, deadline=PATIENCE)
            await until(lambda: stage.around.admission.connections == 0)
        assert (await rest(silent)).startswith(b"HTTP/1.1 408 ")
