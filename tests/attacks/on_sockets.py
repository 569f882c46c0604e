"""Attacks on sessions: frames of all bad kinds, and clients that ask for everything and read nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from tests.attacks.target import hold, pour, trickle
from tests.bench.load_frames import Opcode, client_frame

if TYPE_CHECKING:
    from tests.attacks.target import Target


def frame(first: int, payload: bytes = b"") -> bytes:
    whole = bytearray(client_frame(Opcode.TEXT, payload))
    whole[0] = first
    return bytes(whole)


def text(message: object) -> bytes:
    return client_frame(Opcode.TEXT, json.dumps(message).encode())


ALL = ["price:*", "market:*", "predictions:*", "trades:*", "portfolio:*", "signals:*", "alerts:*", "bench:*"]
EVERYTHING = text({"type": "subscribe", "channels": ALL})
BAD = (
    frame(0xC1, b"{}"),
    frame(0x83, b"{}"),
    frame(0x80, b"{}"),
    frame(0x09, b"x"),
    b"\x81\x02{}",
    b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4),
    client_frame(Opcode.TEXT, b"\xff" * 100),
    client_frame(Opcode.CLOSE, b"\x03"),
    client_frame(Opcode.PING, b"x" * 126),
)
DEEP = b"[" * 30_000 + b"]" * 30_000


async def upgrades(target: Target) -> None:
    async with target.upgraded():
        pass


async def wrong_keys(target: Target) -> None:
    async with target.upgraded(key="sk_guess") as stream:
        await hold(stream)


async def readers_that_do_not_read(target: Target) -> None:
    async with target.upgraded() as stream:
        await stream.send_all(EVERYTHING)
        await trio.sleep_forever()


async def readers_that_ask_on_and_on(target: Target) -> None:
    async with target.upgraded() as stream:
        await stream.send_all(EVERYTHING)
        while True:
            await stream.send_all(text({"type": "ping"}) * 100)


async def pings(target: Target) -> None:
    async with target.upgraded() as stream:
        await pour(stream, client_frame(Opcode.PING, b"x" * 125) * 100)


async def pongs(target: Target) -> None:
    async with target.upgraded() as stream:
        await pour(stream, client_frame(Opcode.PONG, b"") * 500)


async def endless_pieces(target: Target) -> None:
    async with target.upgraded() as stream:
        await stream.send_all(frame(0x01, b"{"))
        await pour(stream, frame(0x00, b" ") * 500)


async def endless_empty_pieces(target: Target) -> None:
    async with target.upgraded() as stream:
        await stream.send_all(frame(0x01))
        await pour(stream, frame(0x00) * 500)


async def slow_frames(target: Target) -> None:
    async with target.upgraded() as stream:
        await trickle(stream, EVERYTHING * 100)


async def large_messages(target: Target) -> None:
    async with target.upgraded() as stream:
        await pour(stream, b"\x81\xff" + (10_000_000).to_bytes(8, "big") + bytes(4) + b"x" * 60_000)


async def bad_frames(target: Target) -> None:
    for data in BAD:
        async with target.upgraded() as stream:
            await stream.send_all(data)
            with trio.move_on_after(0.2):
                await hold(stream)


async def messages(target: Target) -> None:
    async with target.upgraded() as stream:
        await pour(stream, text({"type": "ping"}) * 100)


async def subscriptions(target: Target) -> None:
    names = [f"signals:type:kind{number}" for number in range(500)]
    async with target.upgraded() as stream:
        await pour(stream, text({"type": "subscribe", "channels": names}) + EVERYTHING)


async def coming_and_going(target: Target) -> None:
    gone = text({"type": "unsubscribe", "channels": ALL})
    async with target.upgraded() as stream:
        await pour(stream, EVERYTHING + gone)


async def patterns(target: Target) -> None:
    names = ["*" * 200, "price:" + "*a" * 100, "price:(a+)+$", "*:*", "price:" + "B" * 255 + "*"]
    async with target.upgraded() as stream:
        await pour(stream, text({"type": "subscribe", "channels": names}))


async def deep_messages(target: Target) -> None:
    async with target.upgraded() as stream:
        await pour(stream, client_frame(Opcode.TEXT, DEEP))


ATTACKS = (
    upgrades,
    wrong_keys,
    readers_that_do_not_read,
    readers_that_ask_on_and_on,
    pings,
    pongs,
    endless_pieces,
    endless_empty_pieces,
    slow_frames,
    large_messages,
    bad_frames,
    messages,
    subscriptions,
    coming_and_going,
    patterns,
    deep_messages,
)
