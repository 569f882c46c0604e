"""Rows of a database reach a client that comes back once each, whatever is killed meanwhile.

Many writers commit, roll back and dawdle; the appliance is killed, the database is stopped and killed, connections are
ended. `--seeds 100` runs as many runs as that; a run is repeated by `--first-seed`.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest
from pg8000.exceptions import DatabaseError, InterfaceError  # type: ignore[import-untyped]

from tests.e2e import running
from tests.e2e.resuming import UNMET, ResumingClient
from tests.postgres import Database, free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from websockets.sync.client import ClientConnection

    from tests.asking import Loaded
    from tests.postgres import Fresh

pytestmark = UNMET

WRITERS: Final = 4
SECONDS: Final = 4.0
"""How long a run writes and kills."""
_BROKEN = (InterfaceError, DatabaseError, OSError, AssertionError)

INSERT = "INSERT INTO rows (at, writer, n) VALUES (now() - $1::text::interval, $2::text::int, $3::text::int)"
CONFIGURATION = """
[[listen]]
url = "tls://127.0.0.1:{port}"

[restart]
first = "50ms"
most = "300ms"

[sources.db]
kind = "postgres"
socket = "{socket}"
port = {server_port}
database = "{name}"
user = "{user}"
connections = 2
statement_timeout = "5s"

[channels.rows]
source = "db"
table = "rows"
key = "'all'"
time = "at"
identity = ["id"]
follow = "{follow}"
every = "200ms"
overlap = "30s"
batch = 50
snapshot = "none"
history.count = 200000
history.bytes = "64MiB"
{more}
"""


@attrs.define
class Site:
    """One run: a database, an appliance over it that comes back at the same port, and who writes."""

    zipapp: Path
    loaded: Loaded
    folder: Path
    fresh: Fresh
    follow: str
    random: random.Random
    port: int = attrs.field(factory=free_port)
    process: running.Running | None = None
    trusted: ssl.SSLContext | None = None
    done: threading.Event = attrs.field(factory=threading.Event)

    def begin(self) -> None:
        more = 'xid = "xid"\nnotify = "rows"' if self.follow == "xid" else ""
        text = CONFIGURATION.format(
            port=self.port,
            socket=self.fresh.server.socket,
            server_port=self.fresh.server.port,
            name=self.fresh.name,
            user=self.fresh.server.superuser,
            follow=self.follow,
            more=more,
        )
        (self.folder / "appliance.toml").write_text(text)
        self.fresh.execute(
            "CREATE TABLE rows (id bigserial PRIMARY KEY, at timestamptz NOT NULL, writer int, n int)"
        )
        if self.follow == "xid":
            self.fresh.execute("ALTER TABLE rows ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id()")
            self.fresh.execute("CREATE INDEX ON rows (xid, id)")
        else:
            self.fresh.execute("CREATE INDEX ON rows (at, id)")
        self.serve()
        assert self.process is not None
        self.trusted = self.process.ssl_context()

    def serve(self) -> None:
        self.process = running.start(
            self.zipapp,
            "--config",
            str(self.folder / "appliance.toml"),
            state=self.folder / "state",
            loaded=self.loaded,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def connect(self) -> ClientConnection:
        assert self.process is not None
        return self.process.connect(open_timeout=5, ssl=self.trusted)

    def write(self, writer: int, seed: int) -> None:
        """Write rows in transactions until the run is done; some are rolled back, some take long, some are old."""
        dice, n = random.Random(seed), 0
        while not self.done.is_set():
            with contextlib.suppress(*_BROKEN), self.fresh.session() as connection:
                while not self.done.is_set():
                    connection.execute("BEGIN")
                    for _ in range(dice.randint(1, 6)):
                        n += 1
                        age = (
                            dice.expovariate(1) if self.follow == "window" else dice.expovariate(1 / 100_000)
                        )
                        connection.execute(
                            INSERT,
                            f"{min(age, 8 if self.follow == 'window' else 1e7)} s",
                            str(writer),
                            str(n),
                        )
                    time.sleep(
                        dice.expovariate(1 / 0.6) if dice.random() < 0.1 else dice.expovariate(1 / 0.01)
                    )
                    connection.execute("ROLLBACK" if dice.random() < 0.2 else "COMMIT")
            time.sleep(0.02)

    def wait_until_followed(self, client: ResumingClient) -> None:
        """Wait until rows are told; those before count for nothing."""
        deadline = time.monotonic() + running.PATIENCE
        while not client.data:
            assert time.monotonic() < deadline
            self.fresh.execute("INSERT INTO rows (at, writer, n) VALUES (now(), -1, 0)")
            time.sleep(0.1)

    def trouble(self) -> None:
        """Do something that a machine may do."""
        server = self.fresh.server
        match self.random.choices(("appliance", "stop", "kill", "terminate", "nothing"), (4, 1, 1, 3, 1))[0]:
            case "appliance":
                self.kill()
                time.sleep(self.random.random() * 0.5)
                self.serve()
            case "stop":
                server.stop(self.random.choice(("fast", "immediate")))
                time.sleep(self.random.random())
                server.start()
            case "kill":
                server.kill()
                time.sleep(self.random.random())
                server.start()
            case "terminate":
                self.fresh.terminate()
            case _:
                pass

    def committed(self) -> list[dict[str, Any]]:
        order = "xid, id" if self.follow == "xid" else "id"
        rows = self.fresh.execute(f"SELECT id, writer, n FROM rows WHERE writer >= 0 ORDER BY {order}")  # noqa: S608 - words of this test
        return [dict(zip(("id", "writer", "n"), row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with Database() as database:
        yield database


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first, count = metafunc.config.getoption("--first-seed"), metafunc.config.getoption("--seeds")
    metafunc.parametrize("seed", range(first, first + count))


@pytest.mark.parametrize("follow", ["window", "xid"])
def test_each_committed_row_comes_once(
    follow: str, seed: int, zipapp: Path, loaded: Loaded, tmp_path: Path, server: Database
) -> None:
    site = Site(zipapp, loaded, tmp_path, server.create(), follow, random.Random(seed))
    site.begin()
    try:
        with ResumingClient("rows:all", site.connect) as client:
            client.wait_until_subscribed()
            site.wait_until_followed(client)
            threads = [
                threading.Thread(target=site.write, args=(writer, seed * 100 + writer))
                for writer in range(WRITERS)
            ]
            for thread in threads:
                thread.start()
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                time.sleep(site.random.random() * 0.8)
                site.trouble()
            site.done.set()
            for thread in threads:
                thread.join(running.PATIENCE)
            wanted = site.committed()
            client.wait_for(lambda data: sum(row["writer"] >= 0 for row in data) >= len(wanted))
            time.sleep(0.5)  # for what would come twice
            got = [
                {name: row[name] for name in ("id", "writer", "n")}
                for row in client.data
                if row["writer"] >= 0
            ]
        assert client.faults == []
        if follow == "window":
            got.sort(key=lambda row: row["id"])
        assert got == wanted
        assert len(wanted) > 20
    finally:
        site.done.set()
        site.kill()
        if not server.running:
            server.start()
        site.fresh.drop()
