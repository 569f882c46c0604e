"""Who follows tables under the bench, each one of its own: the appliance in several ways, and two hand-rolled servers.

Must not know what is measured. The database is real, begun for the bench alone, and does not wait for its disk.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import attrs

from appliance.sources.postgres import ddl
from tests.bench.bench_recipes import subscribing
from tests.bench.bench_servers import Running, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from tests.postgres import Fresh

EVERY = 5.0
"""Seconds between two looks at a table of which no notices come."""
PEER, READING_PEER = PEERS = "asyncpg", "asyncpg reading"
"""The first sends what a notice holds, which may be 8,000 bytes; the second reads rows at each notice."""
BEAT = f"every {EVERY:g}s"

_TABLE = """
CREATE TABLE {table} (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), n int, symbol text, price numeric, note text
);
"""
_INDEX = "CREATE INDEX ON {table} (at, id);"
_XID = """
ALTER TABLE {table} ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX ON {table} (xid, id);
"""
_ROW_TRIGGER = """
CREATE FUNCTION {table}_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{table}', row_to_json(NEW)::text);
  RETURN NULL;
END $$;
CREATE TRIGGER told AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_told();
"""

_CONFIGURATION = """
state_dir = {state}

[[listen]]
url = "tcp://127.0.0.1:{port}"
auth = "none"

[store]
sync = "{sync}"

[log]
level = "warning"

[status]
every = 86400

[heartbeat]
interval = 86400  # a client is not read while others are measured

[sources.db]
kind = "postgres"
socket = {socket}
port = {database_port}
database = "{database}"
user = "{user}"

[channels]
predictions = {{ enabled = false }}
signals = {{ enabled = false }}
price = {{ enabled = false }}
alerts = {{ enabled = false }}
market = {{ enabled = false }}
portfolio = {{ enabled = false }}
trades = {{ enabled = false }}
"""
_CHANNEL = """
[channels.{table}]
source = "db"
table = "{table}"
key = "'all'"
time = "at"
follow = "{follow}"
every = "{every}s"
{notify}
"""


@attrs.frozen(kw_only=True)
class Follower:
    """One that follows the table of its name. What is measured of it is called by that name, too."""

    name: str
    server: str
    follow: str = "window"
    notified: bool = True

    @property
    def is_peer(self) -> bool:
        return self.server in PEERS

    @property
    def table(self) -> str:
        return self.name.replace(" ", "_")

    @property
    def sends(self) -> tuple[str, ...]:
        """What its clients say first: a peer has but one thing to tell."""
        return () if self.is_peer else subscribing(f"{self.table}:all")["sends"]

    @property
    def sql(self) -> str:
        """What makes its table, and has it tell of its rows."""
        pieces = [_TABLE, _XID if self.follow == "xid" else _INDEX]
        if self.name == PEER:
            pieces.append(_ROW_TRIGGER)
        made = "".join(pieces).format(table=self.table)
        return made + (ddl.trigger(self.table, self.table) if self.notified and self.name != PEER else "")

    @property
    def toml(self) -> str:
        notify = f'notify = "{self.table}"' if self.notified else ""
        return _CHANNEL.format(table=self.table, follow=self.follow, every=EVERY, notify=notify)


FOLLOWERS = (
    *(Follower(name=name, server=name) for name in PEERS),
    *(
        Follower(name=f"{follow} {sync}", server=f"appliance {sync}", follow=follow)
        for sync in ("full", "normal")
        for follow in ("window", "xid")
    ),
    Follower(name=BEAT, server="appliance full", notified=False),
)


def bring_up(
    followers: Iterable[Follower],
    appliance: Sequence[str],
    fresh: Fresh,
    folder: Path,
    *,
    stack: ExitStack,
) -> Mapping[str, str]:
    """Make the tables and start the servers of these followers; gives where the clients of each connect."""
    servers: dict[str, list[Follower]] = {}
    for follower in followers:
        fresh.execute(follower.sql)
        servers.setdefault(follower.server, []).append(follower)
    urls: dict[str, str] = {}
    for (name, members), port in zip(servers.items(), free_ports(len(servers)), strict=True):
        if name in PEERS:
            command = _peer(members[0], fresh, port)
        else:
            path = folder / f"{name.replace(' ', '-')}.toml"
            path.write_text(_configuration(members, fresh, port, path.with_suffix(".state")))
            command = [*appliance, "serve", "--config", str(path)]
        Running(name, command, folder, stack=stack).wait_listening([port])
        urls |= {member.name: f"ws://127.0.0.1:{port}/ws" for member in members}
    return urls


def _peer(follower: Follower, fresh: Fresh, port: int) -> list[str]:
    options = {
        "--port": port,
        "--socket": fresh.server.socket,
        "--database-port": fresh.server.port,
        "--database": fresh.name,
        "--user": fresh.server.superuser,
        "--table": follower.table,
    }
    words = [str(word) for option in options.items() for word in option]
    reading = ["--reading"] if follower.name == READING_PEER else []
    return [sys.executable, "-m", "tests.bench.peers.asyncpg_peer", *words, *reading]


def _configuration(followers: Sequence[Follower], fresh: Fresh, port: int, state: Path) -> str:
    head = _CONFIGURATION.format(
        state=json.dumps(str(state)),
        port=port,
        sync=followers[0].server.partition(" ")[2],
        socket=json.dumps(str(fresh.server.socket)),
        database_port=fresh.server.port,
        database=fresh.name,
        user=fresh.server.superuser,
    )
    return head + "".join(follower.toml for follower in followers)
