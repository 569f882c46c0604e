"""The clients of the four families, as a load under control: one process has some of the families.

Must not know what is published when. The first answer says how many clients are ready, and why others were lost; the
answers after it are those of `load_control`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import attrs
import click

from tests.bench.load import Load, allow_files
from tests.bench.load_client import Target
from tests.bench.load_control import Control
from tests.bench.load_digests import Stream
from tests.bench.load_families import ACCOUNT, PORTFOLIO, PRICES, family
from tests.bench.load_parties import Plan
from tests.bench.numbered import Turns

PRICED = Turns(tuple(f"COIN{number}" for number in range(1, 31)))
PREDICTED = PRICED.symbols[:12]
CHOSEN = frozenset(PRICED.symbols[::3])
PRICE_INTERVAL, PORTFOLIO_INTERVAL = 3.0, 5.0

_WITHIN = 120.0


def _says(*messages: dict[str, Any]) -> tuple[str, ...]:
    return tuple(map(json.dumps, messages))


_PING = {"type": "ping"}
_READS = {"type": "subscribe", "channels": ["price:*", "signals:all"]}
_PRICES = {"type": "subscribe", "channel": "price_updates"}
_SOME_PRICES = {**_PRICES, "symbols": sorted(CHOSEN)}
_SIGNALS = {"type": "subscribe", "channel": "signals"}


@attrs.frozen
class Families:
    """What each family's clients are, 500 of each at full size."""

    url: str
    key: str
    clients: int

    def plans(self) -> dict[str, tuple[Plan, ...]]:
        return {
            "cryptointel": (self._plan("cryptointel", 10, self._to("/ws", _READS), ready="subscribed"),),
            "data-ws": (
                self._plan("data-ws", 10, *map(self._to, _of("/api/v1/predictions/stream?symbol="))),
            ),
            "ara": (
                self._plan("ara predictions", 4, *map(self._to, _of("/ws/predictions/")), ready="connected"),
                self._plan("ara market data", 3, *map(self._to, _of("/ws/market-data/")), ready="connected"),
                self._plan("ara alerts", 3, self._to("/ws/alerts"), ready="connected"),
            ),
            "trading": (
                self._trading("trading, all", 4, _PING),
                self._trading("trading, prices", 3, _PRICES, _PING),
                self._trading("trading, some prices", 3, _SOME_PRICES, _SIGNALS, _PING, chosen=CHOSEN),
            ),
        }

    def _trading(
        self, name: str, tenths: int, *says: dict[str, Any], chosen: frozenset[str] | None = None
    ) -> Plan:
        """No answer says that a choice is made: that the ping behind it is answered does."""
        streams = {PRICES: Stream(turns=PRICED, chosen=chosen, interval=PRICE_INTERVAL)}
        if says[0] == _PING:
            streams[PORTFOLIO] = Stream(turns=Turns((ACCOUNT,)), interval=PORTFOLIO_INTERVAL)
        plan = self._plan(name, tenths, self._to("/ws", *says), ready="pong")
        return attrs.evolve(plan, streams=streams)

    def _plan(self, name: str, tenths: int, *targets: Target, ready: str | None = None) -> Plan:
        of, _, _ = name.replace(",", "").partition(" ")
        return Plan(
            targets=targets,
            clients=self.clients * tenths // 10,
            name=name,
            ready=ready,
            parse=family(of, PRICED),
        )

    def _to(self, path: str, *says: dict[str, Any]) -> Target:
        shown = (("Authorization", f"Bearer {self.key}"),)
        return Target(url=self.url + path, headers=shown, opening=_says(*says))


def _of(path: str) -> list[str]:
    return [path + symbol for symbol in PREDICTED]


@click.command()
@click.argument("url")
@click.argument("names", nargs=-1)
@click.option("--clients", required=True, type=int, help="Of each family.")
def main(url: str, names: tuple[str, ...], clients: int) -> None:
    """Connect the families of these NAMES to the appliance at URL, wss://HOST:PORT; the key is the first line read."""
    allow_files()
    families = Families(url, sys.stdin.readline().strip(), clients).plans()
    plans = [plan for name in names for plan in families[name]]
    load = Load(*plans)
    obey = Control(load, sys.stdin, sys.stdout)
    ready = load.connect(_WITHIN)
    lost = {plan.name: load.report(plan.name)["errors"] for plan in plans}
    obey.answer({"ready": ready, "lost": {name: errors for name, errors in lost.items() if errors}})
    obey.run()
    load.close()


if __name__ == "__main__":
    main()
