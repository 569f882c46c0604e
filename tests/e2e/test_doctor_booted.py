"""The doctor in a machine with systemd: what it says of a unit, of the process that runs in it, and to its user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests import unpacked
from tests.booted import booted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.booted import Machine

FILE = "/opt/appliance.pyz"
UNPACKED = "/opt/unpacked"
CONFIGURATION = 'state_dir = "/var/lib/appliance"\n[[listen]]\nurl = "tls://127.0.0.1:8443"\n'
UNIT = f"""
[Service]
Type=simple
User=stream
StateDirectory=appliance
StateDirectoryMode=0700
Environment=SHIV_ROOT={UNPACKED}
ExecStart=/usr/bin/python3 {FILE} serve --config /etc/appliance.toml
LimitNOFILE=1000
MemoryMax=300M
"""


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    with booted(files={zipapp: FILE, unpacked.folder(zipapp): "/run/unpacked"}) as found:
        build = f"{UNPACKED}/{unpacked.build_of(zipapp)}"
        found.run(f"mkdir {UNPACKED}; cp --archive /run/unpacked {build}; chmod --recursive a+rX {build}")
        found.run("useradd --system stream")
        found.write("/etc/appliance.toml", CONFIGURATION)
        yield found


def asked(machine: Machine, *words: str, before: str = "") -> tuple[int, list[dict[str, Any]]]:
    """The status, and the findings."""
    command = f"{before} python3 {FILE} doctor --config /etc/appliance.toml --json {' '.join(words)}"
    done = machine.attempt(command, SHIV_ROOT=UNPACKED)
    assert done.returncode in (0, 1), done.stderr
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return done.returncode, findings


@pytest.fixture(scope="module")
def at_first(machine: Machine) -> list[dict[str, Any]]:
    """The findings before anything is changed."""
    return asked(machine)[1]


def of(kind: str, findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(finding["verdict"], finding["what"]) for finding in findings if finding["kind"] == kind]


def test_without_a_unit_it_says_how_to_have_one(at_first: list[dict[str, Any]]) -> None:
    assert of("unit", at_first) == [("note", "appliance.service is not installed")]
    assert of("instance", at_first)[0][0] == "ok"


def test_the_clock_is_told_as_systemd_tells_it(machine: Machine, at_first: list[dict[str, Any]]) -> None:
    synchronised = machine.run("timedatectl show --property=NTPSynchronized --value").strip()
    assert of("clock", at_first)[0][0] == {"yes": "ok", "no": "warning"}[synchronised]


def test_a_unit_that_lacks_what_matters_is_told(machine: Machine) -> None:
    machine.write("/etc/systemd/system/appliance.service", UNIT)
    machine.run("systemctl daemon-reload")
    status, findings = asked(machine, "--set", "stop.deadline=200s")
    assert of("unit", findings) == [
        ("warning", "appliance.service has Type=simple"),
        ("warning", "appliance.service has no watchdog"),
        ("warning", "appliance.service has Restart=no"),
        ("warning", "appliance.service is given 90 s to stop, and stop.deadline is 200 s"),
    ]
    allowed = "appliance.service allows 1,000 open files, and limits.connections = 12,000 takes 12,256"
    assert of("open-files", findings) == [("problem", allowed)]
    assert "may have 314.6 MB" in of("memory", findings)[0][1]
    assert status == 1


def test_of_one_that_runs_the_process_is_looked_at(machine: Machine) -> None:
    machine.write("/etc/systemd/system/appliance.service", UNIT)
    machine.run("systemctl daemon-reload && systemctl restart appliance")
    machine.wait_until(
        lambda: machine.attempt("curl -sk https://127.0.0.1:8443/").returncode == 0, "it serves"
    )
    pid = machine.show("MainPID")
    _, findings = asked(machine)
    assert of("instance", findings) == [("ok", f"process {pid} runs with /var/lib/appliance")]
    assert of("listen", findings) == [
        ("ok", f"tls://127.0.0.1:8443 is open: the appliance serves it (process {pid})")
    ]
    assert of("unit", findings)[0][1] == "appliance.service has Type=simple"
    assert f"(process {pid}) allows 1,000 open files" in of("open-files", findings)[0][1]
    assert "may have 314.6 MB" in of("memory", findings)[0][1]
    [(verdict, what)] = of("state-folder", findings)
    assert (verdict, what) == ("note", "/var/lib/appliance belongs to stream, and this is root")
    machine.run("systemctl stop appliance")


def test_the_user_without_rights_is_told_what_it_may_not(machine: Machine) -> None:
    machine.run("install -d -o stream -m 700 /var/lib/appliance")
    before = "setpriv --reuid stream --regid stream --clear-groups --bounding-set=-all --inh-caps=-all"
    url = "tls://127.0.0.1:443"
    status, findings = asked(machine, "--listen", url, before=before)
    assert of("listen", findings) == [("problem", f"{url}: this user may not open ports below 1024")]
    assert of("state-folder", findings) == [("ok", "/var/lib/appliance is stream's alone")]
    assert status == 1
    _, findings = asked(machine, "--listen", url)
    assert of("listen", findings) == [("note", f"{url} can be opened by root")]


def test_what_root_has_left_in_the_state_folder_is_found(machine: Machine) -> None:
    machine.run("install -d -o stream -m 700 /var/lib/appliance && touch /var/lib/appliance/left-by-root")
    _, findings = asked(machine)
    problems = [what for verdict, what in of("state-folder", findings) if verdict == "problem"]
    assert problems == ["left-by-root in /var/lib/appliance belong to root, as after a start by another user"]
    machine.run("rm /var/lib/appliance/left-by-root")


def test_a_read_only_disk_is_a_problem(machine: Machine) -> None:
    machine.run("mkdir -p /srv/state && mount -t tmpfs -o ro,mode=700 none /srv/state")
    status, findings = asked(machine, "--state-dir", "/srv/state")
    assert ("problem", "the file system of /srv/state is mounted read-only") in of("disk-space", findings)
    assert of("disk-kind", findings)[0][1] == "/srv/state is on tmpfs, which is memory"
    assert status == 1
    machine.run("umount /srv/state")


def test_a_full_disk_is_a_problem(machine: Machine) -> None:
    machine.run("mkdir -p /srv/full && mount -t tmpfs -o size=64k,nr_inodes=20,mode=700 none /srv/full")
    machine.run("head -c 64k /dev/zero > /srv/full/ballast")
    _, findings = asked(machine, "--state-dir", "/srv/full")
    whats = [what for verdict, what in of("disk-space", findings) if verdict == "problem"]
    assert "/srv/full takes no file: No space left on device" in whats
    assert "0 bytes of 65.5 kB are free on the file system of /srv/full" in whats
    assert any(what.startswith("18 files can still be made") for what in whats)
    machine.run("umount /srv/full")
