"""Load generator: thousands of WebSocket clients in one process, each checking every offset it gets.

Must not know which server it loads. It speaks the appliance's own protocol or another family's, and reports as JSON:

    python -m tests.bench.load wss://127.0.0.1:8443/ws --clients 5000 --ready subscribed \
        --send '{"type": "subscribe", "channels": ["price:*"]}' --seconds 60 --stall 500@20+10

With `--control` it obeys lines on standard input instead of running for a time (see `load_control`).
"""

from __future__ import annotations

import heapq
import itertools
import resource
import selectors
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import click

from tests.bench.load_client import GoneError, Target
from tests.bench.load_control import Control
from tests.bench.load_digests import Stream
from tests.bench.load_families import FAMILIES, PRICES, family
from tests.bench.load_frames import Opcode
from tests.bench.load_parties import Member, Party, Plan
from tests.bench.numbered import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TICK = 0.05
_GOODBYE = (1000).to_bytes(2, "big")


class Load:
    """All clients of one process. `connect` first; then `run` as often as wanted, `report`, `close`."""

    def __init__(self, *plans: Plan, at_once: int = 64, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at_once = at_once
        self._parties = {plan.name: Party(plan) for plan in plans}
        self._waiting = deque(party for party in self._parties.values() for _ in range(party.plan.clients))
        self._opening: set[Member] = set()
        self._stalls: list[tuple[float, int, Member]] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()

    def connect(self, seconds: float) -> int:
        """Bring all clients up, `at_once` at a time, and return how many are ready."""
        self.run(seconds, until=lambda: not self._opening and not self._waiting)
        for member in list(self._opening):
            self._lose(member, f"not ready in time: {member.stage.name.lower()}")
        self._waiting.clear()
        return sum(len(party.live) for party in self._parties.values())

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

    def reached(self, topic: str, offset: int, party: str = "") -> Callable[[], bool]:
        """Give the condition that all clients have come to this offset; those that are lost do not hold it up."""
        live = self._parties[party].live
        behind = list(live)

        def reached() -> bool:
            while behind and (behind[-1] not in live or behind[-1].positions.due.get(topic, 0) > offset):
                behind.pop()
            return not behind

        return reached

    def deliveries(self, party: str = "") -> int:
        return self._parties[party].deliveries

    def live(self, party: str = "") -> int:
        """Count the clients that are not lost."""
        return len(self._parties[party].live)

    def stall(self, count: int, seconds: float, party: str = "") -> None:
        """Stop reading `count` clients that never stalled before, for a time."""
        chosen = self._parties[party]
        fresh = (member for member in chosen.members if member in chosen.live and not member.stalled)
        for member in itertools.islice(fresh, count):
            member.stalled = True
            self._selector.unregister(member)
            heapq.heappush(self._stalls, (self._clock() + seconds, next(self._order), member))

    def reset(self) -> None:
        """Forget counts and latencies, not positions."""
        for party in self._parties.values():
            party.reset()

    def report(self, party: str = "") -> dict[str, Any]:
        return {
            **self._parties[party].report(),
            "cpu_seconds": time.process_time(),
            "peak_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }

    def close(self) -> None:
        """Say goodbye to the server and leave."""
        for party in self._parties.values():
            for member in party.live:
                member.send(Opcode.CLOSE, _GOODBYE)
                try:
                    member.pump()
                except GoneError:
                    continue  # it left first
                finally:
                    member.close()
            party.live.clear()
        self._selector.close()

    def _more(self, now: float) -> None:
        while self._waiting and len(self._opening) < self._at_once:
            member = self._waiting.popleft().join()
            self._opening.add(member)
            self._selector.register(member, member.wants)
        while self._stalls and self._stalls[0][0] <= now:
            member = heapq.heappop(self._stalls)[2]
            if member in member.party.live:
                self._selector.register(member, member.wants)

    def _serve(self, member: Member) -> None:
        wanted = member.wants
        try:
            messages = member.pump()
            if messages:
                member.party.take(member, messages)
        except GoneError as gone:
            self._lose(member, str(gone))
            return
        except ValueError as error:
            self._lose(member, f"not a message: {error}")
            return
        if member.wants != wanted:
            self._selector.modify(member, member.wants)
        if member in self._opening and member.party.is_ready(member):
            self._opening.discard(member)

    def _lose(self, member: Member, kind: str) -> None:
        member.party.lose(member, kind)
        self._opening.discard(member)
        self._selector.unregister(member)
        member.close()


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


def _headers(written: Sequence[str]) -> tuple[tuple[str, str], ...]:
    cut = (header.partition(":") for header in written)
    return tuple((name.strip(), value.strip()) for name, _, value in cut)


@click.command()
@click.argument("url")
@click.option("--clients", default=100, show_default=True)
@click.option(
    "--send", "opening", multiple=True, help="Message that each client sends first; may be repeated."
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE")
@click.option("--ready", help="Type of the message that makes a client ready; without it, the upgrade does.")
@click.option(
    "--family", "spoken", type=click.Choice(FAMILIES), help="Without it, the own protocol's offsets."
)
@click.option("--symbols", default="", help="Symbols, A,B,C, that the family's prices are numbered across.")
@click.option("--at-once", default=64, show_default=True, help="Most clients that connect at the same time.")
@click.option("--within", default=120.0, show_default=True, help="Seconds for all clients to be ready.")
@click.option("--receive-buffer", type=int, help="SO_RCVBUF of each client, in bytes.")
@click.option("--seconds", default=10.0, show_default=True, help="How long to read once all are ready.")
@click.option("--stall", "stalls", multiple=True, metavar="CLIENTS@AT+FOR", help="Clients that stop reading.")
@click.option("--control", is_flag=True, help="Obey JSON lines on standard input instead.")
def main(url: str, clients: int, ready: str | None, at_once: int, *, control: bool, **rest: Any) -> None:
    """Load URL (ws:// or wss://) with clients and report as JSON."""
    allow_files()
    target = Target(
        url=url,
        headers=_headers(rest["headers"]),
        opening=rest["opening"],
        receive_buffer=rest["receive_buffer"],
    )
    plan = Plan(targets=(target,), clients=clients, ready=ready)
    if rest["spoken"] is not None:
        turns = Turns(tuple(rest["symbols"].split(",")))
        plan = attrs.evolve(plan, parse=family(rest["spoken"], turns), streams={PRICES: Stream(turns=turns)})
    load = Load(plan, at_once=at_once)
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
