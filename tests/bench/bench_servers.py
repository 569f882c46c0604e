"""The servers under the bench and their clients, each a process of its own.

Must not know what is measured, nor in which order.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Collection, Sequence
    from contextlib import ExitStack

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = 200
"""Bytes of a message of the peers."""
PAD = 100
"""Filling of an event of the appliance, so that its message comes to `SIZE` too."""
PLAIN, TLS = "tcp", "tls"
"""Keys of the topics, equally long, so that messages are too: clients of one kind get nothing of the other's."""

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
connections_per_minute = 1000000

[status]
every = 86400  # else its events would fall into some turns and not into others

[log]
level = "warning"

[channels.bench]
orders = {orders}
keys = {keys}
pad = {pad}
"""

_LISTEN = """
[[listen]]
url = "{scheme}://127.0.0.1:{port}"
auth = "none"
"""


class BenchError(Exception):
    """The bench cannot measure; the message says which process failed, and how."""


@attrs.frozen(kw_only=True)
class Listener:
    """One way into a server: what is measured of it has this name, and its clients get the events of this key."""

    name: str
    key: str = PLAIN
    subscribes: bool = False

    @property
    def topic(self) -> str:
        return f"bench:{self.key}"

    @property
    def scheme(self) -> str:
        return "wss" if self.key == TLS else "ws"


@attrs.frozen(kw_only=True)
class Recipe:
    """How a server is started, and the ways into it."""

    name: str
    command: tuple[str, ...]
    listeners: tuple[Listener, ...]
    configured: bool = False


def recipes(appliance: Sequence[str]) -> list[Recipe]:
    """Give the servers. One appliance has both kinds of clients: what differs between them is TLS alone."""
    return [
        _peer("floor", "floor"),
        _peer("floor TLS", "floor", "--tls", key=TLS),
        Recipe(
            name="appliance",
            command=(*appliance, "serve", "--config"),
            listeners=(
                Listener(name="appliance", key=PLAIN, subscribes=True),
                Listener(name="appliance TLS", key=TLS, subscribes=True),
            ),
            configured=True,
        ),
        _peer("websockets", "websockets_peer"),
        _peer("fastapi", "fastapi_peer"),
    ]


def choose(all_recipes: Sequence[Recipe], names: Collection[str]) -> list[Recipe]:
    """Keep the listeners of these names, and the servers that have any; no names: all."""
    known = [listener.name for recipe in all_recipes for listener in recipe.listeners]
    if unknown := sorted(set(names) - set(known)):
        raise BenchError(f"{', '.join(unknown)}: no such server, only {', '.join(known)}")
    chosen = (
        attrs.evolve(recipe, listeners=tuple(one for one in recipe.listeners if one.name in (names or known)))
        for recipe in all_recipes
    )
    return [recipe for recipe in chosen if recipe.listeners]


def _peer(name: str, module: str, *options: str, key: str = PLAIN) -> Recipe:
    command = (sys.executable, "-m", f"tests.bench.peers.{module}", *options)
    return Recipe(name=name, command=command, listeners=(Listener(name=name, key=key),))


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
        self._stem = folder / recipe.name.replace(" ", "-")
        self._ports = dict(zip(recipe.listeners, _free_ports(len(recipe.listeners)), strict=True))
        self._orders = self._stem.with_suffix(".orders")
        self._running = Running(recipe.name, self._command(most), folder, stack=stack)
        self.process = Process(self._running.popen.pid)
        self._wait_listening()

    def url(self, listener: Listener) -> str:
        return f"{listener.scheme}://127.0.0.1:{self._ports[listener]}/ws"

    def order(self, key: str, events: int, burst: int, every: float) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            content = json.dumps({"key": key, "events": events, "burst": burst, "every": every})
            sender.sendto(content.encode(), str(self._orders))

    def _command(self, most: int) -> list[str]:
        if self.recipe.configured:
            configuration = self._stem.with_suffix(".toml")
            configuration.write_text(self._configuration(most))
            return [*self.recipe.command, str(configuration)]
        (port,) = self._ports.values()
        options = ["--port", str(port), "--orders", str(self._orders), "--size", str(SIZE)]
        return [*self.recipe.command, *options]

    def _configuration(self, most: int) -> str:
        listen = "".join(
            _LISTEN.format(scheme=listener.key, port=port) for listener, port in self._ports.items()
        )
        return _CONFIGURATION.format(
            state=json.dumps(str(self._stem.with_suffix(".state"))),
            plugins=json.dumps(str(HERE / "plugins")),
            listen=listen,
            most=most,
            orders=json.dumps(str(self._orders)),
            keys=json.dumps([listener.key for listener in self._ports]),
            pad=PAD,
        )

    def _wait_listening(self) -> None:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if self._running.popen.poll() is not None:
                raise self._running.failed(f"ended with {self._running.popen.returncode} at its start")
            if self._orders.exists() and all(map(_listens, self._ports.values())):
                return
            time.sleep(0.05)
        raise self._running.failed(f"did not listen within {_START:.0f} s")


class Clients:
    """A load generator under control: all clients connected by one way into one server."""

    def __init__(
        self, server: Server, listener: Listener, count: int, folder: Path, *, stack: ExitStack
    ) -> None:
        self._topic = listener.topic
        command = [sys.executable, "-m", "tests.bench.load", server.url(listener)]
        command += ["--clients", str(count), "--control"]
        if listener.subscribes:
            opening = {"type": "subscribe", "channels": [listener.topic]}
            command += ["--send", json.dumps(opening), "--ready", "subscribed"]
        self._running = Running(f"clients of {listener.name}", command, folder, stack=stack, obeys=True)
        arrived = self._answer()
        if arrived["clients"] != count or arrived["errors"]:
            raise self._running.failed(f"{arrived['clients']} of {count} clients, errors {arrived['errors']}")

    def tell(self, do: str, **details: float | str) -> dict[str, Any]:
        stdin = self._running.popen.stdin
        assert stdin is not None
        print(json.dumps({"do": do, **details}), file=stdin, flush=True)
        return self._answer()

    def wait_offset(self, offset: int, seconds: float) -> None:
        """Wait for an event, not for a count: a server may send events of its own beside."""
        if not self.tell("reach", topic=self._topic, offset=offset, seconds=seconds)["done"]:
            raise self._running.failed(f"not all at offset {offset}: {self.tell('report')}")

    def _answer(self) -> dict[str, Any]:
        stdout = self._running.popen.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise self._running.failed("ended early")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _free_ports(count: int) -> list[int]:
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
