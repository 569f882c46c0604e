"""What makes copies of itself, by what it is told and tells. A real process, without anybody who knows what it says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance.loading.copying import ORDER
from tests.asking import PATIENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = """
import os, sys, time
from appliance.loading import copying
def work():
    exec(sys.stdin.read())
copying.serve(work, idle=float(sys.argv[1]))
"""


class Copying:
    def __init__(self, idle: float, before: str = "") -> None:
        self.orders, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-c", before + CODE, str(idle)]
            self.process = subprocess.Popen(words, cwd=ROOT, stdin=theirs.fileno())

    def copy(self, work: str) -> socket.socket:
        """Have a copy do this, and give the line that tells of it."""
        line, other = socket.socketpair()
        line.settimeout(PATIENCE)
        told, tell = os.pipe()
        null = os.open(os.devnull, os.O_WRONLY)
        with other:
            socket.send_fds(self.orders, [ORDER], [told, null, null, other.fileno()])
        for each in (told, null):
            os.close(each)
        os.write(tell, work.encode())
        os.close(tell)
        return line


@pytest.fixture
def copying() -> Iterator[Copying]:
    copying = Copying(PATIENCE)
    with copying.orders, copying.process:
        yield copying
        copying.orders.close()
        assert copying.process.wait(PATIENCE) == 0


def told(line: socket.socket) -> list[int]:
    """Read all that is told of a copy."""
    with line, line.makefile() as lines:
        return [int(each) for each in lines]


def first(line: socket.socket) -> int:
    return int(line.recv(100))


@pytest.mark.parametrize(
    ("work", "status"),
    [
        ("os._exit(0)", 0),
        ("os._exit(7)", 7),
        ("os.abort()", -6),
        ("1 / 0", 1),
        ("sys.exit()", 1),
        ("pass", 1),
        ("def f(): f()\nf()", 1),
    ],
)
def test_of_each_copy_its_number_is_told_and_then_its_status(
    copying: Copying, work: str, status: int
) -> None:
    number, ended = told(copying.copy(work))
    assert number not in (os.getpid(), copying.process.pid)
    assert ended == status


def test_many_at_once_are_told_of_apart(copying: Copying) -> None:
    lines = [copying.copy(f"time.sleep({(7 * n) % 20} / 100); os._exit({n})") for n in range(20)]
    assert [told(line)[1] for line in lines] == list(range(20))


def test_who_no_longer_listens_has_its_copy_ended(copying: Copying) -> None:
    line = copying.copy("time.sleep(1000)")
    first(line)
    line.shutdown(socket.SHUT_WR)
    assert told(line) == [-9]
    copying.copy("time.sleep(1000)").close()
    assert told(copying.copy("os._exit(3)"))[1] == 3


def test_when_orders_end_it_ends_with_the_last_copy(copying: Copying) -> None:
    line = copying.copy("time.sleep(0.3); os._exit(3)")
    first(line)
    copying.orders.close()
    with pytest.raises(subprocess.TimeoutExpired):
        copying.process.wait(0.1)
    assert told(line) == [3]


def test_it_waits_no_longer_than_it_was_told_to_but_for_its_copies() -> None:
    copying = Copying(0.1)
    with copying.orders:
        assert told(copying.copy("time.sleep(0.5); os._exit(3)"))[1] == 3
        assert copying.process.wait(PATIENCE) == 0


def test_a_copy_that_cannot_be_made_is_told_and_the_next_may_be() -> None:
    before = """
import os
fork = os.fork
def fail():
    os.fork = fork
    raise BlockingIOError(11, "too many")
os.fork = fail
"""
    copying = Copying(PATIENCE, before)
    with copying.orders:
        assert told(copying.copy("")) == [-11]
        assert told(copying.copy("os._exit(3)"))[1] == 3
        copying.orders.close()
        assert copying.process.wait(PATIENCE) == 0
