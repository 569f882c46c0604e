"""The set-up: what it does on a machine that lacks something, and that its commands are there.

The machine is a folder of small programs that stand for what is, or is not, installed.
"""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import attrs
import pytest

if TYPE_CHECKING:
    from pathlib import Path


@attrs.frozen
class Machine:
    """What is installed, and what was asked of it."""

    root: Path
    folder: Path

    def install(self, name: str, script: str) -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def record(self, name: str) -> None:
        """Install a program that only writes down how it was called."""
        self.install(name, f'echo "{name} $*" >> "{self.folder}/calls"')

    @property
    def calls(self) -> list[str]:
        written = self.folder / "calls"
        return written.read_text().splitlines() if written.exists() else []

    def run(self, script: str, *arguments: str, path: str = "", **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.root / script, *arguments],
            env={"PATH": f"{self.folder}:{path}", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Machine:
    return Machine(root, tmp_path)


def targets(root: Path) -> set[str]:
    """The targets of the Makefile that are commands."""
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^\.PHONY: (\w+)$", makefile)) - {"always"}


def test_make_alone_lists_every_command(root: Path) -> None:
    done = subprocess.run(["make"], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert set(re.findall(r"(?m)^make (\w+) +\S", done.stdout)) == targets(root)


def test_the_readme_names_its_two_commands(root: Path) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^ {4}make (\w+)$", readme)
    assert commands == ["serve", "test"]
    assert set(commands) <= targets(root)


def test_the_checks_are_those_of_make_test_in_plain_text(machine: Machine) -> None:
    machine.install("make", 'echo "$PWD: make $* ${NO_COLOR-} ${FORCE_COLOR-none}"')
    assert machine.run(".ci/run", path=os.environ["PATH"], FORCE_COLOR="1") == (
        0,
        f"{machine.root}: make test 1 none\n",
    )


@pytest.mark.parametrize("python", ["an old one", "none"])
def test_a_missing_python_is_named_with_the_remedy(machine: Machine, python: str) -> None:
    if python == "an old one":
        machine.install("python3", "exit 1")
    code, said = machine.run("packaging/make-venv", str(machine.folder / "venv"))
    assert code == 1
    assert "Python 3.11 or newer is needed" in said
    assert "make PYTHON=" in said


def test_the_systems_own_python_goes_before_others_but_not_before_one_that_is_named(machine: Machine) -> None:
    system = Machine(machine.root, machine.folder / "system")
    system.folder.mkdir()
    system.install("python3", "echo of the system")
    machine.install("python3", 'case "$2" in *sys.prefix*) exit 1 ;; *) echo the first ;; esac')
    path, venv = str(system.folder), str(machine.folder / "venv")
    for python, chosen in (({}, "of the system"), ({"PYTHON": "python3"}, "the first")):
        code, said = machine.run("packaging/make-venv", venv, path=path, **python)
        assert (code, said.splitlines()[-1]) == (0, chosen)


def test_a_python_without_environments_gets_its_package(machine: Machine) -> None:
    machine.install("python3", 'case "$2" in *ensurepip*) exit 1 ;; *print*) echo python3.11-venv ;; esac')
    machine.install("dirname", 'echo "${1%/*}"')
    machine.install("id", "echo 1000")
    machine.record("apt-get")
    code, said = machine.run("packaging/make-venv", str(machine.folder / "venv"))
    assert code == 1
    assert said.splitlines()[-1].strip() == "sudo apt-get install python3.11-venv"


@pytest.mark.parametrize("node", ["v18.19.0", "v9.0.0", None])
def test_a_missing_node_is_named(machine: Machine, node: str | None) -> None:
    if node is not None:
        machine.install("node", f"echo {node}")
    code, said = machine.run("packaging/check-node")
    assert code == 1
    assert "Node 20 or newer is needed" in said
    assert (node or "none") in said


@pytest.mark.parametrize("node", ["v20.0.0", "v24.1.0", "v100.2.3"])
def test_a_new_node_is_enough(machine: Machine, node: str) -> None:
    machine.install("node", f"echo {node}")
    machine.record("npm")
    machine.install("dirname", 'echo "${1%/*}"')
    assert machine.run("packaging/check-node") == (0, "")


def test_packages_that_are_there_are_left_alone(machine: Machine) -> None:
    machine.record("apt-get")
    machine.record("chromium")
    machine.record("pg_ctlcluster")
    wanted = ("chromium", "postgresql:pg_ctlcluster")
    assert machine.run("packaging/install-system-packages", *wanted) == (0, "")
    assert machine.calls == []


def test_a_package_without_a_command_is_known_by_a_file_of_it(machine: Machine) -> None:
    keyring = machine.folder / "keyring.gpg"
    code, said = machine.run("packaging/install-system-packages", f"archive-keyring:{keyring}")
    assert (code, said.split()[-1]) == (1, "archive-keyring")
    keyring.touch()
    assert machine.run("packaging/install-system-packages", f"archive-keyring:{keyring}") == (0, "")


def test_root_installs_what_is_missing_and_no_more(machine: Machine) -> None:
    machine.install("id", "echo 0")
    machine.install("env", 'shift; "$@"')
    machine.record("apt-get")
    machine.record("curl")
    code, said = machine.run("packaging/install-system-packages", "curl", "npm", "postgresql:pg_ctlcluster")
    assert (code, said) == (0, "Installing system packages: npm postgresql\n")
    update, install = machine.calls
    assert update.startswith("apt-get update")
    assert re.fullmatch(r"apt-get install .*--yes.* npm postgresql", install)


def test_sudo_without_a_password_is_used(machine: Machine) -> None:
    machine.install("id", "echo 1000")
    machine.install(
        "sudo", f'[ "$1" = -n ] || exit 1; shift; echo "sudo $1" >> "{machine.folder}/calls"; "$@"'
    )
    machine.install("env", 'shift; "$@"')
    machine.install("true", "exit 0")
    machine.record("apt-get")
    code, _ = machine.run("packaging/install-system-packages", "npm")
    assert code == 0
    assert [call for call in machine.calls if call.startswith("sudo")] == [
        "sudo true",
        "sudo apt-get",
        "sudo env",
    ]


def test_others_are_told_the_line_to_run(machine: Machine) -> None:
    machine.install("id", "echo 1000")
    machine.install("sudo", "exit 1")
    machine.record("apt-get")
    code, said = machine.run("packaging/install-system-packages", "chromium", "npm")
    assert code == 1
    assert said.splitlines()[-1].strip() == "sudo apt-get install chromium npm"
    assert machine.calls == []


def test_a_system_without_apt_is_told_what_it_lacks(machine: Machine) -> None:
    code, said = machine.run("packaging/install-system-packages", "chromium")
    assert code == 1
    assert "chromium" in said
