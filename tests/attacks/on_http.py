"""Attacks with requests of HTTP/1.1: slow ones, huge ones, those of two meanings, and too many."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import trio

from tests.attacks.target import hold, pour, trickle

if TYPE_CHECKING:
    from tests.attacks.target import Target

PUBLISH = b"POST /api/v1/publish"
_JSON = b"Content-Type: application/json"
_DEEP = b"[" * 400_000 + b"]" * 400_000
_BOMB = gzip.compress(bytes(10_000_000))
_EVENT = json.dumps({"channel": "price", "key": "BTC", "data": {"price": 1}}).encode()

SMUGGLED = (
    (
        b"POST /health",
        (b"Content-Length: 4", b"Transfer-Encoding: chunked"),
        b"0\r\n\r\nGET /ws/stats HTTP/1.1\r\n\r\n",
    ),
    (b"POST /health", (b"Content-Length: 4", b"Content-Length: 40"), b"GET /ws/stats HTTP/1.1\r\n\r\n"),
    (b"GET /health", (b"X: y\nContent-Length: 40",), b""),
    (b"GET /health", (b"X: y", b" folded: z"), b""),
    (b"GET /health\0", (), b""),
    (b"GET http://elsewhere/health", (), b""),
    (b"GET //elsewhere/health", (), b""),
    (b"GET /plugins/%2e%2e/%2e%2e/etc/passwd", (), b""),
    (b"GET /" + b"../" * 1_000, (), b""),
    (b"GET /" + b"x" * 15_000, (), b""),
    (b"GET /health", (b"Host: elsewhere",), b""),
    (b"GET /health", (b"Upgrade: h2c", b"Connection: Upgrade", b"HTTP2-Settings: AAI"), b""),
)


async def slow_heads(target: Target) -> None:
    async with target.secured() as stream:
        await trickle(stream, target.request(b"GET /ws/stats", b"X: " + b"x" * 10_000))


async def slow_bodies(target: Target) -> None:
    async with target.secured() as stream:
        await stream.send_all(target.request(PUBLISH, _JSON, b"Content-Length: 1000000"))
        await trickle(stream, b" " * 10_000)


async def long_heads(target: Target) -> None:
    async with target.secured() as stream:
        await pour(stream, b"GET /health HTTP/1.1\r\n" + b"X-Header: " + b"x" * 60_000)


async def smuggling(target: Target) -> None:
    for line, headers, body in SMUGGLED:
        async with target.secured() as stream:
            await stream.send_all(target.request(line, *headers, body=body))
            with trio.move_on_after(0.05):
                await hold(stream)


async def pipelines(target: Target) -> None:
    async with target.secured() as stream:
        await pour(stream, target.request(b"GET /health") * 20)


async def answers_unread(target: Target) -> None:
    async with target.secured() as stream:
        while True:
            await stream.send_all(target.request(b"GET /ws/stats") * 20)


async def publishing_without_right(target: Target) -> None:
    async with target.secured() as stream:
        length = b"Content-Length: %d" % len(_EVENT)
        await pour(stream, target.request(PUBLISH, _JSON, length, body=_EVENT))


async def deep_bodies(target: Target) -> None:
    async with target.secured() as stream:
        await stream.send_all(target.request(PUBLISH, _JSON, b"Content-Length: %d" % len(_DEEP), body=_DEEP))
        await hold(stream)


async def bombs(target: Target) -> None:
    async with target.secured() as stream:
        length = b"Content-Length: %d" % len(_BOMB)
        await stream.send_all(target.request(PUBLISH, _JSON, b"Content-Encoding: gzip", length, body=_BOMB))
        await hold(stream)


async def endless_chunks(target: Target) -> None:
    async with target.secured() as stream:
        await stream.send_all(target.request(PUBLISH, _JSON, b"Transfer-Encoding: chunked"))
        await pour(stream, b"1\r\n \r\n" * 2_000)


async def guessing_keys(target: Target) -> None:
    async with target.secured() as stream:
        await pour(stream, b"GET /ws/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_guess\r\n\r\n")


ATTACKS = (
    slow_heads,
    slow_bodies,
    long_heads,
    smuggling,
    pipelines,
    answers_unread,
    publishing_without_right,
    deep_bodies,
    bombs,
    endless_chunks,
    guessing_keys,
)
