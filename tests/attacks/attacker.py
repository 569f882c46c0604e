"""Attacks on an appliance, each from a process of its own:

    APPLIANCE_ATTACK_KEY=KEY python -m tests.attacks.attacker 8443 --seconds 10 --connections 100 slow_heads pings

Each tells as a line of JSON how often it began anew. Must not know what becomes of the appliance.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
from typing import TYPE_CHECKING

import click
import trio

from tests.attacks import on_connections, on_http, on_http2, on_sockets
from tests.attacks.target import Target
from tests.bench.load import allow_files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Attack = Callable[[Target], Awaitable[None]]

KEY = "APPLIANCE_ATTACK_KEY"
FAMILIES: dict[str, dict[str, Attack]] = {
    "sockets": {attack.__name__: attack for attack in on_sockets.ATTACKS},
    "http": {attack.__name__: attack for attack in on_http.ATTACKS},
    "http2": {attack.__name__: attack for attack in on_http2.ATTACKS},
    "connections": {attack.__name__: attack for attack in on_connections.ATTACKS},
}
_PAUSE = 0.02
"""Seconds between two tries of one connection: the appliance is attacked, not the machine that both share."""
_NICE = 15
"""For the same reason: who attacks has a machine of its own, and gets of this one what others leave."""


async def run(attack: Attack, target: Target, *, connections: int, seconds: float) -> int:
    """Attack for a time, and give how often a connection was begun."""
    tries = 0

    async def again_and_again() -> None:
        nonlocal tries
        while True:
            tries += 1
            try:
                await attack(target)
            except* (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # it has been cut off
            await trio.sleep(_PAUSE)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:  # ends with the time
            for _ in range(connections):
                nursery.start_soon(again_and_again)
    return tries


@click.command()
@click.argument("port", type=int)
@click.argument("names", nargs=-1, required=True)
@click.option("--seconds", default=2.0, show_default=True)
@click.option("--connections", default=10, show_default=True, help="Connections at once, of each attack.")
def main(port: int, names: tuple[str, ...], seconds: float, connections: int) -> None:
    """Attack PORT of this machine."""
    allow_files()
    os.nice(_NICE)
    attacks = {name: attack for family in FAMILIES.values() for name, attack in family.items()}
    children = []
    for name in names:
        child = os.fork()
        if not child:
            target = Target(port, os.environ[KEY], f"127.66.{list(attacks).index(name)}.1")
            tries = trio.run(lambda: run(attacks[name], target, connections=connections, seconds=seconds))  # noqa: B023 - it is run now
            os.write(1, json.dumps({"attack": name, "tries": tries}).encode() + b"\n")
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
