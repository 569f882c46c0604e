"""What `/proc` says, of real processes and sockets of the tests' own."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.ops.doctor import processes

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = ipaddress.ip_address("127.0.0.1")
OTHER = ipaddress.ip_address("127.0.0.2")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")


@pytest.mark.parametrize(
    ("bound", "asked", "found"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.0", True),  # noqa: S104 - asked about, not bound to
        ("0.0.0.0", "127.0.0.1", True),  # noqa: S104 - for a moment, and nobody is accepted
        ("127.0.0.1", "127.0.0.2", False),
        ("::1", "::1", True),
        ("::1", "::", True),
        ("::1", "::2", False),
    ],
)
def test_who_listens_is_found_by_address_and_port(bound: str, asked: str, *, found: bool) -> None:
    family = socket.AF_INET6 if ":" in bound else socket.AF_INET
    with socket.socket(family) as listening:
        listening.bind((bound, 0))
        port = listening.getsockname()[1]
        assert processes.listening(ipaddress.ip_address(asked), port) == ()  # bound alone takes no port
        listening.listen()
        held = processes.listening(ipaddress.ip_address(asked), port)
        assert [each.pid for each in held] == ([os.getpid()] if found else [])


def test_an_address_of_version_6_is_read_word_by_word() -> None:
    line = "0: 0000000000000000FFFF00000100007F:1F90 0:0 0A 0:0 0:0 0 0 0 4711 1"
    mapped = ipaddress.ip_address("::ffff:127.0.0.1")
    assert list(processes.sockets_at([line], mapped, 8080)) == ["4711"]
    assert list(processes.sockets_at([line], mapped, 8081)) == []


def test_who_listens_on_a_path_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "a socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        assert processes.listening_on(path) == ()
        listening.listen()
        assert [each.pid for each in processes.listening_on(path)] == [os.getpid()]
        assert processes.listening_on(f"{path}2") == ()


def test_a_process_has_its_name() -> None:
    command = ["sh", "-c", "echo; read line"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert str(processes.named(other.pid)) == f"sh (process {other.pid})"
        other.kill()
    assert str(processes.named(2**22 + 1)) == f"a process (process {2**22 + 1})"


def test_a_file_that_a_process_has_open_is_seen_by_any_of_its_names(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other name"
    with path.open("w"):
        other.hardlink_to(path)
        assert processes.has_open(os.getpid(), other)
        assert not processes.has_open(os.getpid(), tmp_path / "nothing")
        assert not processes.has_open(2**22 + 1, path)
    assert not processes.has_open(os.getpid(), path)


def test_the_limit_of_another_process_is_told() -> None:
    command = "ulimit -n 77; echo set; read line"
    with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert processes.most_open_files(other.pid) == 77
        other.kill()
    assert processes.most_open_files(2**22 + 1) is None


def test_no_limit_is_told_as_none() -> None:
    line = "Max open files            unlimited            unlimited            files\n"
    assert processes.open_files_among(line) == 0


@pytest.mark.parametrize(
    ("lines", "unit"),
    [
        (["0::/system.slice/appliance.service"], "appliance.service"),
        (["4:memory:/x", "1:name=systemd:/system.slice/stream@2.service"], "stream@2.service"),
        (["0::/user.slice/user-0.slice/session-1.scope"], None),
        ([], None),
    ],
)
def test_a_unit_is_found_by_its_group(lines: list[str], unit: str | None) -> None:
    assert processes.unit_among(lines) == unit


def test_the_least_limit_of_the_groups_above_counts(tmp_path: Path) -> None:
    (tmp_path / "system.slice" / "appliance.service").mkdir(parents=True)
    for place, said in ((".", "max"), ("system.slice", "1000"), ("system.slice/appliance.service", "2000\n")):
        (tmp_path / place / "memory.max").write_text(said)
    assert processes.least_limit(["0::/system.slice/appliance.service"], tmp_path) == 1000
    assert processes.least_limit(["0::/elsewhere"], tmp_path) is None
    (tmp_path / "system.slice" / "memory.high").write_text("800\n")
    lines, both = ["0::/system.slice/appliance.service"], ("memory.high", "memory.max")
    assert processes.least_limit(lines, tmp_path, names=both) == 800
    (tmp_path / "memory" / "box").mkdir(parents=True)
    (tmp_path / "memory" / "box" / "memory.limit_in_bytes").write_text("500\n")
    assert processes.least_limit(["4:cpu,memory:/box", "0::/"], tmp_path) == 500


def test_this_process_has_a_limit_or_none() -> None:
    assert processes.most_memory() == processes.most_memory(os.getpid())


def test_what_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert processes.text(tmp_path / "nothing") is None
