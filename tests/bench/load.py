"""Load generator: thousands of WebSocket clients in one process, each checking every offset it gets.

Must not know which server it loads. It speaks the appliance's own protocol and reports as JSON:

    python -m tests.bench.load wss://127.0.0.1:8443/ws --clients 5000 --ready subscribed \
        --send '{"type": "subscribe", "channels": ["price:*"]}' --seconds 60 --stall 500@20+10

With `--control` it obeys lines on standard input instead of running for a time (see `Control`).
"""

from __future__ import annotations

import heapq
import itertools
import json
import resource
import selectors
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

import attrs
import click

from tests.bench.load_client import READ, Client, GoneError, Stage, Target
from tests.bench.load_frames import TEXT, Opcode
from tests.bench.load_offsets import Findings, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TICK = 0.05
_PRECISION = 6
"""Latencies are kept to this many bits: within two in a hundred."""
_GOODBYE = (1000).to_bytes(2, "big")


class Load:
    """All clients of one process. `connect` first; then `run` as often as wanted, `report`, `close`."""

    def __init__(
        self,
        target: Target,
        clients: int,
        *,
        ready: str | None = None,
        at_once: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._target = target
        self._ready = ready
        self._at_once = at_once
        self._waiting = clients
        self._clients: list[Client] = []
        self._live: set[Client] = set()
        self._opening: set[Client] = set()
        self._stalls: list[tuple[float, int, Client]] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._reading = Reading()
        self._findings = {False: Findings(), True: Findings()}
        self._kinds: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._latencies: Counter[int] = Counter()
        self.deliveries = 0
        self._bytes = 0

    def connect(self, seconds: float) -> int:
        """Bring all clients up, `at_once` at a time, and return how many are ready."""
        self.run(seconds, until=lambda: not self._opening and not self._waiting)
        for client in list(self._opening):
            self._lose(client, f"not ready in time: {client.stage.name.lower()}")
        self._waiting = 0
        return len(self._live)

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Read until the condition holds (true) or the time is over (false)."""
        end = self._clock() + seconds
        while not until():
            now = self._clock()
            if now >= end:
                return False
            self._more(now)
            for key, _ in self._selector.select(min(_TICK, end - now)):
                self._serve(key.fileobj)  # type: ignore[arg-type]  # only clients are registered
        return True

    def reached(self, topic: str, offset: int) -> Callable[[], bool]:
        """Give the condition that all clients have come to this offset; those that are lost do not hold it up."""
        behind = list(self._live)

        def reached() -> bool:
            while behind and (
                behind[-1] not in self._live or behind[-1].positions.due.get(topic, 0) > offset
            ):
                behind.pop()
            return not behind

        return reached

    def stall(self, count: int, seconds: float) -> None:
        """Stop reading `count` clients that never stalled before, for a time."""
        fresh = (client for client in self._clients if client in self._live and not client.stalled)
        for client in itertools.islice(fresh, count):
            client.stalled = True
            self._selector.unregister(client)
            heapq.heappush(self._stalls, (self._clock() + seconds, next(self._order), client))

    def reset(self) -> None:
        """Forget counts and latencies, not positions."""
        self.deliveries = self._bytes = 0
        self._latencies.clear()
        self._kinds.clear()

    def report(self) -> dict[str, Any]:
        steady, stalled = self._findings[False], self._findings[True]
        return {
            "clients": len(self._live),
            "deliveries": self.deliveries,
            "bytes": self._bytes,
            "messages": dict(self._kinds),
            "errors": dict(self._errors),
            "steady": attrs.asdict(steady),
            "stalled": attrs.asdict(stalled),
            "clean": steady.clean and stalled.clean and not self._errors,
            "topics": self._topics(),
            "latency_ms": self._percentiles(),
            "cpu_seconds": time.process_time(),
            "peak_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }

    def close(self) -> None:
        """Say goodbye to the server and leave."""
        for client in self._live:
            client.send(Opcode.CLOSE, _GOODBYE)
            try:
                client.pump()
            except GoneError:
                continue  # it left first
            finally:
                client.close()
        self._live.clear()
        self._selector.close()

    def _more(self, now: float) -> None:
        while self._waiting and len(self._opening) < self._at_once:
            self._waiting -= 1
            client = Client(self._target)
            self._clients.append(client)
            self._live.add(client)
            self._opening.add(client)
            self._selector.register(client, client.wants)
        while self._stalls and self._stalls[0][0] <= now:
            client = heapq.heappop(self._stalls)[2]
            if client in self._live:
                self._selector.register(client, client.wants)

    def _serve(self, client: Client) -> None:
        wanted = client.wants
        try:
            messages = client.pump()
            if messages:
                self._take(client, messages)
        except GoneError as gone:
            self._lose(client, str(gone))
            return
        except ValueError as error:
            self._lose(client, f"not a message: {error}")
            return
        if client.wants != wanted:
            self._selector.modify(client, client.wants)
        if client in self._opening and self._is_ready(client):
            self._opening.discard(client)

    def _is_ready(self, client: Client) -> bool:
        return client.ready or (self._ready is None and client.stage is Stage.OPEN and client.wants == READ)

    def _take(self, client: Client, messages: Any) -> None:
        now = time.monotonic_ns()
        due, read = client.positions.due, self._reading.read
        for opcode, payload in messages:
            if opcode != TEXT:
                continue
            said = read(payload)
            topic = said.topic
            if topic is None or said.until:
                self._note(client, payload)
                continue
            self.deliveries += 1
            self._bytes += len(payload)
            if due.get(topic) == said.offset:
                due[topic] = said.offset + 1
            else:
                client.positions.event(topic, said.offset, self._findings[client.stalled])
            if said.sent_ns:
                taken = (now - said.sent_ns) // 1000
                cut = max(taken.bit_length() - _PRECISION, 0)
                self._latencies[taken >> cut << cut] += 1

    def _note(self, client: Client, payload: bytes) -> None:
        said = self._reading.read(payload)
        self._kinds[said.type] += 1
        if said.type.startswith("error"):
            self._errors[said.type] += 1
        if said.topic is not None:
            client.positions.gap(said.topic, said.offset, said.until, self._findings[client.stalled])
        for topic, position in said.start:
            client.positions.start(topic, position)
        client.ready = client.ready or said.type == self._ready

    def _lose(self, client: Client, kind: str) -> None:
        self._errors[kind] += 1
        self._live.discard(client)
        self._opening.discard(client)
        self._selector.unregister(client)
        client.close()

    def _topics(self) -> dict[str, dict[str, Any]]:
        topics: dict[str, dict[str, Any]] = {}
        for client in self._clients:
            for topic, first in client.positions.first.items():
                seen = topics.setdefault(topic, {"clients": 0, "first": [first, first]})
                seen["clients"] += 1
                _widen(seen, "first", first)
                last = client.positions.due[topic] - 1
                _widen(seen, "last_stalled" if client.stalled else "last", last)
        return topics

    def _percentiles(self) -> dict[str, float]:
        total = self._latencies.total()
        wanted = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        found: dict[str, float] = {}
        passed = 0
        for taken, count in sorted(self._latencies.items()):
            passed += count
            found |= {
                name: taken / 1000
                for name, at in wanted.items()
                if name not in found and passed >= at * total
            }
        return found


def _widen(seen: dict[str, Any], name: str, value: int) -> None:
    least, most = seen.get(name, (value, value))
    seen[name] = [min(least, value), max(most, value)]


class Control:
    """Obeys JSON lines and answers each with a JSON line; the clients are read all the while.

    `{"do": "await", "deliveries": N, "seconds": S}`, `{"do": "reach", "topic": T, "offset": N, "seconds": S}`,
    `{"do": "reset"}`, `{"do": "report"}`, `{"do": "stall", "clients": N, "seconds": S}`. The end of the input is
    the end.
    """

    def __init__(self, load: Load, orders: TextIO, answers: TextIO) -> None:
        self._load = load
        self._orders = orders
        self._answers = answers

    def run(self) -> None:
        for order in self._lines():
            self.answer(self._obey(order))

    def answer(self, content: dict[str, Any]) -> None:
        print(json.dumps(content), file=self._answers, flush=True)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "await":
                wanted = order["deliveries"]
                done = self._load.run(order["seconds"], until=lambda: self._load.deliveries >= wanted)
                return {"done": done, "deliveries": self._load.deliveries}
            case "reach":
                reached = self._load.reached(order["topic"], order["offset"])
                return {"done": self._load.run(order["seconds"], until=reached)}
            case "reset":
                self._load.reset()
                return {}
            case "stall":
                self._load.stall(order["clients"], order["seconds"])
                return {}
            case "report":
                return self._load.report()
            case unknown:
                return {"error": f"unknown order {unknown}"}

    def _lines(self) -> Iterator[dict[str, Any]]:
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._orders, selectors.EVENT_READ)
            while True:
                self._load.run(3600.0, until=lambda: bool(waiting.select(0)))
                if not (line := self._orders.readline()):
                    return
                yield json.loads(line)


def allow_files() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@attrs.frozen
class Stall:
    clients: int
    at: float
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Stall:
        """Read `CLIENTS@AT+FOR`, times in seconds."""
        clients, _, rest = text.partition("@")
        at, _, seconds = rest.partition("+")
        return cls(int(clients), float(at), float(seconds))


@click.command()
@click.argument("url")
@click.option("--clients", default=100, show_default=True)
@click.option(
    "--send", "opening", multiple=True, help="Message that each client sends first; may be repeated."
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE")
@click.option("--ready", help="Type of the message that makes a client ready; without it, the upgrade does.")
@click.option("--at-once", default=64, show_default=True, help="Most clients that connect at the same time.")
@click.option("--within", default=120.0, show_default=True, help="Seconds for all clients to be ready.")
@click.option("--receive-buffer", type=int, help="SO_RCVBUF of each client, in bytes.")
@click.option("--seconds", default=10.0, show_default=True, help="How long to read once all are ready.")
@click.option("--stall", "stalls", multiple=True, metavar="CLIENTS@AT+FOR", help="Clients that stop reading.")
@click.option("--control", is_flag=True, help="Obey JSON lines on standard input instead.")
def main(url: str, clients: int, ready: str | None, at_once: int, *, control: bool, **rest: Any) -> None:
    """Load URL (ws:// or wss://) with clients and report as JSON."""
    allow_files()
    headers = tuple(
        (name.strip(), value.strip()) for name, _, value in (h.partition(":") for h in rest["headers"])
    )
    target = Target(url=url, headers=headers, opening=rest["opening"], receive_buffer=rest["receive_buffer"])
    load = Load(target, clients, ready=ready, at_once=at_once)
    obey = Control(load, sys.stdin, sys.stdout)
    load.connect(rest["within"])
    if control:
        obey.answer(load.report())
        obey.run()
    else:
        passed = 0.0
        for stall in sorted(map(Stall.parse, rest["stalls"]), key=lambda stall: stall.at):
            load.run(stall.at - passed)
            load.stall(stall.clients, stall.seconds)
            passed = stall.at
        load.run(rest["seconds"] - passed)
        obey.answer(load.report())
    load.close()


if __name__ == "__main__":
    main()
