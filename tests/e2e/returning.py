"""Many clients in one process that come back by themselves, each when it was told to, and resume where they stood.

    python -m tests.e2e.returning wss://127.0.0.1:8443/ws --topic ticks:all --clients 1000 --header "X-API-Key: KEY"

Obeys the orders of `tests/bench/load_control.py`, and `{"do": "settle", "offset": N, "seconds": S}`: until all are back
and have come to that offset. Must not know why the server goes away.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import click

from tests.bench.load import Load, allow_files
from tests.bench.load_client import Stage, Target
from tests.bench.load_control import Control
from tests.bench.load_frames import TEXT
from tests.bench.load_offsets import Positions, Said, own
from tests.bench.load_parties import Plan

if TYPE_CHECKING:
    from tests.bench.load_parties import Member

_WITHIN = 120.0
"""Seconds for all to be subscribed."""
_AGAIN = 0.2
"""Seconds until a client tries again that was not told when."""
_HINT = re.compile(r" retry_after=([\d.]+)")


@attrs.define
class Heard:
    """What is told of all clients beside their offsets. `ends` counts how connections ended, those to come included."""

    ends: Counter[str] = attrs.field(factory=Counter)
    longest: float = 0.0


class Returning(Load):
    """Clients of one topic."""

    def __init__(self, target: Target, clients: int, topic: str) -> None:
        super().__init__(Plan(targets=(target,), clients=clients, parse=self._told))
        self._clients = clients
        self._epoch = ""
        self._topic = topic
        self._due_back: list[tuple[float, int, Positions]] = []
        self._turn = itertools.count()
        self._subscribed: set[Member] = set()
        self._since: dict[Positions, float] = {}
        self.heard = Heard()

    def settled(self, offset: int) -> bool:
        """Whether all are there and have come to this offset."""
        live = self._parties[""].live
        return len(live) == self._clients and all(
            member.positions.due.get(self._topic, 0) > offset for member in live
        )

    def reset(self) -> None:
        super().reset()
        self.heard = Heard()
        self._since.clear()

    def _more(self, now: float) -> None:
        super()._more(now)
        while self._due_back and self._due_back[0][0] <= now and len(self._opening) < self._at_once:
            member = self._parties[""].join()
            member.positions = heapq.heappop(self._due_back)[2]
            self._opening.add(member)
            self._selector.register(member, member.wants)

    def _serve(self, member: Member) -> None:
        due = member.positions.due.get(self._topic)
        super()._serve(member)
        if member.positions.due.get(self._topic) != due:
            now = self._clock()
            before = self._since.get(member.positions, now)
            self.heard.longest = max(self.heard.longest, now - before)
            self._since[member.positions] = now
        if member.stage is Stage.OPEN and member not in self._subscribed and member in self._parties[""].live:
            self._subscribed.add(member)
            member.send(TEXT, self._subscription(member.positions).encode())
            self._selector.modify(member, member.wants)

    def _subscription(self, positions: Positions) -> str:
        content: dict[str, Any] = {"type": "subscribe", "channels": [self._topic]}
        if (due := positions.due.get(self._topic)) is not None:
            content["recover"] = {self._topic: {"epoch": self._epoch, "offset": due - 1}}
        return json.dumps(content)

    def _told(self, payload: bytes) -> Said:
        """Read a text of the own protocol; who has recovered stands where it stood, and all others begin `anew`.

        Of topics that nobody asked for, only that they came.
        """
        said = own(payload)
        if said.type != "subscribed":
            return said if said.topic in (None, self._topic) else Said(said.type)
        (subscribed,) = json.loads(payload)["channels"]
        if subscribed.get("recovered"):
            return Said("recovered")
        self._epoch = subscribed["epoch"]
        return attrs.evolve(said, type="anew")

    def _lose(self, member: Member, kind: str) -> None:
        hint = _HINT.search(kind)
        self.heard.ends[_HINT.sub("", kind)] += 1
        self._parties[""].live.discard(member)
        self._parties[""].members.remove(member)
        self._subscribed.discard(member)
        self._opening.discard(member)
        self._selector.unregister(member)
        member.close()
        back = self._clock() + (float(hint[1]) if hint else _AGAIN)
        heapq.heappush(self._due_back, (back, next(self._turn), member.positions))


class Orders(Control):
    def __init__(self, load: Returning) -> None:
        super().__init__(load, sys.stdin, sys.stdout)
        self._returning = load

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        load = self._returning
        match order["do"]:
            case "settle":
                done = load.run(order["seconds"], until=lambda: load.settled(order["offset"]))
                return {"done": done}
            case "report":
                return {**load.report(), "ends": load.heard.ends, "longest": load.heard.longest}
        return super()._obey(order)


@click.command()
@click.argument("url")
@click.option("--topic", required=True)
@click.option("--clients", default=100, show_default=True)
@click.option("--header", multiple=True, metavar="NAME:VALUE")
def main(url: str, topic: str, clients: int, header: tuple[str, ...]) -> None:
    """Connect to URL, report, and obey."""
    allow_files()
    cut = (each.partition(":") for each in header)
    target = Target(url=url, headers=tuple((name.strip(), value.strip()) for name, _, value in cut))
    load = Returning(target, clients, topic)
    load.connect(_WITHIN)
    load.run(_WITHIN, until=lambda: load.settled(0))
    orders = Orders(load)
    orders.answer(load.report())
    orders.run()
    load.close()


if __name__ == "__main__":
    main()
