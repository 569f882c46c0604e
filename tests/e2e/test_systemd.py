"""The appliance under a real systemd, by the lines of docs/operations.md: from an empty server to an empty server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests import unpacked
from tests.booted import Machine, booted
from tests.installed import PORT, events, everything

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


UNPACKED = "/opt/unpacked"
"""Where the file is unpacked for who does not look at its first start."""


@pytest.fixture(scope="module", params=["own", "newer"])
def machine(request: pytest.FixtureRequest, zipapp: Path) -> Iterator[Machine]:
    """A server on which there is only the file, in root's home folder; systemd before and after 253."""
    files = {
        zipapp: "/root/appliance.pyz",
        unpacked.folder(zipapp): f"{UNPACKED}/{unpacked.build_of(zipapp)}",
    }
    with booted(newer=request.param == "newer", files=files) as booting:
        yield booting


def systemd(machine: Machine) -> int:
    return int(machine.run("systemctl --version").split()[1])


def test_all_of_its_life_by_the_lines_of_the_document(machine: Machine, blocks: Mapping[str, str]) -> None:
    others = ("/root/.cache", UNPACKED)  # where other tests' appliances may keep what they compile
    before = everything(machine)
    would = machine.run("cd; python3 appliance.pyz systemd install --dry-run")
    assert [each for each in everything(machine) - before if not each.startswith(others)] == []
    done = machine.run(f"cd; {blocks['install']}")
    assert done == blocks["output"]
    assert would.splitlines() == [
        line if line.startswith("start it:") else f"would {line}" for line in done.splitlines()
    ]
    assert machine.run("cd; python3 appliance.pyz systemd install") == "all is in place, and runs\n"
    assert machine.show("Type") == ("notify" if systemd(machine) < 253 else "notify-reload")

    told = machine.run(blocks["status"])
    assert re.search(r"^unit       active \(running\) since .*, process \d+$", told, re.MULTILINE)
    assert re.search(r"^listens    tls://0\.0\.0\.0:8443, kept open by systemd$", told, re.MULTILINE)
    assert re.search(r"^health     able to serve", told, re.MULTILINE)
    assert re.search(r'Status: "0 sessions, \d+ messages a second"', told)
    counted = machine.run(blocks["restarts"])
    assert set(counted.splitlines()) == {"NRestarts=0", "Result=success", "WatchdogUSec=30s"}
    subscribed = machine.attempt(blocks["subscribe"])
    assert subscribed.returncode == 28  # the time of the line was up
    assert "event: " in subscribed.stdout or "data: " in subscribed.stdout

    process = machine.show("MainPID")
    machine.run(blocks["reload"])
    machine.wait_until(lambda: "configuration reloaded" in events(machine), "the configuration is reloaded")
    assert machine.show("MainPID") == process
    machine.run(blocks["restart"])
    assert machine.show("MainPID") != process

    machine.run(blocks["stop"])
    assert machine.show("Result") == "success"
    assert events(machine)[-1] == "stopped"
    with pytest.raises(ConnectionRefusedError):
        machine.connect(PORT)
    said = machine.run(blocks["uninstall"])
    assert said.endswith(
        "kept: /etc/appliance, /var/lib/appliance, /var/log/appliance; --purge removes them\n"
    )
    kept = {each for each in everything(machine) - before if not each.startswith(others)}
    folders = ("/etc/appliance", "/var/lib/appliance", "/var/lib/private", "/var/cache/private")
    assert {each for each in kept if not each.startswith(folders)} == set()
    machine.run(f"cd; {blocks['purge'].replace('appliance systemd', 'python3 appliance.pyz systemd', 1)}")
    left = {each for each in everything(machine) - before if not each.startswith(UNPACKED)}
    assert left <= {"/var/lib/private", "/var/cache/private", "/root/.cache"}  # systemd's own, and root's
    assert machine.run("systemctl list-units --all --plain --no-legend 'appliance*'") == ""
    assert machine.run("find /run /tmp /var/log -name '*appliance*'") == ""
    again = machine.run("cd; python3 appliance.pyz systemd uninstall --purge", SHIV_ROOT=UNPACKED)
    assert again == "nothing is installed\n"


def test_who_is_not_root_is_told_the_line_to_say(machine: Machine) -> None:
    machine.run("cp /root/appliance.pyz /srv; useradd --create-home alice")
    done = machine.attempt("su alice -c 'python3 /srv/appliance.pyz systemd install'")
    assert done.returncode == 1
    assert done.stderr == (
        "appliance: only root may do this: sudo /usr/bin/python3 /srv/appliance.pyz systemd install\n"
    )


def test_it_may_do_little(machine: Machine, blocks: Mapping[str, str]) -> None:
    unpacked.of_the_unit(machine, copied=UNPACKED)
    machine.run(f"cd; {blocks['install']}", SHIV_ROOT=UNPACKED)
    offline = "systemd-analyze security --offline=true /etc/systemd/system/appliance.service"
    for command in (blocks["exposure"], offline):
        told = machine.run(command)
        found = re.search(r"Overall exposure level for appliance\.service: (\d+\.\d+)", told)
        assert found, told
        assert float(found[1]) <= 1.5
    assert machine.run("systemd-analyze verify appliance.service appliance.socket 2>&1") == ""
    process = machine.show("MainPID")
    status = machine.run(f"cat /proc/{process}/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert not re.search(r"^Uid:\t0\t", status, re.MULTILINE)
    assert machine.show("LimitNOFILE") == "524288"
