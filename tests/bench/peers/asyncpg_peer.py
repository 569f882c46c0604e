"""A peer of the bench: `asyncpg` hears notices of a table, `websockets` broadcasts its rows, as many do by hand.

Must not be held for more than that. What is committed while it is away is never told, nor what a client missed; a row
in a notice has 8,000 bytes at most. With `--reading`, which has it read rows at each notice, one is lost that is
committed after another of a higher id.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped]
from websockets.asyncio.server import ServerConnection, broadcast, serve

if TYPE_CHECKING:
    from collections.abc import Callable


async def stay(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def tell_notices(connection: asyncpg.Connection, table: str, tell: Callable[[str], None]) -> None:
    """Tell the row that each notice holds."""
    await connection.add_listener(table, lambda _connection, _pid, _channel, row: tell(row))
    await asyncio.Future()


async def tell_rows(connection: asyncpg.Connection, table: str, tell: Callable[[str], None]) -> None:
    """Tell the rows behind the last one at each notice."""
    noticed = asyncio.Event()
    await connection.add_listener(table, lambda *_: noticed.set())
    sql = f"SELECT id, row_to_json(t)::text FROM {table} t WHERE id > $1 ORDER BY id"  # noqa: S608 - the bench's own
    last = 0
    while await noticed.wait():
        noticed.clear()
        for number, row in await connection.fetch(sql, last):
            tell(row)
            last = number


async def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--socket", "--database", "--user", "--table"):
        parser.add_argument(option, required=True)
    for option in ("--port", "--database-port"):
        parser.add_argument(option, type=int, required=True)
    parser.add_argument("--reading", action="store_true")
    options = parser.parse_args()
    connection = await asyncpg.connect(
        host=options.socket, port=options.database_port, database=options.database, user=options.user
    )
    async with serve(stay, "127.0.0.1", options.port, compression=None, ping_interval=None) as server:
        tells = tell_rows if options.reading else tell_notices
        await tells(
            connection,
            options.table,
            lambda row: broadcast(server.connections, f'{{"type":"event","data":{row}}}'),
        )


if __name__ == "__main__":
    asyncio.run(main())
