"""What gathers for clients that do not read, whichever way they come: it is seen, bounded, and nobody else's matter."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import attrs
import h2.config
import h2.connection
import pytest
import trio

from appliance.runtime.relief import Memory, Relief
from tests.bench.load_frames import Opcode, client_frame
from tests.edge.clients import is_served, read_messages, subscription, with_little_room
from tests.edge.stage import KEY, Stage, configuration, playing, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.runtime.relief import Debtor

PIECE = "x" * 90_000
PAGE: dict[str, Any] = {"type": "history", "channel": "trades:all"}
LEAST = 500_000
"""Bytes of an answer of 6 MB that no socket takes from who reads nothing."""


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with playing(configuration(limits={"burst": 8 * 1024**2})) as opened:
        for _ in range(70):
            opened.publish("trades", "all", text=PIECE)
        yield opened


@attrs.define
class Pressure:
    """The relief of a stage, whose memory is as it is said to be."""

    stage: Stage
    used: int = 0
    relief: Relief = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.relief = Relief(
            lambda: self.debtors,
            limits=lambda: self.stage.held.settings.limits,
            memory=lambda: Memory(self.used, 1_000),
            trim=lambda: None,
            press=self.stage.around.admission.press,
        )

    @property
    def debtors(self) -> tuple[Debtor, ...]:
        return *self.stage.around.sessions, *self.stage.server.exchanges

    @property
    def owed(self) -> int:
        return sum(debtor.owed_bytes for debtor in self.debtors)


@contextlib.asynccontextmanager
async def not_reading(stage: Stage, request: str) -> AsyncIterator[trio.SocketStream]:
    """Ask over HTTP/1.1, and read nothing."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    await sock.connect(("127.0.0.1", stage.port))
    async with trio.SocketStream(sock) as stream:
        await stream.send_all(f"{request}Host: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        yield stream


@contextlib.asynccontextmanager
async def asking_over_http2(stage: Stage, path: str) -> AsyncIterator[trio.SocketStream]:
    """Ask over HTTP/2, and open no window for the answer."""
    peer = h2.connection.H2Connection(h2.config.H2Configuration())
    peer.initiate_connection()
    headers = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": path}
    peer.send_headers(1, [*headers.items(), ("authorization", f"Bearer {KEY}")], end_stream=True)
    async with await stage.dial() as stream:
        await stream.send_all(peer.data_to_send())
        yield stream


async def test_who_does_not_take_an_answer_is_ended_and_nobody_else(stage: Stage) -> None:
    pressure = Pressure(stage)
    async with stage.client() as honest:
        await honest.say(**subscription("price:BTC"))
        await honest.hear_of("subscribed")
        async with with_little_room(stage, "/ws", subscription("price:ETH"), "subscribed") as slow:
            await slow.send_all(_frame(PAGE))
            await until(lambda: pressure.owed > LEAST)
            await pressure.relief.look()
            assert pressure.relief.ended == {}
            assert pressure.relief.most_owed > LEAST
            stage.change(owed_bytes=65_536, burst=4_096)
            await pressure.relief.look()
            assert pressure.relief.ended == {"owed": 1}
            messages, (code, reason) = await read_messages(slow)
            told = messages[-1]
            assert told["error"]["code"] == "SLOW_CLIENT"
            assert "limits.owed_bytes" in told["error"]["message"]
            assert 5 <= told["error"]["retry_after"] <= 15
            assert told["error"]["resume"].keys() == {"price:ETH", "system:status"}
            assert code == 1013
            assert reason.startswith("SLOW_CLIENT retry_after=")
        stage.publish("price", "BTC", price=7)
        assert (await honest.hear_of("price_update"))["data"]["price"] == 7
        assert stage.traffic.limits == {"owed_bytes": 1}


async def test_who_cannot_be_told_is_cut_off_at_the_next_look(stage: Stage) -> None:
    pressure = Pressure(stage)
    async with with_little_room(stage, "/ws", subscription("price:ETH"), "subscribed") as slow:
        await slow.send_all(_frame(PAGE))
        await until(lambda: pressure.owed > LEAST)
        stage.change(owed_bytes=65_536, burst=4_096, goodbye=60.0)
        for _ in range(3):
            await pressure.relief.look()
        await until(lambda: not stage.around.sessions)
        assert pressure.owed == 0


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
async def test_an_answer_that_is_not_taken_is_cut_off(stage: Stage, version: str) -> None:
    pressure, path = Pressure(stage), "/api/v1/topics/trades:all/events?after=0&limit=100"
    first = f"GET {path} HTTP/1.1\r\n"
    async with asking_over_http2(stage, path) if version == "HTTP/2" else not_reading(stage, first):
        await until(lambda: pressure.owed > LEAST)
        stage.change(owed_bytes=65_536, burst=4_096)
        await pressure.relief.look()
        await pressure.relief.look()
        assert pressure.relief.ended == {"owed": 1}
        await until(lambda: pressure.owed == 0 and stage.around.admission.connections == 0)


@pytest.mark.parametrize("way", ["event stream", "WebSocket"])
async def test_events_that_are_not_taken_gather_in_the_histories_alone(stage: Stage, way: str) -> None:
    pressure, names = Pressure(stage), ("trades:all", "price:BTC")
    stage.change(burst=262_144)
    opened = (
        not_reading(stage, f"GET /sse?channels={','.join(names)} HTTP/1.1\r\n")
        if way == "event stream"
        else with_little_room(stage, "/ws", subscription(*names), "subscribed")
    )
    async with opened:
        await until(lambda: len(stage.around.sessions) == 1)
        for _ in range(90):
            stage.publish("trades", "all", text=PIECE)
            await trio.lowlevel.checkpoint()
            assert pressure.owed < 1024**2
        await until(lambda: stage.flusher.behind == 1)
        await pressure.relief.look()
        assert pressure.relief.ended == {}


async def test_while_memory_is_short_who_reads_goes_on_and_who_does_not_goes(stage: Stage) -> None:
    pressure = Pressure(stage)
    async with stage.client() as honest:
        await honest.say(**subscription("price:BTC"))
        await honest.hear_of("subscribed")
        async with with_little_room(stage, "/ws", subscription("price:ETH"), "subscribed") as slow:
            await slow.send_all(_frame(PAGE))
            await until(lambda: pressure.owed > LEAST)
            pressure.used = 2_000
            for _ in range(3):
                await pressure.relief.look()
                stage.publish("price", "BTC", price=5)
                assert (await honest.hear_of("price_update"))["data"]["price"] == 5
            assert pressure.relief.ended == {"memory": 1}
            async with stage.client() as another:
                error = (await another.hear())["error"]
                assert error["code"] == "CONNECTION_FULL"
                assert "limits.memory" in error["message"]
                assert (await another.close_frame())[0] == 1013
        pressure.used = 100
        await pressure.relief.look()
        async with stage.client() as another:
            assert await is_served(another)
        assert await is_served(honest)


def _frame(message: dict[str, Any]) -> bytes:
    return client_frame(Opcode.TEXT, json.dumps(message).encode())
