"""A table that gets two thousand rows a second: a client has each row once and soon, for steady memory and few
connections. What it took stands in the summary of the run.

`--load-seconds 60` keeps it up for a minute.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from appliance.sources.postgres import ddl
from tests.bench.bench_measure import Process
from tests.e2e import running
from tests.e2e.resuming import ResumingClient
from tests.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.postgres import Fresh

WRITERS: Final = 4
RATE: Final = 2_000
"""Rows a second of all writers together."""
MOST_AT_ONCE: Final = 100
CONNECTIONS: Final = 2
LATEST: Final = 5.0
"""Seconds from commit to client, at worst, on a machine that does other things too."""
GROWTH: Final = 8 * 1024**2
"""Bytes that memory may gain after a third of the time, when history and window are long full. Were only the JSON kept
of the rows that come after that, it were more, in 15 s too.
"""
HISTORY: Final = 8_000
PAD: Final = 500
"""Characters of text in each row."""
_MIB: Final = 1024**2

CONFIGURATION = """
[[listen]]
url = "tls://127.0.0.1:0"

[sources.db]
kind = "postgres"
socket = "{socket}"
port = {port}
database = "{name}"
user = "{user}"
connections = {connections}

[channels.rows]
source = "db"
table = "rows"
key = "'all'"
time = "at"
follow = "{follow}"
every = "1s"
overlap = "{overlap}s"
notify = "rows"
snapshot = "none"
history.count = {history}
history.bytes = "64MiB"
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of the server from /proc"),
    pytest.mark.timeout(300),
]


@attrs.frozen
class Writer:
    """Commits rows at a steady pace, many or few at once; `committed` says when, by the last row of each commit."""

    fresh: Fresh
    number: int
    dice: random.Random
    committed: list[tuple[int, float]] = attrs.field(factory=list)

    def write(self, seconds: float) -> None:
        start, pace, n = time.monotonic(), RATE / WRITERS, 0
        with self.fresh.session() as connection:
            while n < seconds * pace:
                first, n = n + 1, min(n + self.dice.randint(1, MOST_AT_ONCE), round(seconds * pace))
                connection.execute("BEGIN")
                connection.execute(
                    "INSERT INTO rows (writer, n, price, note) SELECT $1::text::int, n, n / 7.0,"
                    " repeat('x', $4::text::int) FROM generate_series($2::text::int, $3::text::int) n",
                    *map(str, (self.number, first, n, PAD)),
                )
                time.sleep(max(0.0, start + n / pace - time.monotonic()))
                connection.execute("COMMIT")
                self.committed.append((n, time.time()))

    def lags(self, arrived: dict[int, float]) -> Iterator[float]:
        """Seconds from the commit of each row to the client."""
        first = 1
        for last, committed in self.committed:
            yield from (arrived[n] - committed for n in range(first, last + 1))
            first = last + 1


@attrs.frozen
class Watch:
    """What the appliance takes: its memory and its connections, seen now and then."""

    process: Process
    fresh: Fresh
    memory: list[int] = attrs.field(factory=list)
    connections: list[int] = attrs.field(factory=list)

    def look(self, until: Callable[[], bool]) -> None:
        while not until():
            self.memory.append(self.process.resident())
            self.connections.append(len(self.fresh.connections()))
            time.sleep(0.25)


@pytest.fixture(scope="module")
def server() -> Iterator[Database]:
    with Database(settings={"shared_buffers": "128MB"}) as database:
        yield database


@pytest.fixture
def fresh(server: Database) -> Iterator[Fresh]:
    made = server.create()
    made.execute(
        "CREATE TABLE rows (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), writer int, n int,"
        " price numeric, note text)"
    )
    made.execute(ddl.trigger("rows", "rows"))
    yield made
    made.drop()


@pytest.fixture(params=["window", "xid"])
def follow(request: pytest.FixtureRequest, fresh: Fresh) -> str:
    if request.param == "xid":
        fresh.execute("ALTER TABLE rows ADD xid xid8 NOT NULL DEFAULT pg_current_xact_id()")
        fresh.execute("CREATE INDEX ON rows (xid, id)")
    else:
        fresh.execute("CREATE INDEX ON rows (at, id)")
    return str(request.param)


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--load-seconds"))


@pytest.fixture
def serving(
    zipapp: Path, tmp_path: Path, fresh: Fresh, follow: str, seconds: float
) -> Iterator[running.Running]:
    text = CONFIGURATION.format(
        socket=fresh.server.socket,
        port=fresh.server.port,
        name=fresh.name,
        user=fresh.server.superuser,
        connections=CONNECTIONS,
        follow=follow,
        overlap=seconds / 5,  # the window is long full after a third of the time, too
        history=HISTORY,
    )
    (tmp_path / "appliance.toml").write_text(text)
    started = running.start(zipapp, "--config", str(tmp_path / "appliance.toml"), state=tmp_path / "state")
    yield started
    started.kill()


def test_two_thousand_rows_a_second_come_soon_and_leave_nothing_behind(
    serving: running.Running,
    fresh: Fresh,
    follow: str,
    seconds: float,
    record_property: Callable[[str, object], None],
) -> None:
    writers = [Writer(fresh, number, random.Random(number)) for number in range(WRITERS)]
    watch = Watch(Process(serving.process.pid), fresh)
    with ResumingClient("rows:all", serving.connect) as client:
        client.wait_until_subscribed()
        tried = _wait_until_followed(fresh, client)
        cpu, threads = (
            watch.process.cpu(),
            [threading.Thread(target=one.write, args=(seconds,)) for one in writers],
        )
        for thread in threads:
            thread.start()
        watch.look(until=lambda: not any(map(threading.Thread.is_alive, threads)))
        wanted = round(seconds * RATE)
        client.wait_for(lambda data: len(data) >= tried + wanted)
        cpu = watch.process.cpu() - cpu
        time.sleep(0.5)  # for what would come twice
        data, arrived = client.data[tried:], client.arrived[tried:]
        faults, comebacks = client.faults, client.comebacks
    assert faults == []
    assert comebacks == 0
    assert _identities(data) == fresh.execute(
        "SELECT writer, n FROM rows WHERE writer >= 0 ORDER BY writer, n"
    )
    assert len(data) == wanted
    lags = [lag for one in writers for lag in one.lags(_arrived(data, arrived, one.number))]
    third = len(watch.memory) // 3
    early, late = max(watch.memory[:third]), max(watch.memory[third:])
    median, p99, worst = statistics.median(lags), statistics.quantiles(lags, n=100)[-1], max(lags)
    record_property(
        "measured",
        f"{follow}: {wanted} rows in {seconds:g} s, commit to client: median {median * 1e3:.0f} ms,"
        f" p99 {p99 * 1e3:.0f} ms, worst {worst * 1e3:.0f} ms",
    )
    record_property(
        "measured",
        f"{follow}: {cpu / wanted * 1e3:.3f} CPU seconds a thousand rows, {max(watch.connections)} connections,"
        f" {early / _MIB:.0f} MiB in the first third, {(late - early) / _MIB:+.1f} MiB after it",
    )
    assert max(lags) < LATEST
    assert late - early < GROWTH
    assert max(watch.connections) <= CONNECTIONS


def _wait_until_followed(fresh: Fresh, client: ResumingClient) -> int:
    """Write until rows are told; gives how many were, all that will be of these."""
    deadline, tries = time.monotonic() + running.PATIENCE, 0
    while not client.data:
        assert time.monotonic() < deadline
        tries += 1
        fresh.execute("INSERT INTO rows (writer, n) VALUES (-1, $1::text::int)", str(tries))
        time.sleep(0.1)
    client.wait_for(lambda data: data[-1]["n"] == tries)
    return len(client.data)


def _identities(data: list[dict[str, Any]]) -> list[list[int]]:
    return sorted([row["writer"], row["n"]] for row in data)


def _arrived(data: list[dict[str, Any]], arrived: list[float], writer: int) -> dict[int, float]:
    return {row["n"]: at for row, at in zip(data, arrived, strict=True) if row["writer"] == writer}
