"""Whenever the appliance is killed, its file is good, what it acknowledged is there, and nobody misses anything.

Applications publish with retries while two channels follow a table, one by its window and one by transactions; clients
of three kinds come back again and again. `--seeds 40` kills about 200 times; a run is repeated by `--first-seed`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import subprocess
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from tests.e2e import running
from tests.e2e.resuming import UNMET, ResumingClient
from tests.e2e.resuming_http import Account, Asking, PollingClient, Returning, StreamClient
from tests.postgres import Database, free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from websockets.sync.client import ClientConnection

    from tests.asking import Loaded
    from tests.postgres import Fresh

KILLS: Final = 5
"""Of one run, while it serves; some more come while it starts."""
PUBLISHERS: Final = 2
PAUSE: Final = 0.01
"""Seconds between two requests of a publisher, on average: about as many as one takes."""
WRITERS: Final = 2
PUBLISHED: Final = "orders:all"
TOPICS: Final = (PUBLISHED, "window:all", "xid:all")
INSERT: Final = (
    "INSERT INTO rows (at, writer, n) VALUES (now() - $1::text::interval, $2::text::int, $3::text::int)"
)
_AGAIN: Final = 0.02
_GONE: Final = (OSError, http.client.HTTPException)

CONFIGURATION = """
[[listen]]
url = "tls://127.0.0.1:{port}"

[store]
sync = "{sync}"

[limits]
messages_per_minute = 1000000
connections_per_minute = 1000000
handshakes_per_minute = 1000000

[sse]
keep_alive = "200ms"

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

[channels.orders]
source = "publish"
history = {{ durable = true, count = 200000, bytes = "64MiB" }}

[channels.window]
source = "db"
table = "rows"
columns = {{ writer = "writer", n = "n" }}
key = "'all'"
time = "at"
identity = ["id"]
follow = "window"
every = "200ms"
overlap = "30s"
snapshot = "none"
history = {{ count = 200000, bytes = "64MiB" }}

[channels.xid]
source = "db"
table = "rows"
columns = {{ writer = "writer", n = "n" }}
key = "'all'"
time = "at"
identity = ["id"]
follow = "xid"
every = "200ms"
snapshot = "none"
history = {{ count = 200000, bytes = "64MiB" }}
"""

pytestmark = [UNMET, pytest.mark.timeout(300)]


@attrs.define
class Site:
    """One run: an appliance over a database, that comes back at the same port."""

    zipapp: Path
    loaded: Loaded
    folder: Path
    fresh: Fresh
    sync: str
    dice: random.Random
    port: int = attrs.field(factory=free_port)
    process: running.Running | None = None
    trusted: ssl.SSLContext | None = None
    done: threading.Event = attrs.field(factory=threading.Event)
    kills: int = 0

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def words(self) -> tuple[str, ...]:
        return "--config", str(self.folder / "appliance.toml")

    def begin(self) -> None:
        text = CONFIGURATION.format(
            port=self.port,
            sync=self.sync,
            socket=self.fresh.server.socket,
            server_port=self.fresh.server.port,
            name=self.fresh.name,
            user=self.fresh.server.superuser,
        )
        (self.folder / "appliance.toml").write_text(text)
        self.fresh.execute(
            "CREATE TABLE rows (id bigserial PRIMARY KEY, at timestamptz NOT NULL, writer int, n int,"
            " xid xid8 NOT NULL DEFAULT pg_current_xact_id())"
        )
        self.fresh.execute("CREATE INDEX ON rows (at, id)")
        self.fresh.execute("CREATE INDEX ON rows (xid, id)")
        self.serve()
        assert self.process is not None
        self.trusted = self.process.ssl_context()

    def serve(self) -> None:
        self.process = running.start(self.zipapp, *self.words, state=self.state, loaded=self.loaded)

    def connect(self) -> ClientConnection:
        assert self.process is not None
        return self.process.connect(open_timeout=5, ssl=self.trusted)

    def asking(self) -> Asking:
        assert self.process is not None
        assert self.trusted is not None
        return Asking(self.port, self.process.key, self.trusted)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def trouble(self) -> None:
        """Kill it at some instant, sometimes again while it starts; each time its file is good."""
        time.sleep(self.dice.random() * 1.5)
        self.kill()
        self.look()
        while self.dice.random() < 1 / 3:
            self.kill_while_it_starts()
            self.look()
        self.serve()

    def kill_while_it_starts(self) -> None:
        process = subprocess.Popen(
            [*running.command(self.zipapp), "serve", "--state-dir", str(self.state), *self.words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=running.surroundings(self.zipapp),
        )
        time.sleep(self.dice.random())
        process.kill()
        process.wait()

    def look(self) -> None:
        self.kills += 1
        checked = self.loaded.run(
            "store", "check", "--state-dir", str(self.state), environment=running.surroundings(self.zipapp)
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert ": good\n" in checked.stdout

    def write(self, writer: int, seed: int) -> None:
        """Write rows in transactions until the run is done; some are rolled back, some take long."""
        dice, n = random.Random(seed), 0
        with self.fresh.session() as connection:
            while not self.done.is_set():
                connection.execute("BEGIN")
                for _ in range(dice.randint(1, 6)):
                    n += 1
                    connection.execute(INSERT, f"{min(dice.expovariate(1), 8):.6f} s", str(writer), str(n))
                time.sleep(dice.expovariate(1 / (0.5 if dice.random() < 0.1 else 0.01)))
                connection.execute("ROLLBACK" if dice.random() < 0.2 else "COMMIT")

    def committed(self) -> list[dict[str, int]]:
        rows = self.fresh.execute("SELECT writer, n FROM rows WHERE writer >= 0 ORDER BY xid, id")
        return [{"writer": writer, "n": n} for writer, n in rows]


@attrs.define
class Publisher:
    """An application that sends each request until it is answered. `kept` says what has become of its events."""

    number: int
    client: http.client.HTTPSConnection
    headers: Mapping[str, str]
    dice: random.Random
    kept: list[tuple[str, int, dict[str, int]]] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)
    duplicates: int = 0
    events: int = 0

    def publish(self, until: threading.Event) -> None:
        request = 0
        while not until.wait(self.dice.expovariate(1 / PAUSE)):
            request += 1
            key = f"{self.number}-{request}"
            data = [self._next() for _ in range(self.dice.randint(1, 5))]
            receipt = self.send_until_answered(key, data)
            self.kept += receipt
            if self.dice.random() < 0.1:  # as one that has not heard the answer
                duplicates = self.duplicates
                again = self.send_until_answered(key, data)
                if again != receipt or self.duplicates == duplicates:
                    self.faults.append(f"{key} was published twice: {receipt}, {again}")

    def _next(self) -> dict[str, int]:
        self.events += 1
        return {"writer": self.number, "n": self.events}

    def send_until_answered(
        self, key: str, data: list[dict[str, int]]
    ) -> list[tuple[str, int, dict[str, int]]]:
        while True:
            with contextlib.suppress(*_GONE):
                receipt = self._send(key, data)
                self.duplicates += receipt["duplicate"]
                places = [place for event in receipt["events"] for place in event["topics"]]
                return [
                    (place["epoch"], place["offset"], each) for place, each in zip(places, data, strict=True)
                ]
            self.client.close()  # the next request opens it again
            time.sleep(_AGAIN)

    def _send(self, key: str, data: list[dict[str, int]]) -> dict[str, Any]:
        events = [{"channel": "orders", "key": "all", "data": each} for each in data]
        headers = {**self.headers, "Content-Type": "application/json", "Idempotency-Key": key}
        self.client.request("POST", "/api/v1/publish", json.dumps(events), headers)
        with self.client.getresponse() as answer:
            content = answer.read()
        if answer.status != http.HTTPStatus.OK:
            self.faults.append(f"{key}: {answer.status} {content!r}")
            raise http.client.HTTPException
        told: dict[str, Any] = json.loads(content)["data"]
        return told


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with Database() as database:
        yield database


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    first, count = metafunc.config.getoption("--first-seed"), metafunc.config.getoption("--seeds")
    metafunc.parametrize("seed", range(first, first + count))


@contextlib.contextmanager
def working(site: Site, publishers: list[Publisher], seed: int) -> Iterator[None]:
    """Publish and write for as long as the block runs, and until the last request is answered."""
    threads = [threading.Thread(target=each.publish, args=(site.done,)) for each in publishers]
    threads += [threading.Thread(target=site.write, args=(n, 1_000 * seed + n)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        site.done.set()
        for thread in threads:
            thread.join(running.PATIENCE)
    assert not any(map(threading.Thread.is_alive, threads))


def wait_until_there_is_something(site: Site, asking: Asking) -> None:
    """Wait until each topic has an event that is kept: from then on nobody begins anew."""
    with asking.connection() as client:
        first = Publisher(-1, client, asking.headers, site.dice)
        assert first.send_until_answered("first", [{"writer": -1, "n": 0}])
    assert site.process is not None
    deadline = time.monotonic() + running.PATIENCE
    while not all(newest(site.process, topic) for topic in TOPICS):
        assert time.monotonic() < deadline
        site.fresh.execute("INSERT INTO rows (at, writer, n) VALUES (now(), -1, 0)")
        time.sleep(0.1)


def newest(process: running.Running, topic: str) -> Any:
    status, told = process.get(f"/api/v1/topics/{topic}/latest")
    assert status == http.HTTPStatus.OK
    return told["data"]


def ours(data: Iterable[dict[str, int]]) -> list[dict[str, int]]:
    """Leave out what was there before the clients were."""
    return [{"writer": each["writer"], "n": each["n"]} for each in data if each["writer"] >= 0]


def test_killed_at_any_instant_nothing_is_lost_and_nothing_comes_twice(
    seed: int,
    zipapp: Path,
    loaded: Loaded,
    tmp_path: Path,
    server: Database,
    record_property: Callable[[str, object], None],
) -> None:
    sync = ("full", "normal")[seed % 2]
    site = Site(zipapp, loaded, tmp_path, server.create(), sync, random.Random(seed))
    site.begin()
    try:
        asking = site.asking()
        wait_until_there_is_something(site, asking)
        with contextlib.ExitStack() as stack:
            publishers = [
                Publisher(
                    n,
                    stack.enter_context(asking.connection()),
                    asking.headers,
                    random.Random(100 * seed + n),
                )
                for n in range(PUBLISHERS)
            ]
            sockets = {topic: stack.enter_context(ResumingClient(topic, site.connect)) for topic in TOPICS}
            others: list[Returning] = [StreamClient(asking, TOPICS), PollingClient(asking, TOPICS)]
            for other in others:
                stack.enter_context(other)
            for socket in sockets.values():
                socket.wait_until_subscribed()
            for other in others:
                other.wait_for(lambda account: account.has_begun)
            with working(site, publishers, seed):
                for _ in range(KILLS):
                    site.trouble()
            published = {offset: each for one in publishers for _, offset, each in one.kept}
            committed = site.committed()
            wanted = {PUBLISHED: len(published), "window:all": len(committed), "xid:all": len(committed)}
            for topic, count in wanted.items():
                sockets[topic].wait_for(partial(enough, count))
                for other in others:
                    other.wait_for(partial(has, topic, count))
            time.sleep(0.5)  # for what would come twice
    finally:
        site.done.set()
        site.kill()
        site.fresh.drop()
    record_property(
        "measured",
        f"seed {seed}, sync {sync}: {site.kills} kills, {len(published)} events published, {len(committed)} rows,"
        f" {sum(each.duplicates for each in publishers)} retries told what had become of the first",
    )
    accounts = [other.account for other in others]
    for faults in (
        *(each.faults for each in publishers),
        *(each.faults for each in sockets.values()),
        *(each.faults for each in accounts),
    ):
        assert faults == []
    # Each event that was acknowledged has a place of its own, behind those before it.
    assert len(published) == sum(len(each.kept) for each in publishers)
    for each in publishers:
        offsets = [offset for _, offset, _ in each.kept]
        assert offsets == sorted(offsets)
        assert len(ours(data for _, _, data in each.kept)) == each.events
    epochs = {epoch for each in publishers for epoch, _, _ in each.kept}
    # And there all clients have had it, once, and nothing else.
    for account in accounts:
        assert {account.epochs[PUBLISHED]} == epochs
        assert account.events[PUBLISHED] == published
        assert by_number(ours(account.events["window:all"].values())) == by_number(committed)
        assert ours(account.events["xid:all"].values()) == committed
        assert account.comebacks
    assert ours(sockets[PUBLISHED].data) == [published[offset] for offset in sorted(published)]
    assert by_number(ours(sockets["window:all"].data)) == by_number(committed)
    assert ours(sockets["xid:all"].data) == committed


def enough(count: int, data: Iterable[dict[str, int]]) -> bool:
    return len(ours(data)) >= count


def has(topic: str, count: int, account: Account) -> bool:
    return enough(count, account.events[topic].values())


def by_number(rows: Iterable[dict[str, int]]) -> list[tuple[int, int]]:
    return sorted((row["writer"], row["n"]) for row in rows)
