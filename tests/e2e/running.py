"""The built file as a process of its own, the way a user runs it.

Must not know what a test wants to find out.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import attrs
from websockets.sync.client import ClientConnection, connect

from tests import asking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.asking import Begun, Loaded

PATIENCE = 60.0
"""Seconds that a busy machine may take for what should take a moment."""

ANY_PORT = "tls://127.0.0.1:0"

SECRET = "never-to-be-shown"
"""Stands in every key and wrong token of these tests: no process may ever write it."""


@attrs.define(eq=False)
class Running:
    """A started appliance. `log` holds what it has logged so far, `hello` is its start message."""

    process: subprocess.Popen[str] | Begun
    state: Path
    addresses: tuple[str, ...] = ()
    hello: str = ""
    own_key: str | None = None
    log: list[dict[str, Any]] = attrs.field(factory=list)
    _written: list[str] = attrs.field(factory=list)
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _reader: threading.Thread | None = None
    _logged_all: bool = False

    @property
    def key(self) -> str:
        """One that the test's configuration names, else the one that the appliance made."""
        return self.own_key or (self.state / "api_key").read_text().strip()

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
        return self.port_of(0)

    def port_of(self, listener: int) -> int:
        return int(self.addresses[listener].rpartition(":")[2])

    def ssl_context(self) -> ssl.SSLContext:
        """Trust the appliance's own certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def connect(self, path: str = "/ws", *, key: str | None = None, **options: Any) -> ClientConnection:
        """Open a WebSocket, as a context, that shows the appliance's key or another; an empty one is not shown."""
        shown = self.key if key is None else key
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        url, context = self.url("wss", path), options.pop("ssl", None) or self.ssl_context()
        connecting: ClientConnection = connect(
            url, ssl=context, additional_headers=headers, proxy=None, **options
        )
        return connecting

    def get(self, path: str, *, key: str | None = None) -> tuple[int, Any]:
        """Get the status and the JSON of an answer."""
        client = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=PATIENCE, context=self.ssl_context()
        )
        try:
            client.request("GET", path, headers={"Authorization": f"Bearer {key or self.key}"})
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            client.close()

    def errors(self) -> dict[str, int]:
        """Give the counts of errors in `/ws/stats`."""
        status, statistics = self.get("/ws/stats")
        assert status == 200, statistics
        counts: dict[str, int] = statistics["errors"]
        return counts

    def follow(self) -> None:
        """Begin to read the log."""
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def wait_for(self, event: str, *, after: int = 0, **fields: Any) -> dict[str, Any]:
        """Wait until a line of this event with these fields stands in the log, and give it.

        `after` is how many lines of the log are left out.
        """
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                ended = self._logged_all
                for line in self.log[after:]:
                    if _fits(line, event, fields):
                        return line
                assert not ended, f"the appliance ended before it logged {event!r}: {self.log[-5:]}"
                assert self._changed.wait(deadline - time.monotonic()), f"no {event!r} in {self.log[-5:]}"

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Give the lines of this event so far."""
        return [line for line in list(self.log) if line["event"] == event]

    def tell(self, number: signal.Signals) -> int:
        """Send a signal; the value is the length of the log before."""
        length = len(self.log)
        self.process.send_signal(number)
        return length

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask for an orderly stop and give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Wait for the end of the process and give its exit status; its output must not hold a key."""
        status = self.process.wait(PATIENCE)
        if self._reader is not None:
            self._reader.join(PATIENCE)
            assert not self._reader.is_alive(), "another process still holds the standard error"
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        own = self.state / "api_key"
        secrets = [SECRET, *([own.read_text().strip()] if own.is_file() else [])]
        shown = [text for text in (*self._written, self.hello) if any(secret in text for secret in secrets)]
        assert not shown, shown
        return status

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            try:
                line = json.loads(text)
            except ValueError:
                line = {"event": text.rstrip(), "level": "raw"}
            with self._changed:
                self._written.append(text)
                self.log.append(line)
                self._changed.notify_all()
        with self._changed:
            self._logged_all = True
            self._changed.notify_all()


def _fits(line: Mapping[str, Any], event: str, fields: Mapping[str, Any]) -> bool:
    return line["event"] == event and all(line.get(name) == value for name, value in fields.items())


def command(zipapp: Path) -> list[str]:
    return [sys.executable, str(zipapp)]


def surroundings(zipapp: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give a process's whole environment: the file unpacks itself where `make` has it do so, not at home."""
    unpacked = zipapp.parent.parent / "build" / "unpacked"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    return {**inherited, "SHIV_ROOT": str(unpacked), **(environment or {})}


def loaded(zipapp: Path) -> AbstractContextManager[Loaded]:
    """Load the built file, until the block ends."""
    return asking.loaded(*command(zipapp), environment=surroundings(zipapp, {"SHIV_INTERPRETER": "1"}))


def run(
    zipapp: Path,
    *words: str,
    environment: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. `environment` is added to ours, `before` stands before the command line."""
    done = subprocess.run(
        [*before, *command(zipapp), *words],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        env=surroundings(zipapp, environment),
        timeout=PATIENCE,
        check=False,
    )
    assert SECRET not in done.stdout + done.stderr
    return done


def start(
    zipapp: Path,
    *arguments: str,
    state: Path,
    environment: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
    key: str | None = None,
    named: bool = True,
    loaded: Loaded | None = None,
) -> Running:
    """Start `appliance serve` and wait until it serves. `before` stands in front of the command line, `key` is one
    that the configuration names, and where the state folder is not `named`, the environment leads there. Where nothing
    stands before it, it can begin behind what was `loaded`.
    """
    words = ("serve", *(("--state-dir", str(state)) if named else ()), *arguments)
    whole = surroundings(zipapp, environment)
    process: subprocess.Popen[str] | Begun
    if loaded is not None and not before:
        process = loaded.begin((str(zipapp), *words), environment=whole)
    else:
        process = subprocess.Popen(
            [*before, *command(zipapp), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=whole,
        )
    running = Running(process, state, own_key=key)
    running.follow()
    try:
        running.addresses = tuple(running.wait_for("serving")["listeners"])
        running.hello = "".join(_hello(process))
    except BaseException:
        running.kill()
        raise
    return running


def _hello(process: subprocess.Popen[str] | Begun) -> Iterator[str]:
    """Read the start message, to the line that can be pasted."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line.strip().startswith("curl"):
            return
