"""Upgrades under a real systemd: those that nobody notices, and those that are refused.

What clients saw stands in the summary. `--upgrades 20 --crowd 1` has twenty in a row, with 1,000 clients.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import attrs
import pytest

from tests import installed
from tests.bench.load_offsets import Findings
from tests.booted import PATIENCE, Machine
from tests.e2e.other_version import other_version
from tests.e2e.resuming import UNMET, ResumingClient
from tests.e2e.test_many_clients import Clients
from tests.installed import everything
from tests.upgraded import (
    BEFORE,
    CONFIGURATION,
    KEY,
    PORT,
    PROGRAM,
    TOPIC,
    Publisher,
    files,
    in_place,
    offset_of_newest,
    publishing,
    served,
    upgrade,
    websocket,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = UNMET

ALL: Final = 1_000


@pytest.fixture(scope="module")
def upgrades(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--upgrades"))


@pytest.fixture(scope="module")
def blocks() -> Mapping[str, str]:
    return installed.blocks()


@pytest.fixture(scope="module")
def machine(zipapp: Path, upgrades: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    versions = tmp_path_factory.mktemp("versions")
    for number in range(1, upgrades):
        other_version(zipapp, versions / f"good-{number}.pyz", f"0.2.{number}")
    other_version(zipapp, versions / "elsewhere.pyz", "0.5.0", needs_python="(3, 99)")
    with served(zipapp, versions, retry="1s") as serving:
        yield serving


def shape(told: str) -> str:
    """Leave out numbers."""
    return re.sub(r"\d+(\.\d+)*", "0", told)


@contextlib.contextmanager
def returning(machine: Machine, root: Path, count: int) -> Iterator[Clients]:
    """Clients that come back by themselves, in a process that ends with us."""
    words = [sys.executable, "-m", "tests.e2e.returning", f"wss://127.0.0.1:{PORT}/ws", "--topic", TOPIC]
    words += ["--clients", str(count), "--header", f"Authorization: Bearer {KEY}"]
    with subprocess.Popen(
        machine.beside(*words), cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Clients(process)


@pytest.mark.timeout(3_000)
def test_nobody_notices_upgrades_under_load(
    machine: Machine,
    root: Path,
    blocks: Mapping[str, str],
    upgrades: int,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    count = round(ALL * float(pytestconfig.getoption("--crowd")))
    with publishing(machine) as publisher, returning(machine, root, count) as clients:
        began = clients.answer()
        assert (began["clients"], began["errors"]) == (count, {})
        with ResumingClient(TOPIC, lambda: websocket(machine)) as one:
            one.wait_until_subscribed()
            clients.tell("reset")
            before = in_place(machine)
            gaps = []
            for number in range(1, upgrades + 1):
                if goes_on := number < upgrades:
                    machine.run(f"cp /root/versions/good-{number}.pyz /tmp/appliance.pyz")
                line = blocks["upgrade" if goes_on else "previous"].strip()
                done = machine.attempt(f"{line} --ready-within {PATIENCE}s --watch 1s")
                assert (done.returncode, done.stderr) == (0, "")
                assert not goes_on or shape(done.stdout) == shape(blocks["upgraded"])
                gaps.append(float(re.findall(r"READY after (\d+\.\d) s", done.stdout)[0]))
                assert clients.tell("settle", offset=publisher.published, seconds=PATIENCE)["done"]
            publisher.end()
            last = publisher.published
            one.wait_for(lambda data: data[-1]["number"] >= last)
            after = in_place(machine)
        assert clients.tell("settle", offset=last, seconds=PATIENCE)["done"]
        found = clients.tell("report")
    sources, compiled = machine.run(
        f"cd /var/cache/appliance/unpacked/appliance-0.2.{upgrades - 1}-*/site-packages/appliance\n"
        "find . -name '*.py' | wc -l\nfind . -name '*.pyc' | wc -l"
    ).split()
    assert int(compiled) == int(sources) > 300  # before the restart, so that nobody waits for it
    assert after == (before if upgrades == 2 else f"0.2.{upgrades - 2}")
    assert publisher.refused == 0
    assert (one.faults, one.comebacks) == ([], upgrades)
    numbers = [data["number"] for data in one.data]
    assert numbers == list(range(numbers[0], last + 1))
    assert offset_of_newest(machine) == last
    assert found["clients"] == count
    assert found["steady"] == attrs.asdict(Findings())
    assert not {"anew", "gap"} & set(found["messages"]), found["messages"]
    assert found["messages"]["recovered"] >= count * upgrades
    assert set(found["errors"]) <= {
        "error SERVER_RESTART"
    }  # told once more to who came while it was stopping
    assert set(found["ends"]) == {"closed 1012 SERVER_RESTART"}, found["ends"]
    record_property(
        "measured",
        f"{upgrades} upgrades, {count} clients told to come back within 1 s: restart to READY {max(gaps):.1f} s, "
        f"gap between two events {found['longest']:.1f} s, wait of a publisher {publisher.longest:.1f} s, each at most",
    )


def test_what_does_not_go_with_this_server_is_refused_and_nothing_changes(machine: Machine) -> None:
    process, before = machine.show("MainPID"), files(machine)
    machine.run(f"cp -a /etc/appliance /root/kept; echo 'lissen = 1' >> {CONFIGURATION}")
    machine.write("/etc/appliance/plugins/mine.py", "import nothing_that_is_there")
    all_at_once = upgrade(machine, "/root/versions/good-1.pyz --allow-downgrade")
    machine.run("rm -r /etc/appliance; mv /root/kept /etc/appliance")
    wrong_python = upgrade(machine, "/root/versions/elsewhere.pyz")
    assert (all_at_once.returncode, wrong_python.returncode) == (1, 1)
    assert "appliance: /root/versions/good-1.pyz is refused, and nothing was changed:" in all_at_once.stderr
    assert re.search(r"appliance\.toml:\d+: .*lissen", all_at_once.stderr), all_at_once.stderr
    assert re.search(r"mine\.py.*nothing_that_is_there", all_at_once.stderr), all_at_once.stderr
    assert "appliance.pyz.new is built for Python 3.99" in wrong_python.stderr
    assert (machine.show("MainPID"), files(machine)) == (process, before)


def test_a_backup_is_restored_by_the_lines_of_the_document(
    machine: Machine, blocks: Mapping[str, str]
) -> None:
    publisher = Publisher(machine)
    with ResumingClient(TOPIC, lambda: websocket(machine)) as client:
        client.wait_until_subscribed()
        publisher.publish()
        machine.run(blocks["backup"])
        kept = offset_of_newest(machine)
        publisher.publish()
        client.wait_for(lambda data: len(data) == 2)
        assert client.faults == []
        machine.run("echo 'lissen = 1' >> /etc/appliance/appliance.toml")

        told = machine.run(blocks["restore"])
        assert re.search(r"^health     able to serve", told, re.MULTILINE), told
        assert offset_of_newest(machine) == kept
        publisher.publish()
        client.wait_for(lambda data: data[-1]["number"] == 3)
    assert "not recovered" in client.faults[0]  # it is told, and given the newest event anew
    assert offset_of_newest(machine) == kept + 1


def test_an_uninstallation_takes_along_what_upgrades_have_kept(
    machine: Machine, blocks: Mapping[str, str]
) -> None:
    machine.write(f"{PROGRAM}.new", "half of one that was killed")
    machine.run("cp /var/lib/appliance/store.db /var/lib/appliance/store.db-version-1")
    assert "appliance.pyz.previous" in files(machine)
    machine.run(f"cd; {blocks['purge'].replace('appliance systemd', 'python3 appliance.pyz systemd', 1)}")
    left = everything(machine) - set((machine.root / BEFORE.lstrip("/")).read_text().splitlines())
    ours = {
        path for path in left if not path.startswith(("/root/", "/var/backups"))
    }  # of the test's own lines
    assert ours <= {"/var/lib/private", "/var/cache/private"}  # systemd's own
    assert machine.run("find /run -name '*appliance*'") == ""
