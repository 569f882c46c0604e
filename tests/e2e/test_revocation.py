"""A key is taken back while 200 sessions of four keys are open, in all dialects: its own end, and no other notices.

How soon that was stands in the summary of the run.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import trio
import trio_websocket

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Invoke, Start
    from tests.e2e.running import Running

WAYS = ("document", "trading", "ara", "data-ws", "SSE")
EACH = 10
"""Sessions of a key on each way."""
NAMES = ("ann", "bob", "carl", "dora")
SUBSCRIBE = json.dumps({"type": "subscribe", "channels": ["price:*"]})
PATHS = {
    "document": "/ws",
    "trading": "/ws",
    "ara": "/ws/market-data/BTC",
    "data-ws": "/api/v1/predictions/stream?symbol=BTC",
}
CONFIG = """
[[listen]]
url = "tcp://127.0.0.1:0"

[sources.simulated]
interval = "200ms"
symbols = ["BTC", "ETH", "SOL"]

[trading]
price_interval = "500ms"

[audit]
file = "{trail}"
"""


@attrs.define(eq=False)
class Client:
    """A session on one way, and what it was told."""

    way: str
    key: str
    heard: int = 0
    told: list[dict[str, Any]] = attrs.field(factory=list)
    ended: str | None = None
    ended_at: float | None = None
    offsets: dict[str, list[int]] = attrs.field(factory=dict)

    async def stay(self, port: int) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await (self._read_events(port) if self.way == "SSE" else self._be_a_socket(port))
        self.ended_at = trio.current_time()

    async def _be_a_socket(self, port: int) -> None:
        headers = [(b"authorization", b"Bearer " + self.key.encode())]
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream, trio.open_nursery() as nursery:  # ends with the socket
            socket = await trio_websocket.wrap_client_stream(
                nursery, stream, "localhost", PATHS[self.way], extra_headers=headers
            )
            if self.way == "document":
                await socket.send_message(SUBSCRIBE)
            with contextlib.suppress(trio_websocket.ConnectionClosed):
                while True:
                    self._hear(await socket.get_message())
            reason = socket.closed
            self.ended = "" if reason is None else f"{int(reason.code)} {reason.reason}"

    async def _read_events(self, port: int) -> None:
        lines = ["GET /sse?channels=price:* HTTP/1.1", "Host: localhost", "Connection: close"]
        head = "\r\n".join([*lines, f"Authorization: Bearer {self.key}", "", ""])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(head.encode())
            rest = b""
            while data := bytes(await stream.receive_some()):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    if line.startswith(b"data: "):
                        self._hear(line.removeprefix(b"data: "))
            self.ended = "end"

    def _hear(self, text: str | bytes) -> None:
        message = json.loads(text)
        self.heard += 1
        match message:
            case {"type": "price_update", "channel": str(topic), "offset": int(offset)}:
                self.offsets.setdefault(topic, []).append(offset)
            case {"type": "error"}:
                self.told.append(message)

    @property
    def missed(self) -> list[str]:
        """Topics of which an offset did not come."""
        return [
            topic
            for topic, found in self.offsets.items()
            if found != list(range(found[0], found[0] + len(found)))
        ]


async def until_all(clients: list[Client], count: int) -> None:
    """Wait until each has heard so many more messages."""
    begun = {client: client.heard for client in clients}
    with trio.fail_after(PATIENCE):
        while any(client.heard < begun[client] + count and client.ended is None for client in clients):  # noqa: ASYNC110 - nothing sets an event
            await trio.sleep(0.02)


async def test_a_revoked_key_ends_its_sessions_and_no_others(
    start: Start, invoke: Invoke, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    trail = tmp_path / "audit.log"
    config = tmp_path / "appliance.toml"
    config.write_text(CONFIG.format(trail=trail))
    which = ("--config", str(config), "--state-dir", str(tmp_path / "state"))
    keys = {name: invoke("keys", "create", name, *which).stdout.strip() for name in NAMES}
    running: Running = start("--config", str(config), key=keys["dora"])
    clients = [Client(way, keys[name]) for name in NAMES for way in WAYS for _ in range(EACH)]
    hit = [client for client in clients if client.key == keys["ann"]]
    others = [client for client in clients if client.key != keys["ann"]]
    async with trio.open_nursery() as nursery:  # ends when the appliance has stopped
        for client in clients:
            nursery.start_soon(client.stay, running.port)
        await until_all(clients, 2)
        await trio.to_thread.run_sync(lambda: invoke("keys", "revoke", "ann", *which))
        begun = trio.current_time()
        with trio.fail_after(PATIENCE):
            while any(client.ended_at is None for client in hit):  # noqa: ASYNC110 - as above
                await trio.sleep(0.005)
        took = max(0.0, *(client.ended_at - begun for client in hit if client.ended_at is not None))
        await until_all(others, 2)
        assert [client.ended for client in others] == [None] * len(others)
        assert await trio.to_thread.run_sync(running.stop) == 0
    record_property(
        "measured",
        f"{len(hit)} sessions of a revoked key were told and closed {took:.2f} s after the command",
    )
    assert {client.way: client.ended for client in hit} == {
        **dict.fromkeys(PATHS, "1008 REVOKED_TOKEN"),
        "SSE": "end",
    }
    assert all(client.told or client.way == "data-ws" for client in hit)
    assert "REVOKED_TOKEN" in str(next(client.told for client in hit if client.way == "SSE"))
    assert [client.missed for client in others if client.offsets] == [[]] * (2 * EACH * (len(NAMES) - 1))
    lines = [json.loads(line) for line in trail.read_text().splitlines()]
    assert sum(line["event"] == "session expelled" for line in lines) == len(hit)
    assert {line["principal"] for line in lines if line["event"] == "session expelled"} == {"ann"}
    assert [line["name"] for line in lines if line["event"] == "key made"] == list(NAMES)
    assert all(key not in trail.read_text() for key in keys.values())
