"""An appliance that is loaded once, and begins each of its processes behind that: what users wait for at a start, tests
do not.

For what commands say and appliances do, which differs from case to case. What loading them takes, and in which order,
is for tests to show that run them as a user does. Must not know what a test wants to find out.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import attrs

import appliance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

PATIENCE: Final = 120.0
"""Seconds that a busy machine may take."""
ROOT: Final = Path(appliance.__file__).parent.parent
_FORKING: Final = Path(__file__).parent / "forking.py"
_MOMENT: Final = 0.01
"""Seconds between two looks at a process."""


@attrs.define(eq=False)
class Begun:
    """A process that was forked off, with as much of `subprocess.Popen` as tests need of it."""

    _loaded: Loaded
    pid: int
    stdout: IO[str]
    stderr: IO[str]
    returncode: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._loaded.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        latest = time.monotonic() + timeout
        while (status := self.poll()) is None:
            assert time.monotonic() < latest, f"{self.pid} has not ended within {timeout:g} s"
            time.sleep(_MOMENT)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # it keeps its number until its status was asked for
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@attrs.define(eq=False)
class Loaded:
    """`begin` and `run` are given the whole environment; without one, it is that of this process."""

    _asked: socket.socket
    _turn: threading.Lock = attrs.field(factory=threading.Lock)

    def begin(
        self,
        words: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        within: float = 0.0,
    ) -> Begun:
        """Begin a process with this command line; where `within` is given, it is ended after so many seconds."""
        (stdout, out), (stderr, errors) = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            request = {
                "words": words,
                "folder": None if folder is None else str(folder),
                "environment": dict(os.environ if environment is None else environment),
                "within": int(within),
            }
            pid = self._told(request, nothing, out, errors)
        finally:
            for file in (nothing, out, errors):
                os.close(file)
        assert pid is not None
        return Begun(self, pid, os.fdopen(stdout), os.fdopen(stderr))

    def ended(self, pid: int) -> int | None:
        """Give the status of a process that has ended, once."""
        return self._told({"ended": pid})

    def run(
        self, *words: str, folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        line = ("appliance", *words)
        process = self.begin(line, folder=folder, environment=environment, within=PATIENCE)
        with process.stdout as output, process.stderr as errors:
            aside: list[str] = []
            reader = threading.Thread(target=lambda: aside.append(errors.read()))
            reader.start()
            told = output.read()
            reader.join()
        return subprocess.CompletedProcess(words, process.wait(), told, *aside)

    def _told(self, request: Mapping[str, object], *files: int) -> int | None:
        text = json.dumps(request).encode() + b"\n"
        with self._turn:
            if files:
                assert socket.send_fds(self._asked, [text], files) == len(text)
            else:
                self._asked.sendall(text)
            answer = b""
            while not answer.endswith(b"\n"):
                part = self._asked.recv(1024)
                assert part, "what was loaded has ended"
                answer += part
        told: int | None = json.loads(answer)
        return told


@contextlib.contextmanager
def loaded(*python: str, environment: Mapping[str, str]) -> Iterator[Loaded]:
    """Load the appliance that this Python finds in this environment, until the block ends."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = subprocess.Popen(
                [*python, str(_FORKING), str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        with process:
            yield Loaded(ours)
            ours.close()
            assert process.wait(PATIENCE) == 0


@functools.cache
def of_this_tree() -> Loaded:
    """The appliance of this tree, loaded when it is needed first, until this process ends."""
    until = contextlib.ExitStack()
    atexit.register(until.close)
    return until.enter_context(loaded(sys.executable, environment={**os.environ, "PYTHONPATH": str(ROOT)}))
