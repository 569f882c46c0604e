"""Attacks of all kinds on the built file over TLS, while honest clients listen: they miss nothing, the memory stays
bounded, nothing fails, and afterwards it serves as before.

How late the honest clients had their events stands in the summary of the run, beside how late they have them when it
is quiet. `--crowd 1 --attack-seconds 12` is the long form, in which each attack comes alone.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from tests.attacks.attacker import FAMILIES, KEY
from tests.bench.bench_measure import Process
from tests.bench.load_offsets import Findings
from tests.e2e import running as appliances
from tests.e2e.running import PATIENCE, SECRET
from tests.e2e.test_many_clients import peak_memory
from tests.e2e.test_resume_crowd import EVERY, LIVE, SUBSCRIBE, TOPIC, Publisher, clients

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.running import Running
    from tests.e2e.test_many_clients import Clients

HONEST: Final = 500
QUIET: Final = 2.0
"""Seconds in which is measured how it is without attacks."""
MOST_CONNECTIONS: Final = 2_000
EACH: Final = 12
"""Connections of each attack in the short form."""
MEMORY: Final = 160
"""MiB that the appliance may hold beyond what it held with its honest clients alone."""
MEMORY_ALONE: Final = 256
"""The same where an attack comes alone, from many more connections."""
ALONE: Final = 5.0
"""Seconds from which on each attack comes alone."""
READER: Final = f"reader-{SECRET}"
ATTACKER: Final = f"attacker-{SECRET}"
"""A key that somebody has lost: it may do what keys that are handed out may, and no more at once."""

CONFIGURATION: Final = f"""
[[listen]]
url = "tls://127.0.0.1:0"

[limits]
handshake = "3s"

[[auth.keys]]
name = "reader"
key = "{READER}"

[[auth.keys]]
name = "attacker"
key = "{ATTACKER}"
sessions = 300
"""

pytestmark = [
    pytest.mark.launched,
    pytest.mark.skipif(sys.platform != "linux", reason="reads CPU and memory of the server from /proc"),
    pytest.mark.timeout(300),
]


@attrs.frozen(kw_only=True)
class Scene:
    """The appliance, and its honest clients."""

    running: Running
    listeners: Clients
    honest: int
    quiet: dict[str, float]
    resident: float

    def serves(self) -> None:
        """See that who comes now is served."""
        assert self.running.get("/ws/stats")[0] == 200
        with self.running.connect() as connection:
            connection.send(SUBSCRIBE)
            while (answer := json.loads(connection.recv(PATIENCE)))["type"] != "subscribed":
                pass
            first = answer["channels"][0]["offset"]
            while json.loads(connection.recv(PATIENCE)).get("offset", 0) < first + 3:
                pass
        reached = self.listeners.tell("reach", topic=TOPIC, offset=first + 3, seconds=PATIENCE)
        assert reached["done"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attacks" in metafunc.fixturenames:
        families = {name: tuple(attacks) for name, attacks in FAMILIES.items()}
        if metafunc.config.getoption("--attack-seconds") >= ALONE:
            families = {attack: (attack,) for attacks in families.values() for attack in attacks}
        metafunc.parametrize("attacks", families.values(), ids=families.keys())


@pytest.fixture(scope="module")
def scene(
    zipapp: Path, root: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "appliance.toml").write_text(CONFIGURATION)
    publisher = Publisher(folder / "orders")
    settings = (*publisher.settings, "channels.bench.history.count=20000")
    words = [word for setting in settings for word in ("--set", setting)]
    running = appliances.start(
        zipapp, "--config", str(folder / "appliance.toml"), *words, state=folder / "state", key=READER
    )
    honest = max(10, round(HONEST * float(pytestconfig.getoption("--crowd"))))
    try:
        wait_for(publisher.orders)  # until then there is no such channel
        listens = ("--send", SUBSCRIBE, "--ready", "subscribed", "--control")
        with clients("tests.bench.load", running, root, honest, *listens) as listeners:
            assert listeners.answer()["errors"] == {}
            publisher.order(LIVE, every=EVERY)
            listeners.tell("reset")
            time.sleep(QUIET)
            quiet = listeners.tell("report")["latency_ms"]
            resident = peak_memory(running.process.pid)
            yield Scene(running=running, listeners=listeners, honest=honest, quiet=quiet, resident=resident)
        assert running.stop() == 0
        assert [line for line in running.log if line["level"] in {"error", "critical", "raw"}] == []
    finally:
        running.kill()


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < deadline, f"no {file} within {PATIENCE:g} s"
        select.select((), (), (), 0.02)


def test_the_honest_miss_nothing_and_all_is_bounded(
    scene: Scene,
    root: Path,
    attacks: tuple[str, ...],
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    seconds = float(pytestconfig.getoption("--attack-seconds"))
    connections = EACH if len(attacks) > 1 else min(MOST_CONNECTIONS, round(seconds * EACH))
    server = Process(scene.running.process.pid)
    scene.listeners.tell("reset")
    cpu = server.cpu()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.attacks.attacker", str(scene.running.port), *attacks),
            *("--seconds", f"{seconds:g}", "--connections", str(connections)),
        ],
        cwd=root,
        env={**os.environ, KEY: ATTACKER},
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds + 2 * PATIENCE,
        check=True,
    )
    attacked = scene.listeners.tell("report")["latency_ms"]
    scene.serves()
    report = scene.listeners.tell("report")
    memory = peak_memory(scene.running.process.pid)

    tries = {line["attack"]: line["tries"] for line in map(json.loads, done.stdout.splitlines())}
    record_property(
        "measured",
        f"{', '.join(f'{name} {count:,}' for name, count in tries.items())} times in {seconds:g} s"
        f" ({server.cpu() - cpu:.1f} s CPU of the server): {scene.honest} honest clients had their events after"
        f" p50 {attacked['p50']:.0f} ms, p99 {attacked['p99']:.0f} ms; when it was quiet, p50"
        f" {scene.quiet['p50']:.0f} ms, p99 {scene.quiet['p99']:.0f} ms; peak memory {memory:.0f} MiB"
        f" ({scene.resident:.0f} before; load average {os.getloadavg()[0]:.1f})",
    )
    assert tries.keys() == set(attacks)
    assert min(tries.values()) >= connections
    kept = attrs.asdict(Findings())
    assert (report["clients"], report["errors"], report["steady"]) == (scene.honest, {}, kept)
    assert memory < scene.resident + (MEMORY if len(attacks) > 1 else MEMORY_ALONE)
    assert [line for line in scene.running.log if line["level"] in {"error", "critical", "raw"}] == []
