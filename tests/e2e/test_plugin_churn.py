"""A hundred times a plugin is dropped in, changed, broken, repaired or removed, before the eyes of 500 clients.

How much the appliance held before and after stands in the summary of the run.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.bench.bench_measure import Process
from tests.bench.load_offsets import Findings
from tests.e2e.dialogue import Dialogue
from tests.e2e.dropped import Dropped, make_folder
from tests.e2e.honest import HonestClient, roomy
from tests.e2e.running import ANY_PORT, PATIENCE
from tests.e2e.test_many_clients import connected, price_topics, prices

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running

CLIENTS = 500
STEPS = 100
SEED = 4
NAMES = tuple(f"churn_{number}" for number in range(6))
OTHERS = ("market:*", "predictions:*", "trades:*", "portfolio:*", "signals:all", "census:all")
MORE_MEMORY = 32 * 1024**2
"""Bytes by which the appliance may have grown: what an allocator keeps is not given back at once."""

SETTINGS = ("plugins.settle=20ms", "plugins.look_every=500ms")

CENSUS = """
import gc
import sys

import trio
from appliance.api import Channel, Mode, hookimpl


def count(task):
    return 1 + sum(count(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


async def produce(feed, settings):
    async for _ in feed.every(0.5):
        gc.collect()
        found = {
            "tasks": count(trio.lowlevel.current_root_task()),
            "modules": sum(name.startswith("appliance_plugins.") for name in sys.modules),
        }
        await feed.publish(found, key="all")


@hookimpl
def register_channels():
    return [Channel(name="census", mode=Mode.LOG, message="census", topics=("all",), produce=produce)]
"""

CHURNED = """
from appliance.api import Channel, Mode, hookimpl


async def produce(feed, settings):
    async for beat in feed.every(0.1):
        await feed.publish({{"step": {step}, "beat": beat}}, key="all")


@hookimpl
def register_channels():
    return [Channel(name="{name}", mode=Mode.LOG, message="churned", topics=("all",), produce=produce)]
"""

BROKEN = (
    "import nowhere_{step}\n",
    "raise RuntimeError('broken_{step}')\n",
    "def twice(a_{step}, a_{step}):\n    pass\n",
    "from appliance.api import hookimpl\n\n@hookimpl\ndef register_{step}():\n    return []\n",
)
"""Each is refused with an error that holds the step's number."""

pytestmark = [
    pytest.mark.launched,
    pytest.mark.skipif(sys.platform != "linux", reason="reads files and memory of the server from /proc"),
    pytest.mark.timeout(280),
]


@attrs.define
class Churn:
    """What lies in the folder: nothing, a good plugin or a broken one, by name."""

    dropped: Dropped
    chance: random.Random
    there: dict[str, str] = attrs.field(factory=dict)
    runs: set[str] = attrs.field(factory=set)
    done: Counter[str] = attrs.field(factory=Counter)

    def step(self, number: int) -> None:
        name = self.chance.choice(NAMES)
        do = self.chance.choice(
            {"": ("drop in",), "good": ("change", "break", "remove")}.get(
                self.there.get(name, ""), ("repair", "break", "remove")
            )
        )
        self.done[do] += 1
        match do:
            case "remove":
                self.remove(name)
            case "break":
                self._break(name, number)
            case _:
                self._put(name, number)

    def remove(self, name: str) -> None:
        self.dropped.remove(name)
        self.there.pop(name)
        self.runs.discard(name)

    def _put(self, name: str, number: int) -> None:
        event = "plugin changed" if name in self.runs else "plugin loaded"
        self.dropped.load(name, CHURNED.format(name=name, step=number), event)
        self.there[name] = "good"
        self.runs.add(name)

    def _break(self, name: str, number: int) -> None:
        text = self.chance.choice(BROKEN).format(step=number)
        state = self.dropped.refuse(name, text, f"_{number}")
        assert state.channels == ((name,) if name in self.runs else ())  # what ran goes on
        self.there[name] = "broken"


@attrs.frozen
class Held:
    """What a process holds."""

    files: int
    threads: int
    tasks: int
    modules: int

    @classmethod
    def by(cls, running: Running) -> Held:
        """Look at it; the tasks and modules are as the next census has them."""
        of = Path(f"/proc/{running.process.pid}")
        with running.connect() as connection:  # a new one each time, which hears of now
            witness = Dialogue(connection)
            witness.subscribe("census:all")
            census = witness.hear("census")["data"]
            files, threads = len(os.listdir(of / "fd")), len(os.listdir(of / "task"))  # noqa: PTH208 - only counted
        return cls(files, threads, census["tasks"], census["modules"])

    def is_within(self, most: Held) -> bool:
        return all(own <= other for own, other in zip(attrs.astuple(self), attrs.astuple(most), strict=True))


def test_500_clients_miss_nothing_while_plugins_come_change_break_and_go(
    start: Start, tmp_path: Path, root: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = make_folder(tmp_path / "plugins")
    settings = (word for each in (*SETTINGS, f'plugins_dir=["{folder}"]') for word in ("--set", each))
    running = start("--listen", ANY_PORT, *settings)
    process = Process(running.process.pid)
    churn = Churn(Dropped(running, folder), random.Random(SEED))
    churn.dropped.load("census", CENSUS)

    with (
        connected(running, root, CLIENTS) as clients,
        roomy(running) as connection,
    ):
        arrived = clients.answer()
        assert (arrived["clients"], arrived["errors"]) == (CLIENTS, {})
        honest = HonestClient(connection, OTHERS)
        honest.wait_for_events(1)
        for name in NAMES:  # each once, for what is made at a first use and kept
            churn.dropped.load(name, CHURNED.format(name=name, step=0))
        for name in NAMES:
            churn.dropped.remove(name)
        before, memory = Held.by(running), process.resident()

        began = time.monotonic()
        for number in range(1, STEPS + 1):
            churn.step(number)
        took = time.monotonic() - began
        for name in list(churn.there):
            churn.remove(name)
        after = _settled(running, before)
        grown = process.resident() - memory

        honest.wait_for_events(20)
        report = clients.tell("report")
        last = max(price["last"][1] for price in prices(report))
        report = clients.report_from(last)

    record_property(
        "measured",
        f"{STEPS} turns of plugins in {took:.1f} s, seed {SEED}: {dict(sorted(churn.done.items()))}",
    )
    record_property("measured", f"{before} before, {after} after; {grown / 1024**2:+.1f} MiB")
    assert (report["clients"], report["errors"], report["steady"]) == (
        CLIENTS,
        {},
        attrs.asdict(Findings()),
    )
    assert {price["clients"] for price in prices(report)} == {CLIENTS}
    assert price_topics(report)
    assert (honest.findings, honest.errors) == (Findings(), [])
    assert len(churn.done) == 5  # each kind of turn had its turn
    assert after.is_within(before)
    assert grown <= MORE_MEMORY
    assert running.errors() == {}


def _settled(running: Running, most: Held) -> Held:
    """Wait until no more is held than before, or give what is after all that patience."""
    deadline = time.monotonic() + PATIENCE
    while not (found := Held.by(running)).is_within(most) and time.monotonic() < deadline:
        pass  # each look waits for the next census
    return found
