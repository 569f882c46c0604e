"""A peer of the bench: `websockets` on asyncio, with its `broadcast`.

Must not be slower than its users have it: no compression, no keepalive, which the appliance has.
"""

from __future__ import annotations

import asyncio
import time

from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.bench.peers.orders import Orders, Texts, arguments


async def stay(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def main() -> None:
    options = arguments().parse_args()
    orders, texts = Orders(options.orders), Texts(options.size)
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(orders.socket, arrived.set)
    async with serve(stay, "127.0.0.1", options.port, compression=None, ping_interval=None) as server:
        while await arrived.wait():
            order = orders.read()
            arrived.clear()
            for due, burst in order.bursts():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                for _ in range(burst):
                    broadcast(server.connections, texts.make(order.key))


if __name__ == "__main__":
    asyncio.run(main())
