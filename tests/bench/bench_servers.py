"""The servers under the bench and their clients, each a process of its own.

Must not know what is measured, nor in which order.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.bench_measure import Process
from tests.bench.bench_recipes import BenchError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import ExitStack

    from tests.bench.bench_recipes import Listener, Order, Recipe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
UNIT = ROOT / "packaging" / "systemd" / "appliance.service"
SIZE = 200
"""Bytes of a message of the peers."""

_START = 20.0
_STOP = 15.0
_PORTS = range(20_000, 32_768)

_CONFIGURATION = """\
state_dir = {state}
plugins_dir = [{plugins}]
{listen}
[limits]
connections = {most}
sessions = {most}
connections_per_address = {most}
connections_per_minute = 1000000
handshakes_per_minute = 1000000

[status]
every = 86400  # else its events would fall into some turns and not into others

[log]
level = "warning"
"""

_LISTEN = """
[[listen]]
url = "{transport}://127.0.0.1:{port}"
auth = "none"
"""


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
                command,
                cwd=ROOT,
                env=os.environ | environment(UNIT.read_text()),
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                text=True,
            )
        stack.callback(self._end)

    def failed(self, what: str) -> BenchError:
        said = self._errors.read_text(errors="replace").strip()[-2000:]
        return BenchError(f"{self.name}: {what}\n{said}".rstrip())

    def wait_listening(self, ports: Collection[int], sockets: Collection[Path] = ()) -> None:
        """Wait until it listens at all these ports, and has made these sockets."""
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise self.failed(f"ended with {self.popen.returncode} at its start")
            if all(map(Path.exists, sockets)) and all(map(_listens, ports)):
                return
            time.sleep(0.05)
        raise self.failed(f"did not listen within {_START:.0f} s")

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
        self._stem = folder / recipe.name.replace(" ", "-")
        names = [listener.name for listener in recipe.listeners]
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self._running = Running(recipe.name, self._command(most), folder, stack=stack)
        self.process = Process(self._running.popen.pid)
        sockets = [Path(self._orders(listener)) for listener in recipe.listeners]
        self._running.wait_listening(self._ports.values(), sockets)

    def url(self, listener: Listener) -> str:
        return f"{listener.scheme}://127.0.0.1:{self._ports[listener.name]}{listener.path}"

    def order(self, listener: Listener, order: Order) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(listener.written(order), self._orders(listener))

    def _orders(self, listener: Listener) -> str:
        """Give the socket that the events of a listener's clients are ordered through."""
        stem = str(self._stem.with_suffix(".orders"))
        return stem if listener.rows is None else f"{stem}.{listener.rows.channel}"

    def _command(self, most: int) -> list[str]:
        if self.recipe.configuration is not None:
            configuration = self._stem.with_suffix(".toml")
            configuration.write_text(self._configuration(most) + self._own_configuration())
            return [*self.recipe.command, str(configuration)]
        (port,) = self._ports.values()
        options = [
            "--port",
            str(port),
            "--orders",
            self._orders(self.recipe.listeners[0]),
            "--size",
            str(SIZE),
        ]
        return [*self.recipe.command, *options]

    def _configuration(self, most: int) -> str:
        listen = "".join(
            _LISTEN.format(transport=listener.transport, port=self._ports[listener.name])
            for listener in self.recipe.listeners
        )
        return _CONFIGURATION.format(
            state=json.dumps(str(self._stem.with_suffix(".state"))),
            plugins=json.dumps(str(HERE / "plugins")),
            listen=listen,
            most=most,
        )

    def _own_configuration(self) -> str:
        assert self.recipe.configuration is not None
        return self.recipe.configuration.format(orders=json.dumps(str(self._stem.with_suffix(".orders"))))


class Clients:
    """A load generator under control: all clients connected by one way into one server."""

    def __init__(
        self, server: Server, listener: Listener, count: int, folder: Path, *, stack: ExitStack
    ) -> None:
        self._topic, self._count = listener.topic, count
        command = [sys.executable, "-m", "tests.bench.load", server.url(listener)]
        command += ["--clients", str(count), "--control"]
        for message in listener.sends:
            command += ["--send", message]
        if listener.ready is not None:
            command += ["--ready", listener.ready]
        if listener.family is not None:
            command += ["--family", listener.family, "--symbols", ",".join(listener.symbols)]
        self._running = Running(f"clients of {listener.name}", command, folder, stack=stack, obeys=True)
        arrived = self._answer()
        if arrived["clients"] != count or arrived["errors"]:
            raise self._running.failed(f"{arrived['clients']} of {count} clients, errors {arrived['errors']}")

    def tell(self, do: str, **details: float | str) -> dict[str, Any]:
        stdin = self._running.popen.stdin
        assert stdin is not None
        print(json.dumps({"do": do, **details}), file=stdin, flush=True)
        return self._answer()

    def wait_offset(self, offset: int, seconds: float) -> int:
        """Wait for an event, not for a count: a server may send events of its own beside. Give the count."""
        answer = self.tell("reach", topic=self._topic, offset=offset, seconds=seconds)
        if not answer["done"] or answer["clients"] < self._count:
            raise self._running.failed(f"not all at offset {offset}: {self.tell('report')}")
        deliveries: int = answer["deliveries"]
        return deliveries

    def _answer(self) -> dict[str, Any]:
        stdout = self._running.popen.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise self._running.failed("ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer


def environment(unit: str) -> dict[str, str]:
    """Give what a unit of systemd has in its environment: the servers are measured as it runs ours, the peers too."""
    lines = (line.partition("=") for line in unit.splitlines())
    values = (value for name, _, value in lines if name == "Environment")
    return dict(value.split("=", 1) for value in values)


def free_ports(count: int) -> list[int]:
    free: list[int] = []
    for port in random.sample(_PORTS, 100):
        if len(free) == count:
            break
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free.append(port)
    if len(free) < count:
        raise BenchError("no free port below 32768")
    return free


def _listens(port: int) -> bool:
    """Look without connecting: a bare peer takes any connection for a client."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    return wanted in Path("/proc/net/tcp").read_text()
