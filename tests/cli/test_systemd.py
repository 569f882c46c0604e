"""The words around an installation, in a machine that systemd runs. A whole life is in tests/e2e/test_systemd.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import unpacked
from tests.booted import booted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.booted import Machine

FILE = "python3 /root/appliance.pyz"


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    with booted(files={zipapp: "/root/appliance.pyz", **unpacked.of_root(zipapp)}) as booting:
        yield booting


def test_where_nothing_is_installed_there_is_nothing_to_see_or_to_remove(machine: Machine) -> None:
    done = machine.attempt(f"{FILE} systemd status")
    assert (done.returncode, done.stdout) == (3, "unit       not installed: appliance systemd install\n")
    assert machine.run(f"{FILE} systemd uninstall") == "nothing is installed\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("--listen http://localhost:80", 2, "write tcp:// for ws and http without TLS"),
        ("--file /usr/bin/env", 1, "/usr/bin/env is not the appliance in one file: name that, with --file"),
        ("--file /nowhere", 2, "File '/nowhere' does not exist."),
    ],
)
def test_what_cannot_be_installed_is_told_and_changes_nothing(
    machine: Machine, arguments: str, status: int, said: str
) -> None:
    done = machine.attempt(f"{FILE} systemd install {arguments}")
    assert done.returncode == status
    assert said in done.stderr
    assert not (machine.root / "etc/appliance").exists()


def test_another_file_than_the_one_that_runs_can_be_installed(machine: Machine) -> None:
    machine.run("cp /root/appliance.pyz /srv/other.pyz; echo >> /srv/other.pyz")
    said = machine.run(f"{FILE} systemd install --file /srv/other.pyz --listen tcp://localhost:8080")
    assert "make /usr/local/lib/appliance/appliance.pyz\n" in said
    machine.run("cmp /srv/other.pyz /usr/local/lib/appliance/appliance.pyz")
    # systemd cannot keep the port of a name open, so that there is no socket.
    assert "run systemctl enable appliance.service\n" in said
    machine.run("echo '[[listen]]\nurl = \"tcp://127.0.0.1:8081\"' >> /etc/appliance/appliance.toml")
    assert machine.run(f"{FILE} systemd install --file /srv/other.pyz").splitlines()[:3] == [
        "make /etc/systemd/system/appliance.socket",
        "run systemctl daemon-reload",
        "run systemctl enable appliance.service appliance.socket",
    ]
    machine.run("for _ in 1 2; do sed -i '$d' /etc/appliance/appliance.toml; done")
    assert machine.run(f"{FILE} systemd install --file /srv/other.pyz").splitlines()[:3] == [
        "run systemctl disable --now appliance.socket",
        "remove /etc/systemd/system/appliance.socket",
        "run systemctl daemon-reload",
    ]
    machine.run(f"{FILE} systemd uninstall --purge")
    assert not (machine.root / "etc/appliance").exists()


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine")
@pytest.mark.parametrize("command", ["install", "uninstall", "status"])
def test_a_machine_without_systemd_is_told(command: str) -> None:
    from click.testing import CliRunner  # noqa: PLC0415 - beside the one test that needs no machine

    from appliance.cli.systemd import systemd  # noqa: PLC0415 - as above

    result = CliRunner().invoke(systemd, [command])
    assert "systemd does not run this machine" in str(result.exception)
