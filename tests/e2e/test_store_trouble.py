"""A disk that takes no more, a damaged file, one of the future: streaming goes on, and says what it cannot promise.

Disks that fill are small ones, mounted where only these tests and what they start see them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from tests.e2e.resuming import UNMET, ResumingClient
from tests.e2e.running import PATIENCE, Running, run, start
from tests.postgres import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.e2e.conftest import Invoke, Start

pytestmark = UNMET

TOPIC = "price:BTC"
UNWATCHED = ("market", "portfolio", "predictions", "signals", "trades", "scores", "drift")
DURABLE = (
    "channels.price.history.durable=true",
    "channels.price.publish=true",
    "sources.simulated.interval=20ms",
    'sources.simulated.symbols=["BTC", "ETH", "SOL"]',
    *(f"channels.{name}.enabled=false" for name in UNWATCHED),
)
"""Of prices and alerts."""
MANY = (
    *DURABLE,
    "sources.simulated.interval=10ms",
    "channels.price.history.count=100000",
    "channels.price.history.bytes=64MiB",
)
ENOUGH = 400
"""Events of a topic, which are some pages of the file."""
PAGE = 4096
INDEX_LEAF = 0x0A
TABLE_LEAF = 0x0D
"""The first byte of such a page, as SQLite writes it."""
VERSION = 60
"""Where it writes the version."""
DATA = b'{"symbol":"BTC"'
UNKEPT = "nothing can be kept, streaming goes on in memory"
UNREADABLE = "nothing of a channel can be kept"
WHOLE_AGAIN = "all is kept again"

SMALL = 40 * 1024**2
"""Bytes of a small disk."""


@pytest.fixture
def begin(start: Start) -> Any:
    """Start the same appliance again and again: at one port, with one state folder."""
    port = free_port()

    def begun() -> Running:
        return start("--listen", f"tls://127.0.0.1:{port}", *settings(DURABLE))

    return begun


def settings(values: Iterable[str]) -> Iterator[str]:
    for value in values:
        yield from ("--set", value)


def more_come(client: ResumingClient, count: int = 20) -> None:
    until = len(client.data) + count
    client.wait_for(lambda data: len(data) >= until)


def store(running: Running) -> dict[str, Any]:
    status, statistics = running.get("/ws/stats")
    assert status == 200
    found: dict[str, Any] = statistics["store"]
    return found


def limit_files(running: Running, size: int) -> None:
    """Let the process write no file beyond a size, as a quota does."""
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def publish(running: Running) -> int:
    client = http.client.HTTPSConnection(
        "127.0.0.1", running.port, timeout=PATIENCE, context=running.ssl_context()
    )
    body = json.dumps({"channel": "price", "key": "OWN", "data": {"price": 1}})
    headers = {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json"}
    client.request("POST", "/api/v1/publish", body, headers)
    status = client.getresponse().status
    client.close()
    return status


def test_a_disk_that_takes_no_more_and_comes_back(begin: Any) -> None:
    running = begin()
    with ResumingClient(TOPIC, lambda: running.connect(open_timeout=5)) as client:
        more_come(client)
        limit_files(running, 1)
        line = running.wait_for("nothing can be kept, streaming goes on in memory")
        assert "store.db" in line["reason"]
        more_come(client)
        told = store(running)
        assert (told["is_healthy"], "price" in told["channels"]) == (False, True)
        assert told["behind"] > 0
        assert publish(running) == 503
        limit_files(running, resource.RLIM_INFINITY)
        running.wait_for("all is kept again")
        assert publish(running) == 200
        assert store(running)["is_healthy"]
        more_come(client)
        running.kill()
        running = begin()
        more_come(client)
        assert client.faults == []
        assert client.comebacks >= 1
        # And once more, but this time the process ends while it is behind.
        limit_files(running, 1)
        running.wait_for("nothing can be kept, streaming goes on in memory")
        more_come(client)
        running.kill()
        running = begin()
        wait_until_told(client)
        more_come(client)
        assert len(client.faults) == 1
    assert running.stop(signal.SIGTERM) == 0


# --- Disks that are full. ---


@attrs.frozen
class Disk:
    """A small disk. `folder` is it for those that are started behind `enter`, `seen` is it for us."""

    folder: Path
    enter: tuple[str, ...]
    seen: Path

    @property
    def filler(self) -> Path:
        return self.seen / "filler"

    def fill(self) -> None:
        with self.filler.open("ab", buffering=0) as filler:
            for size in (PAGE, 1):
                with contextlib.suppress(OSError):
                    while filler.write(bytes(size)):
                        pass

    def empty(self) -> None:
        self.filler.unlink()


def mounted(folder: Path) -> Iterator[Disk]:
    """Mount a disk as any user may, and where that is forbidden, as root may."""
    mount = f'mount -t tmpfs -o size={SMALL},mode=700 none "$0" && echo mounted && exec cat'
    said = []
    for apart, back in (
        (("--map-root-user", "--mount"), ("--user", "--preserve-credentials", "--mount")),
        (("--mount",), ("--mount",)),
    ):
        with subprocess.Popen(
            ["unshare", *apart, "sh", "-c", mount, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as holder:  # ends with its input
            assert holder.stdout is not None
            if holder.stdout.readline():
                enter = ("nsenter", "--target", str(holder.pid), *back, "--")
                yield Disk(folder, enter, Path(f"/proc/{holder.pid}/root") / folder.relative_to("/"))
                return
            _, complaint = holder.communicate()
            said.append(complaint.decode().strip())
    reason = f"no small disk can be mounted here: {said}"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if sys.platform != "linux":
        pytest.skip("mounts as Linux does")
    folder = tmp_path / "disk"
    folder.mkdir()
    yield from mounted(folder)


@attrs.define
class Site:
    """An appliance on a small disk, that comes back at the same port."""

    zipapp: Path
    disk: Disk
    port: int = attrs.field(factory=free_port)
    process: Running | None = None

    def serve(self) -> Running:
        words = ("--listen", f"tls://127.0.0.1:{self.port}", *settings(DURABLE))
        self.process = start(self.zipapp, *words, state=self.disk.folder, before=self.disk.enter)
        self.process.state = self.disk.seen
        return self.process

    def store(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run(self.zipapp, "store", *words, "--state-dir", str(self.disk.folder), before=self.disk.enter)

    def kept(self) -> list[int]:
        """Give the offsets that are in the file."""
        exported = self.store("export", "--channel", TOPIC)
        assert exported.returncode == 0, exported.stderr
        return [json.loads(line)["offset"] for line in exported.stdout.splitlines()]


@pytest.fixture
def site(zipapp: Path, disk: Disk) -> Iterator[Site]:
    made = Site(zipapp, disk)
    yield made
    if made.process is not None:
        made.process.kill()


def test_a_full_disk_that_gets_room_again(site: Site) -> None:
    running = site.serve()
    with ResumingClient(TOPIC, lambda: running.connect(open_timeout=5)) as client:
        more_come(client)
        site.disk.fill()
        assert "the disk is full: make room" in running.wait_for(UNKEPT)["reason"]
        more_come(client, 100)
        told = store(running)
        assert (told["is_healthy"], publish(running)) == (False, 503)
        assert "the disk is full" in told["reason"]
        assert told["behind"] >= 100
        site.disk.empty()
        running.wait_for(WHOLE_AGAIN)
        told = store(running)
        assert (told["is_healthy"], told["reason"], told["behind"], publish(running)) == (True, None, 0, 200)
        more_come(client)
        assert [len(running.logged(event)) for event in (UNKEPT, WHOLE_AGAIN)] == [1, 1]
        running.kill()
        assert site.store("check").returncode == 0
        kept = site.kept()
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= len(client.data)
        running = site.serve()
        more_come(client)
    assert (client.faults, client.comebacks) == ([], 1)
    assert running.stop() == 0


def test_a_disk_that_is_full_at_the_start(site: Site) -> None:
    running = site.serve()
    with ResumingClient(TOPIC, lambda: running.connect(open_timeout=5)) as client:
        more_come(client)
        running.kill()
        site.disk.fill()
        running = site.serve()
        assert "the disk is full" in running.wait_for(UNKEPT)["reason"]
        more_come(client)
        assert (store(running)["is_healthy"], publish(running)) == (False, 503)
        site.disk.empty()
        running.wait_for(WHOLE_AGAIN)
        assert (store(running)["is_healthy"], publish(running)) == (True, 200)
        more_come(client)
    assert client.faults == []
    assert running.stop() == 0
    assert site.store("check").returncode == 0


# --- Files that are not as they were written. ---


@attrs.frozen
class Filled:
    """What an appliance has left, and where one of its clients stood."""

    state: Path
    position: dict[str, Any]


@pytest.fixture(scope="module")
def filled(start_shared: Start) -> Filled:
    running = start_shared(*settings(MANY))
    with ResumingClient(TOPIC, lambda: running.connect(open_timeout=5)) as client:
        more_come(client, ENOUGH)
        assert running.stop() == 0
    assert client.faults == []
    return Filled(running.state, client.position)


@pytest.fixture
def file(filled: Filled, tmp_path: Path) -> Path:
    """One of the test's own, in the state folder of what it starts."""
    return shutil.copytree(filled.state, tmp_path / "state") / "store.db"


def overwrite_head(content: bytearray) -> None:
    content[:100] = b"\xff" * 100


def cut_off(content: bytearray) -> None:
    del content[len(content) // PAGE // 2 * PAGE :]


def cut_within_a_page(content: bytearray) -> None:
    del content[len(content) * 2 // 3 // PAGE * PAGE + 100 :]


def raise_version(content: bytearray) -> None:
    content[VERSION : VERSION + 4] = (1000).to_bytes(4, "big")


def overwrite_page_of_table(content: bytearray) -> None:
    place = place_of_event(content) // PAGE * PAGE
    content[place : place + PAGE] = b"\xff" * PAGE


def overwrite_page_of_index(content: bytearray) -> None:
    """One in the middle of the index of events: in that of the notes there are words."""
    leaves = [
        place
        for place in range(0, len(content), PAGE)
        if content[place] == INDEX_LEAF and not re.search(rb"[a-z]{4}", content[place : place + PAGE])
    ]
    place = leaves[len(leaves) // 2]
    content[place : place + PAGE] = bytes(PAGE)


def change_event(content: bytearray) -> None:
    """What SQLite cannot see."""
    place = place_of_event(content) + len(DATA)
    content[place : place + 10] = content[place : place + 10][::-1]


def place_of_event(content: bytearray) -> int:
    """Find one that counts: pages that have become others have remains of some."""
    found = (match.start() for match in re.finditer(re.escape(DATA), content))
    return next(place for place in found if content[place // PAGE * PAGE] == TABLE_LEAF)


@pytest.mark.parametrize(
    ("harm", "status", "words"),
    [
        (overwrite_head, 1, "is not a database"),
        (cut_off, 1, "malformed"),
        (cut_within_a_page, 1, "malformed"),
        (raise_version, 2, "is of version 1000, and this appliance knows versions up to"),
    ],
)
def test_a_file_that_cannot_be_used_is_left_alone(
    harm: Callable[[bytearray], None],
    status: int,
    words: str,
    file: Path,
    filled: Filled,
    start: Start,
    invoke: Invoke,
) -> None:
    before = spoilt(file, harm)
    checked = invoke("store", "check", "--state-dir", str(file.parent))
    assert checked.returncode == status
    assert words in checked.stdout + checked.stderr
    running = start(*settings(MANY))
    assert words in running.wait_for(UNKEPT)["reason"]
    with returning(running, filled) as client:
        wait_until_told(client)
        more_come(client)
        told = store(running)
        assert (told["is_healthy"], publish(running)) == (False, 503)
        assert words in told["reason"]
        assert len(running.logged(UNKEPT)) == 1
        assert running.stop() == 0
    assert len(client.faults) == 1
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (overwrite_page_of_table, r"topic price:BTC cannot be read"),
        (overwrite_page_of_index, r"topic price:[A-Z]+ cannot be read"),
        (change_event, r"event \d+ of price:BTC is not as it was written"),
    ],
)
def test_a_channel_of_which_something_is_damaged_goes_on_in_memory(
    harm: Callable[[bytearray], None], words: str, file: Path, filled: Filled, start: Start, invoke: Invoke
) -> None:
    spoilt(file, harm)
    checked = invoke("store", "check", "--state-dir", str(file.parent))
    assert checked.returncode == 1
    assert re.search(words, checked.stdout)
    running = start(*settings(MANY))
    assert "is damaged" in running.wait_for(UNREADABLE)["reason"]
    with returning(running, filled) as client:
        wait_until_told(client)
        more_come(client)
        told = store(running)
        assert (told["is_healthy"], publish(running)) == (False, 503)
        assert "is damaged" in told["reason"]
        assert [line["channel"] for line in running.logged(UNREADABLE)] == ["price"]
        assert running.logged(UNKEPT) == []  # the other channels are kept as before
        assert running.stop() == 0
    assert len(client.faults) == 1


def spoilt(file: Path, harm: Callable[[bytearray], None]) -> bytes:
    content = bytearray(file.read_bytes())
    harm(content)
    file.write_bytes(content)
    return bytes(content)


def returning(running: Running, filled: Filled) -> ResumingClient:
    """Give the client that comes back to what has been spoilt."""
    return ResumingClient(TOPIC, lambda: running.connect(open_timeout=5), position=filled.position)


def wait_until_told(client: ResumingClient) -> None:
    """Wait until a client knows that it did not recover."""
    client.wait_for(lambda _: bool(client.faults))
    assert client.faults[0].startswith("not recovered")
