"""20,000 events a second into durable topics: all are kept, the writer keeps up, memory stays as it is.

A plugin publishes them with `publish_all`. What it took stands in the summary of the run; `--load-seconds 60` keeps it
up for a minute.
"""

from __future__ import annotations

import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from tests.bench.bench_measure import Process
from tests.e2e import running
from tests.e2e.dropped import make_folder
from tests.e2e.resuming import ResumingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RATE: Final = 20_000
"""Events a second."""
TOPICS: Final = 20
EVERY: Final = 0.05
"""Seconds between two calls of `publish_all`."""
MOST_AT_ONCE: Final = 2_000
"""Events of one call, when it was kept from publishing for a while."""
HISTORY: Final = 2_000
"""Events that each topic keeps."""
BYTES: Final = 200
"""Of each event's data, about."""
WAITING: Final = 60_000
"""Events that may wait for the disk before the plugin does, which a machine that does other things too may need."""
GROWTH: Final = 12 * 1024**2
"""Bytes that memory may gain after a third of the time, when all histories are long full. Were only the data kept of
what comes after that, it were more, in 15 s too.
"""
EACH: Final = 2_500
"""More bytes than an event takes that waits."""
BATCH: Final = 10_000
"""Events that may come between letting go of those before: the disk is told with the next ones."""
_LOOK: Final = 0.1
_MIB: Final = 1024**2

PLUGIN = """
import trio
from appliance.api import Channel, History, Mode, Row, hookimpl

PAD = "x" * {pad}


async def produce(feed, settings):
    feed.declare(*map(str, range({topics})))
    while not await trio.Path({go!r}).exists():
        await trio.sleep(0.05)
    published = feed.state.get("published", 0)  # another run may have been interrupted
    begun = trio.current_time() - published / {rate}
    async for _ in feed.every({every}):
        due = min({events}, published + {most}, round((trio.current_time() - begun) * {rate}))
        numbers, published = range(published, due), due
        rows = [Row(str(n % {topics}), {{"n": n, "pad": PAD}}) for n in numbers]
        await feed.publish_all(rows, note={{"published": published}})
        if published == {events}:
            await trio.sleep_forever()


@hookimpl
def register_channels():
    kept = History(count={history}, bytes=1 << 24, durable=True)
    return [Channel(name="load", mode=Mode.LOG, message="loaded", produce=produce, history=kept)]
"""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of the server from /proc"),
    pytest.mark.timeout(300),
]


@attrs.frozen
class Watch:
    """What the appliance takes, and what waits for the disk, seen now and then."""

    running: running.Running
    memory: list[int] = attrs.field(factory=list)
    waiting: list[int] = attrs.field(factory=list)

    def look(self, until: Callable[[dict[str, Any]], bool], *, within: float) -> None:
        process, deadline = Process(self.running.process.pid), time.monotonic() + within
        while True:
            store = self.store()
            self.memory.append(process.resident())
            self.waiting.append(store["waiting"])
            if until(store):
                return
            assert time.monotonic() < deadline, store
            time.sleep(_LOOK)

    def store(self) -> dict[str, Any]:
        status, told = self.running.get("/ws/stats")
        assert status == 200
        found: dict[str, Any] = told["store"]
        assert found["is_healthy"], found
        return found


def written_by(pid: int) -> int:
    """Give the bytes that a process has given to disks so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes: ")).partition(" ")[2])


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--load-seconds"))


@pytest.fixture(params=["normal", "full"])
def sync(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serving(zipapp: Path, tmp_path: Path, sync: str, seconds: float) -> Iterator[running.Running]:
    folder = make_folder(tmp_path / "plugins")
    text = PLUGIN.format(
        pad=BYTES - len('{"n":100000,"pad":""}'),
        topics=TOPICS,
        go=str(tmp_path / "go"),
        every=EVERY,
        most=MOST_AT_ONCE,
        rate=RATE,
        events=round(RATE * seconds),
        history=HISTORY,
    )
    (folder / "load.py").write_text(text)
    settings = (
        f'plugins_dir=["{folder}"]',
        f"store.sync={sync}",
        f"store.waiting={WAITING}",
        "producers.events_per_second=1000000",
    )
    words = [word for setting in settings for word in ("--set", setting)]
    started = running.start(zipapp, "--listen", running.ANY_PORT, *words, state=tmp_path / "state")
    yield started
    started.kill()


def test_the_writer_keeps_up_and_leaves_nothing_behind(
    zipapp: Path,
    tmp_path: Path,
    serving: running.Running,
    sync: str,
    seconds: float,
    record_property: Callable[[str, object], None],
) -> None:
    events, watch, process = round(RATE * seconds), Watch(serving), Process(serving.process.pid)
    with ResumingClient("load:0", serving.connect) as client:
        client.wait_until_subscribed()
        before, cpu, written = watch.store()["kept"], process.cpu(), written_by(process.pid)
        begun = time.monotonic()
        (tmp_path / "go").touch()
        watch.look(lambda store: store["kept"] - before >= events, within=seconds + running.PATIENCE)
        took, cpu, written = time.monotonic() - begun, process.cpu() - cpu, written_by(process.pid) - written
        client.wait_for(lambda data: len(data) >= events // TOPICS)
        faults, comebacks, data = client.faults, client.comebacks, client.data
    assert (faults, comebacks) == ([], 0)
    told = [each["n"] for each in data]
    assert (len(told), told[0], told[-1]) == (events // TOPICS, 0, events - TOPICS)
    assert all(after - before == TOPICS for before, after in pairwise(told))

    assert serving.stop() == 0
    size = sum(file.stat().st_size for file in (tmp_path / "state").glob("store.db*"))
    checked = running.run(zipapp, "store", "check", "--state-dir", str(tmp_path / "state"), "--json")
    found = json.loads(checked.stdout)
    (kept,) = [each for each in found["channels"] if each["channel"] == "load"]
    assert (checked.returncode, found["flaws"]) == (0, [])
    assert kept["topics"] == TOPICS
    assert 0 <= kept["events"] - TOPICS * HISTORY <= BATCH

    third = len(watch.memory) // 3
    early, late = max(watch.memory[:third]), max(watch.memory[third:])
    record_property(
        "measured",
        f"sync {sync}: {events:,} events of {BYTES} bytes kept in {took:.1f} s, at most {max(watch.waiting):,} waited;"
        f" {cpu / took:.0%} of a core, {cpu / events * 1e6:.1f} µs each (load average {os.getloadavg()[0]:.1f})",
    )
    record_property(
        "measured",
        f"sync {sync}: {size / kept['events']:.0f} bytes on disk for each event kept, {written / events:.0f}"
        f" written for each that came; {early / _MIB:.0f} MiB in the first third, {(late - early) / _MIB:+.1f} after",
    )
    assert max(watch.waiting) <= WAITING
    assert late - early < GROWTH + EACH * max(watch.waiting)
