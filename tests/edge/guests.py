"""Sessions that stay: one on each way in, and all that it is told until it ends."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import trio
import trio_websocket

from tests.edge.arrivals import Card, Visit
from tests.edge.stage import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.edge.arrivals import Socket

LONG = 120
"""Seconds that a poll waits, which is longer than any test."""


@attrs.define(eq=False)
class Guest:
    """A client with an open session. `ended` is how that was ended: a close frame, the end of a stream, a status."""

    visit: Visit
    way: str
    told: list[dict[str, Any]] = attrs.field(factory=list)
    ended: str | None = None
    ready: bool = False
    socket: Socket | None = None

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Give what it was told of this type."""
        return [message for message in self.told if message.get("type") == kind]

    async def say(self, **message: Any) -> None:
        assert self.socket is not None
        await self.socket.say(**message)

    async def stay(self) -> None:
        """Come in, and note all that there is until the end."""
        with contextlib.suppress(trio.BrokenResourceError):
            await WAYS[self.way](self)

    async def listen(self, target: str, *first: Mapping[str, Any], sign: Callable[[Any], bool]) -> None:
        """Be a WebSocket that says something first; it is there once it is told this sign."""
        headers = {} if first and first[0]["type"] == "auth" else self.visit.bearer
        async with self.visit.socket(target, headers=headers) as self.socket:
            for message in first:
                await self.socket.say(**message)
            while True:
                try:
                    self.note(json.loads(await self.socket.opened.get_message()), sign)
                except trio_websocket.ConnectionClosed:
                    break
            reason = self.socket.opened.closed
            assert reason is not None
            self.ended = f"{int(reason.code)} {reason.reason}"

    def note(self, message: dict[str, Any], sign: Callable[[Any], bool]) -> None:
        self.told.append(message)
        self.ready = self.ready or sign(message)


def _type(kind: str) -> Callable[[Any], bool]:
    return lambda message: message.get("type") == kind


def _is_own(message: Any) -> bool:
    """Whether a price is one of the own protocol: on the shared path those of trading may come first."""
    return message.get("type") == "price_update" and "channel" in message


async def _document(guest: Guest) -> None:
    channels = {"type": "subscribe", "channels": ["price:*", "signals:all"]}
    await guest.listen("/ws", channels, sign=_type("price_update"))


async def _library(guest: Guest) -> None:
    channel = {"type": "subscribe", "channel": "prices"}
    await guest.listen("/ws", channel, sign=_type("price_update"))


async def _shared(guest: Guest) -> None:
    text = guest.visit.card.text
    shown = [] if text is None else [{"type": "auth", "token": text}]
    channels = {"type": "subscribe", "channels": ["price:*"]}
    await guest.listen("/shared", *shown, channels, sign=_is_own)


async def _trading(guest: Guest) -> None:
    await guest.listen("/trading", sign=_type("price_update"))


async def _ara(guest: Guest) -> None:
    await guest.listen("/ws/predictions/BTC", sign=_type("prediction_update"))


async def _data_ws(guest: Guest) -> None:
    target = "/api/v1/predictions/stream?symbol=BTC"
    await guest.listen(target, sign=lambda message: "current_price" in message)


async def _sse(guest: Guest) -> None:
    async with guest.visit.stream() as stream:
        lines = ["GET /sse?channels=price:* HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in guest.visit.bearer.items()]
        await stream.send_all("\r\n".join([*lines, "", ""]).encode())
        rest = b""
        while data := bytes(await stream.receive_some()):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line.startswith(b"data: "):
                    guest.note(json.loads(line.removeprefix(b"data: ")), _type("price_update"))
        guest.ended = "end"


async def _poll(guest: Guest) -> None:
    guest.ready = True
    with trio.move_on_after(LONG + PATIENCE):
        status, content = await guest.visit.ask(
            f"/api/v1/topics/signals:all/events?wait={LONG}", timeout=LONG + PATIENCE
        )
        guest.ended = f"{status} {json.loads(content).get('error')}"


WAYS: dict[str, Callable[[Guest], Awaitable[None]]] = {
    "document": _document,
    "library": _library,
    "shared": _shared,
    "trading": _trading,
    "ara": _ara,
    "data-ws": _data_ws,
    "SSE": _sse,
    "poll": _poll,
}
TALKING = ("document", "library", "shared")
"""Ways on which a client can show a newer credential."""
WARNED = (*TALKING, "SSE")

__all__ = ["LONG", "TALKING", "WARNED", "WAYS", "Card", "Guest", "Visit"]
