"""The built file as a process of its own, the way a user runs it."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 60.0
"""Seconds that a busy machine may take for what should take a moment."""


def free_port() -> int:
    """Find a port of 127.0.0.1 that is free and below the range that the kernel gives to clients."""
    for port in range(20_000 + os.getpid() % 5_000, 32_768):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


@attrs.define(eq=False)
class Running:
    """A started appliance. `log` collects what it has logged so far, `hello` is its start message."""

    process: subprocess.Popen[str]
    state: Path
    addresses: tuple[str, ...] = ()
    hello: str = ""
    log: list[dict[str, Any]] = attrs.field(factory=list)
    _reader: threading.Thread | None = None
    _arrived: queue.Queue[dict[str, Any] | None] = attrs.field(factory=queue.Queue)

    @property
    def key(self) -> str:
        return (self.state / "api_key").read_text().strip()

    @property
    def certificate(self) -> Path:
        return self.state / "certificate.pem"

    def url(self, scheme: str, path: str = "", *, listener: int = 0) -> str:
        """Give a URL on one of the listeners, as `wss`, `https`, `ws` or `http`."""
        place = self.addresses[listener].partition("://")[2]
        return f"{scheme}://{place}{path}"

    @property
    def wss_url(self) -> str:
        return self.url("wss", "/ws")

    @property
    def https_url(self) -> str:
        return self.url("https")

    @property
    def port(self) -> int:
        return int(self.addresses[0].rpartition(":")[2])

    def ssl_context(self) -> ssl.SSLContext:
        """Trust the appliance's own certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def follow(self) -> None:
        """Begin to read the log."""
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait until a log line of this event, with these fields, was written, and give it."""
        for line in list(self.log):
            if _fits(line, event, fields):
                return line
        while True:
            line = self._arrived.get(timeout=PATIENCE)
            assert line is not None, f"the appliance ended before it logged {event!r}: {self.log[-5:]}"
            if _fits(line, event, fields):
                return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask for an orderly stop and give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self._ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._ended()

    def _ended(self) -> int:
        status = self.process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return status

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip(), "level": "raw"}
            self.log.append(line)
            self._arrived.put(line)
        self._arrived.put(None)


def _fits(line: Mapping[str, Any], event: str, fields: Mapping[str, Any]) -> bool:
    return line["event"] == event and all(line.get(name) == value for name, value in fields.items())


def command(zipapp: Path) -> list[str]:
    return [sys.executable, str(zipapp)]


def start(
    zipapp: Path,
    state: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Running:
    """Start `appliance serve` and wait until it serves. `before` stands in front of the command line."""
    process = subprocess.Popen(
        [*before, *command(zipapp), "serve", "--state-dir", str(state), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    running = Running(process, state)
    running.follow()
    try:
        running.addresses = tuple(running.wait_for("serving")["listeners"])
        running.hello = "".join(_hello(process))
    except BaseException:
        running.kill()
        raise
    return running


def _hello(process: subprocess.Popen[str]) -> Iterator[str]:
    """Read the start message, to the line that can be pasted."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line.strip().startswith("curl"):
            return
