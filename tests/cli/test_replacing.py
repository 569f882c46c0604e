"""A file that is put in place under a real systemd and does not serve: the one before goes back, whatever happened."""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.booted import PATIENCE, Machine
from tests.e2e.other_version import other_version
from tests.e2e.resuming import UNMET, ResumingClient
from tests.upgraded import (
    BEHAVES,
    BEHAVIOUR,
    CONFIGURATION,
    NEWER_STORE,
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
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = UNMET


@pytest.fixture(scope="module")
def machine(zipapp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    versions = tmp_path_factory.mktemp("versions")
    behaves = {"cli/serving.py": BEHAVES}
    bad = other_version(zipapp, versions / "bad.pyz", "0.3.0", changes=behaves)
    newer = other_version(
        zipapp, versions / "newer.pyz", "0.4.0", changes={**behaves, "store/schema.py": NEWER_STORE}
    )
    with served(zipapp, versions, bad, newer, retry="200ms") as serving:
        yield serving


@pytest.mark.parametrize(
    ("behaviour", "words", "says"),
    [
        (
            'raise RuntimeError("this version has a mistake")',
            "",
            r"it ended before it was READY \(exit-code\)\n(.*\n)*.*this version has a mistake",
        ),
        ("import time; time.sleep(1000)", "--ready-within 2s", "it was not READY within 2s"),
    ],
    ids=["does not start", "is never ready"],
)
def test_a_bad_upgrade_goes_back_by_itself_and_clients_resume(
    machine: Machine, behaviour: str, words: str, says: str
) -> None:
    before, kept = in_place(machine), files(machine)
    machine.write(BEHAVIOUR, behaviour)
    with publishing(machine) as publisher, ResumingClient(TOPIC, lambda: websocket(machine)) as client:
        client.wait_until_subscribed()
        done = upgrade(machine, "/root/versions/bad.pyz", words)
        publisher.end()
        client.wait_for(lambda data: bool(data) and data[-1]["number"] == publisher.published)
    assert done.returncode == 1
    assert re.search(f"0.3.0 does not serve: {says}", done.stderr), done.stderr
    assert done.stderr.endswith(f"appliance: appliance.service runs {before}, as before\n")
    assert (in_place(machine), files(machine)) == (before, kept)
    assert (client.faults, publisher.refused) == ([], 0)
    numbers = [data["number"] for data in client.data]
    assert numbers == list(range(numbers[0], publisher.published + 1))


def test_a_store_that_a_bad_upgrade_has_changed_goes_back_too(machine: Machine) -> None:
    before = in_place(machine)
    machine.write(BEHAVIOUR, "import threading; threading.Timer(2, os.abort).start()")
    publisher = Publisher(machine)
    publisher.publish()
    length = offset_of_newest(machine)
    done = upgrade(machine, "/root/versions/newer.pyz --watch 5s")
    assert done.returncode == 1
    assert "the store is brought from version 1 to 2, and a copy is kept" in done.stdout
    assert re.search(r"0\.4\.0 does not serve: it ended \d\.\d s after it was READY", done.stderr), (
        done.stderr
    )
    assert done.stderr.endswith(f"appliance: appliance.service runs {before}, as before\n")
    assert in_place(machine) == before
    assert offset_of_newest(machine) == length
    assert machine.run("cd /var/lib/appliance; ls store.db*").split() == [
        "store.db",
        "store.db-kept",
        "store.db-version-2",
        "store.db-wal",
    ]
    publisher.publish()
    assert offset_of_newest(machine) == length + 1


def test_to_go_back_later_from_a_store_that_was_changed_has_to_be_said(machine: Machine) -> None:
    before = in_place(machine)
    machine.run(f"rm {BEHAVIOUR}")
    publisher = Publisher(machine)
    publisher.publish()
    known = offset_of_newest(machine)
    assert upgrade(machine, "/root/versions/newer.pyz").returncode == 0
    publisher.publish()

    refused = upgrade(machine, "--previous")
    assert refused.returncode == 1
    assert "or take the copy of version 1: --revert-store" in refused.stderr
    assert in_place(machine) == "0.4.0"
    done = upgrade(machine, "--previous --revert-store")
    assert (done.returncode, done.stderr) == (0, "")
    assert in_place(machine) == before
    assert offset_of_newest(machine) == known
    publisher.publish()
    assert offset_of_newest(machine) == known + 1


def test_the_next_upgrade_goes_back_when_one_was_killed(machine: Machine) -> None:
    before, kept = in_place(machine), files(machine)
    with starting(machine) as (upgrading, pid):
        second = upgrade(machine, "--previous")
        machine.run(f"kill -KILL {pid}")
        upgrading.wait(PATIENCE)
    assert second.returncode == 1
    assert f"another upgrade of {PROGRAM} is under way" in second.stderr
    assert "appliance.pyz.old" in files(machine)

    done = upgrade(machine, "--previous")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the upgrade to 0.3.0 before this one was cut short" in done.stdout
    assert (in_place(machine), files(machine)) == (before, kept)


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_an_upgrade_that_is_interrupted_goes_back(machine: Machine, signal: str) -> None:
    before, kept = in_place(machine), files(machine)
    with starting(machine) as (upgrading, pid):
        machine.run(f"kill -{signal} {pid}")
        _, said = upgrading.communicate(timeout=PATIENCE)
    assert upgrading.returncode == 1
    assert "0.3.0 does not serve: it was interrupted" in said
    assert (in_place(machine), files(machine)) == (before, kept)


def test_what_is_left_to_be_done_is_said_when_the_file_before_does_not_serve_either(machine: Machine) -> None:
    before = in_place(machine)
    with starting(machine, "--ready-within", "3s") as (upgrading, _):
        machine.run(f"cp {CONFIGURATION} /root/kept; echo 'lissen = 1' >> {CONFIGURATION}")
        _, said = upgrading.communicate(timeout=PATIENCE)
    assert upgrading.returncode == 2
    assert f"appliance: {before} is in place again, and does not serve as before" in said
    (by_hand,) = re.findall(r"by hand: see `journalctl -u .*`, then `(.*)`", said)
    machine.run(f"mv /root/kept {CONFIGURATION}; {by_hand}")
    assert in_place(machine) == before


@contextlib.contextmanager
def starting(machine: Machine, *more: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Begin an upgrade to what never comes to serve. It is the process of that number, inside."""
    machine.write(BEHAVIOUR, "import time; time.sleep(1000)")
    command = f"echo $$; exec appliance upgrade /root/versions/bad.pyz {' '.join(more)}"
    words = machine.inside("sh", "-c", command)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert any("appliance.service is starting" in line for line in process.stdout)
        yield process, pid
