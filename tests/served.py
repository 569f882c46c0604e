"""An appliance in this process, made of a configuration as a start would, with clients of any of its paths."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import attrs
import trio
import trio_websocket

from appliance.app import Appliance
from appliance.edge import listener
from appliance.edge.listener import Bound
from appliance.loading.catalogue import collect
from appliance.loading.configured import arrange, configure
from appliance.loading.files import builtin_folder
from appliance.settings.address import Address
from appliance.settings.load import load
from appliance.sources.postgres.source import Postgres
from appliance.store.store import open_store
from tests.edge.stage import PATIENCE, Client, rest
from tests.postgres import Fresh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from pathlib import Path

    from appliance.sources.postgres.examination import Examination
    from tests.postgres import Database

_LISTEN = 'listen=[{url="tcp://127.0.0.1:0", auth="none"}]'
_SOON = ("restart.first=50ms", "restart.most=200ms")
_AGAIN = 0.02
"""Seconds between two looks at what the appliance says of itself."""


@attrs.frozen
class Served:
    port: int

    @contextlib.asynccontextmanager
    async def client(self, path: str = "/ws") -> AsyncIterator[Client]:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream, trio.open_nursery() as nursery:  # ends with the client
            opened = await trio_websocket.wrap_client_stream(
                nursery, stream, "127.0.0.1", path, message_queue_size=10_000
            )
            yield Client(opened)
            await opened.aclose()

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Give the status of an answer, and its JSON, in which numbers that are not whole are texts."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await rest(stream)).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body, parse_float=str)

    async def health(self, channel: str) -> dict[str, Any]:
        _, told = await self.get("/ws/stats")
        health: dict[str, Any] = told["channels"][channel]
        return health

    async def until_healthy(self, channels: Iterable[str], *, healthy: bool = True) -> None:
        """Wait until the rows of all these channels can be read, or until those of none can."""
        with trio.fail_after(PATIENCE):
            for channel in channels:
                while not await self._is(channel, healthy=healthy):  # noqa: ASYNC110 - what it says of itself is all there is
                    await trio.sleep(_AGAIN)

    async def _is(self, channel: str, *, healthy: bool) -> bool:
        told = await self.health(channel)
        # A producer that has not failed yet counts as healthy.
        return bool(told["is_healthy"] if healthy else not told["is_healthy"] and told["last_error"])


def at(database: Database, source: str) -> tuple[str, ...]:
    """What `--set` is given, so that a source of a configuration is this database."""
    return f"sources.{source}.host={database.host}", f"sources.{source}.port={database.port}"


@contextlib.asynccontextmanager
async def serving(
    file: Path,
    state: Path,
    *,
    environment: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> AsyncIterator[Served]:
    """Serve what a file says on a free port, to anybody, until the block ends. Failed producers come back soon."""
    loaded = load(file=file, environment=environment or {}, overrides=[_LISTEN, *_SOON, *overrides])
    channels = configure(collect([builtin_folder()]), loaded)
    settings = loaded.settings
    address = Address.parse(settings.listen[0].url)
    with contextlib.closing(open_store(state / "store.db", sync="normal")) as store:
        door = listener.bind(address)
        port = door.getsockname()[1]
        bound = Bound(attrs.evolve(address, port=port), door)
        appliance = Appliance(settings, channels, keys=(), sockets=[bound], contexts=None, store=store)
        with trio.fail_after(4 * PATIENCE):
            async with trio.open_nursery() as nursery:  # ends with the appliance
                await nursery.start(appliance.run)
                yield Served(port)
                appliance.stop()


async def examined(
    file: Path, database: Database, *, environment: Mapping[str, str] | None = None
) -> dict[str, Examination]:
    """What the tables of all channels of the source `trading` look like."""
    loaded = load(file=file, environment=environment or {}, overrides=at(database, "trading"))
    channels = arrange(collect([builtin_folder()]), loaded).channels.values()
    found = {
        each.channel.name: await each.rows.examine(each.told)
        for each in channels
        if isinstance(each.rows, Postgres)
    }
    assert found
    return found


def written(folder: Path, text: str) -> Path:
    file = folder / "appliance.toml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.contextmanager
def empty(server: Database, name: str, *, role: str) -> Iterator[Fresh]:
    """A database of this name for as long as the block runs; and afterwards no role that it makes."""
    server.execute(f"CREATE DATABASE {name}")
    made = Fresh(server, name)
    try:
        yield made
    finally:
        made.drop()
        server.execute(f"DROP ROLE IF EXISTS {role}")


def run(fresh: Fresh, sql: str) -> None:
    """As `psql` does: statement by statement."""
    server = fresh.server
    command = [
        str(server.server.programs / "psql"),
        "-h",
        str(server.socket),
        "-p",
        str(server.port),
        "-U",
        "postgres",
    ]
    done = subprocess.run(
        [*command, "-d", fresh.name, "-v", "ON_ERROR_STOP=1", "-q", "-f", "-"],
        input=sql,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


async def hear_of(client: Client, *topics: str, offset: int = 1) -> list[dict[str, Any]]:
    """The events of these topics at this place, with numbers as they were written."""
    heard: dict[str, dict[str, Any]] = {}
    with trio.fail_after(PATIENCE):
        while heard.keys() != set(topics):
            message: dict[str, Any] = json.loads(await client.socket.get_message(), parse_float=str)
            if message.get("channel") in topics and message.get("offset") == offset:
                heard[message["channel"]] = message
    return [heard[topic] for topic in topics]
