"""Many clients in one process that come back at once, each from the same place, and check every offset that they get.

    python -m tests.e2e.crowd wss://127.0.0.1:8443/ws --clients 2000 --header "Authorization: Bearer KEY"

Obeys the orders of `tests/bench/load_control.py`, and `{"do": "resume", "topic": T, "epoch": E, "offset": N}`. Must not
know what else the server does meanwhile.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from tests.bench.load import Load, allow_files
from tests.bench.load_client import Target
from tests.bench.load_control import Control
from tests.bench.load_frames import TEXT
from tests.bench.load_offsets import Said, own
from tests.bench.load_parties import Plan

_WITHIN = 120.0
"""Seconds for all to be connected."""


class Crowd(Load):
    """Connected, but silent until it is told to resume."""

    def resume(self, topic: str, epoch: str, offset: int) -> None:
        recover = {topic: {"epoch": epoch, "offset": offset}}
        text = json.dumps({"type": "subscribe", "channels": [topic], "recover": recover}).encode()
        for party in self._parties.values():
            for member in party.live:
                member.positions.start(topic, offset)
                member.send(TEXT, text)
                self._selector.modify(member, member.wants)


class Orders(Control):
    def __init__(self, crowd: Crowd) -> None:
        super().__init__(crowd, sys.stdin, sys.stdout)
        self._crowd = crowd

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "resume":
            self._crowd.resume(order["topic"], order["epoch"], order["offset"])
            return {}
        return super()._obey(order)


def told(payload: bytes) -> Said:
    """Read a text of the own protocol; whoever comes back stands where it stood, and is to recover."""
    said = own(payload)
    if said.type != "subscribed":
        return said
    recovered = all(each["recovered"] for each in json.loads(payload)["channels"])
    return Said("subscribed" if recovered else "error not recovered")


@click.command()
@click.argument("url")
@click.option("--clients", default=100, show_default=True)
@click.option("--header", multiple=True, metavar="NAME:VALUE")
def main(url: str, clients: int, header: tuple[str, ...]) -> None:
    """Connect to URL, report, and obey."""
    allow_files()
    cut = (each.partition(":") for each in header)
    target = Target(url=url, headers=tuple((name.strip(), value.strip()) for name, _, value in cut))
    crowd = Crowd(Plan(targets=(target,), clients=clients, parse=told))
    crowd.connect(_WITHIN)
    orders = Orders(crowd)
    orders.answer(crowd.report())
    orders.run()
    crowd.close()


if __name__ == "__main__":
    main()
