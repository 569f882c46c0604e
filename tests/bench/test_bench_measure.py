from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.bench.bench_measure import Process, machine


def test_cpu_is_what_the_process_itself_says() -> None:
    before = time.process_time()
    seen = Process(os.getpid()).cpu()
    assert before <= seen <= time.process_time()


def test_another_processs_memory_and_cpu_are_seen_from_outside() -> None:
    script = "held = bytes(range(256)) * (64 << 12); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        process = Process(popen.pid)
        assert process.resident() > 64 << 20
        assert process.cpu() > 0
        popen.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        process.cpu()


def test_the_machine_and_the_peers_are_named() -> None:
    assert machine().keys() >= {"cores", "Linux", "Python", "uvloop", "websockets"}
