"""The servers under the bench and their clients, each a process of its own.

Must not know what is measured, nor in which order.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from tests.bench.bench_measure import Process

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = 200
"""Bytes of a message of the peers."""
PAD = 102
"""Filling of an event of the appliance, so that its message comes to `SIZE` too."""

_START = 20.0
_STOP = 15.0
_PORTS = range(20_000, 32_768)

_CONFIGURATION = """\
state_dir = {state}
plugins_dir = [{plugins}]

[[listen]]
url = "{scheme}://127.0.0.1:{port}"
auth = "none"

[limits]
connections = {most}
sessions = {most}
connections_per_minute = 1000000

[log]
level = "warning"

[channels.bench]
orders = {orders}
pad = {pad}
"""


class BenchError(Exception):
    """The bench cannot measure; the message says which process failed, and how."""


@attrs.frozen(kw_only=True)
class Recipe:
    """How a server is started and spoken to."""

    name: str
    command: tuple[str, ...]
    scheme: str = "ws"
    opening: str | None = None
    configured: bool = False


def recipes(appliance: Sequence[str]) -> list[Recipe]:
    served = (*appliance, "serve", "--config")
    subscribe = json.dumps({"type": "subscribe", "channels": ["bench:0"]})
    plain = Recipe(name="appliance", command=served, opening=subscribe, configured=True)
    return [
        _peer("floor"),
        plain,
        attrs.evolve(plain, name="appliance TLS", scheme="wss"),
        _peer("websockets"),
        _peer("fastapi"),
    ]


def _peer(name: str) -> Recipe:
    module = name if name == "floor" else f"{name}_peer"
    return Recipe(name=name, command=(sys.executable, "-m", f"tests.bench.peers.{module}"))


class Running:
    """A started process that is gone when the stack unwinds, with its error output for when it fails."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, *, stack: ExitStack, obeys: bool = False
    ) -> None:
        self.name = name
        self._obeys = obeys
        self._errors = folder / f"{name.replace(' ', '-')}.err"
        pipe = subprocess.PIPE
        with self._errors.open("wb") as errors:
            self.popen = subprocess.Popen(
                command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True
            )
        stack.callback(self._end)

    def failed(self, what: str) -> BenchError:
        said = self._errors.read_text(errors="replace").strip()[-2000:]
        return BenchError(f"{self.name}: {what}\n{said}".rstrip())

    def _end(self) -> None:
        if not self._obeys:  # else the end of its input is enough, and it says goodbye
            self.popen.terminate()
        try:
            self.popen.communicate(timeout=_STOP)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.communicate()


class Server:
    """A started server that accepts connections."""

    def __init__(self, recipe: Recipe, folder: Path, most: int, *, stack: ExitStack) -> None:
        self.recipe = recipe
        self._port = _free_port()
        self._orders = folder / f"{recipe.name.replace(' ', '-')}.orders"
        self._running = Running(recipe.name, self._command(folder, most), folder, stack=stack)
        self.process = Process(self._running.popen.pid)
        self._wait_listening()

    @property
    def url(self) -> str:
        return f"{self.recipe.scheme}://127.0.0.1:{self._port}/ws"

    def order(self, events: int, burst: int, every: float) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            content = json.dumps({"events": events, "burst": burst, "every": every})
            sender.sendto(content.encode(), str(self._orders))

    def _command(self, folder: Path, most: int) -> list[str]:
        if not self.recipe.configured:
            options = ["--port", str(self._port), "--orders", str(self._orders), "--size", str(SIZE)]
            return [*self.recipe.command, *options]
        stem = self.recipe.name.replace(" ", "-")
        configuration = folder / f"{stem}.toml"
        configuration.write_text(
            _CONFIGURATION.format(
                state=json.dumps(str(folder / f"{stem}.state")),
                plugins=json.dumps(str(HERE / "plugins")),
                scheme="tls" if self.recipe.scheme == "wss" else "tcp",
                port=self._port,
                most=most,
                orders=json.dumps(str(self._orders)),
                pad=PAD,
            )
        )
        return [*self.recipe.command, str(configuration)]

    def _wait_listening(self) -> None:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if self._running.popen.poll() is not None:
                raise self._running.failed(f"ended with {self._running.popen.returncode} at its start")
            if self._orders.exists() and _listens(self._port):
                return
            time.sleep(0.05)
        raise self._running.failed(f"did not listen within {_START:.0f} s")


class Clients:
    """A load generator under control: all clients connected to one server."""

    def __init__(self, server: Server, count: int, folder: Path, *, stack: ExitStack) -> None:
        command = [sys.executable, "-m", "tests.bench.load", server.url, "--clients", str(count), "--control"]
        if server.recipe.opening is not None:
            command += ["--send", server.recipe.opening, "--ready", "subscribed"]
        self._running = Running(f"clients of {server.recipe.name}", command, folder, stack=stack, obeys=True)
        arrived = self._answer()
        if arrived["clients"] != count or arrived["errors"]:
            raise self._running.failed(f"{arrived['clients']} of {count} clients, errors {arrived['errors']}")

    def tell(self, do: str, **details: float) -> dict[str, Any]:
        stdin = self._running.popen.stdin
        assert stdin is not None
        print(json.dumps({"do": do, **details}), file=stdin, flush=True)
        return self._answer()

    def wait_deliveries(self, wanted: int, seconds: float) -> None:
        answer = self.tell("await", deliveries=wanted, seconds=seconds)
        if not answer["done"]:
            raise self._running.failed(
                f"{answer['deliveries']} of {wanted} deliveries: {self.tell('report')}"
            )

    def _answer(self) -> dict[str, Any]:
        stdout = self._running.popen.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise self._running.failed("ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _free_port() -> int:
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BenchError("no free port below 32768")


def _listens(port: int) -> bool:
    """Look without connecting: a bare peer takes any connection for a client."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()
