"""A peer of the bench: FastAPI on uvicorn, `send_text` in a loop over the clients.

Must not be slower than its users have it: uvloop and httptools where installed, no compression, no keepalive.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from tests.bench.peers.orders import Orders, Texts, arguments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def publish(orders: Orders, texts: Texts, clients: set[WebSocket]) -> None:
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(orders.socket, arrived.set)
    while await arrived.wait():
        order = orders.read()
        arrived.clear()
        for due, burst in order.bursts():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for _ in range(burst):
                text = texts.make(order.key)
                for client in list(clients):
                    await client.send_text(text)


def application(orders: Orders, texts: Texts) -> FastAPI:
    clients: set[WebSocket] = set()

    @contextlib.asynccontextmanager
    async def publishing(_: FastAPI) -> AsyncIterator[None]:
        publisher = asyncio.create_task(publish(orders, texts, clients))
        yield
        publisher.cancel()

    app = FastAPI(lifespan=publishing)

    @app.websocket("/ws")
    async def stay(client: WebSocket) -> None:
        await client.accept()
        clients.add(client)
        try:
            while True:
                await client.receive_text()
        except WebSocketDisconnect:
            clients.discard(client)

    return app


if __name__ == "__main__":
    options = arguments().parse_args()
    uvicorn.run(
        application(Orders(options.orders), Texts(options.size)),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
    )
