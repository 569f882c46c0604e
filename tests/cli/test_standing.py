"""How an installed appliance is said to do: well, not well, not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.booted import booted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.booted import Machine

BROKEN = """
from appliance.api import Channel, Mode, hookimpl

async def produce(feed, settings):
    raise ValueError("the exchange is closed")

@hookimpl
def register_channels():
    return (Channel(name="broken", mode=Mode.LOG, message="b", produce=produce, topics=("all",)),)
"""


@pytest.fixture(scope="module")
def machine(zipapp: Path) -> Iterator[Machine]:
    with booted(files={zipapp: "/root/appliance.pyz"}) as booting:
        booting.run("python3 /root/appliance.pyz systemd install --listen tcp://127.0.0.1:8080")
        yield booting


def status(machine: Machine) -> tuple[int, dict[str, str]]:
    done = machine.attempt("appliance systemd status")
    found = (line.split(maxsplit=1) for line in done.stdout.splitlines())
    return done.returncode, {name: text for name, text in found}  # noqa: C416 - mypy knows pairs so


def test_it_is_told_how_it_does(machine: Machine) -> None:
    code, told = status(machine)
    assert (code, told["unit"]) == (3, "inactive (dead)")
    assert re.fullmatch(r"\d+\.\d+\S* \(/usr/local/lib/appliance/appliance\.pyz\)", told["version"])
    assert "health" not in told

    machine.run("systemctl start appliance")
    code, told = status(machine)
    assert code == 0
    assert re.fullmatch(r"active \(running\) since .+, process \d+", told["unit"])
    assert told["listens"] == "tcp://127.0.0.1:8080, kept open by systemd"
    assert told["status"].startswith("0 sessions, ")
    assert told["health"] == "able to serve"

    machine.run("kill -KILL $(systemctl show --value --property MainPID appliance)")
    machine.wait_until(lambda: status(machine)[0] == 0, "it has been started anew")
    assert "restarted 1 times by itself" in status(machine)[1]["unit"]


def test_who_would_not_be_served_well_is_told_why(machine: Machine) -> None:
    machine.write("/etc/appliance/plugins/broken.py", BROKEN)
    machine.run("systemctl restart appliance")
    machine.wait_until(lambda: "broken" in status(machine)[1].get("health", ""), "the producer has failed")
    code, told = status(machine)
    assert code == 0
    assert told["health"].startswith("able to serve, but channel broken: ")

    machine.run("echo '[channels.broken]\nrequired = true' >> /etc/appliance/appliance.toml")
    machine.run("systemctl restart appliance")
    code, told = status(machine)
    assert code == 3
    assert told["health"].startswith("not able to serve: channel broken: ")


def test_who_does_not_answer_is_told_of(machine: Machine) -> None:
    machine.run(
        "systemctl start appliance; kill -STOP $(systemctl show --value --property MainPID appliance)"
    )
    code, told = status(machine)
    machine.run("kill -CONT $(systemctl show --value --property MainPID appliance)")
    assert code == 3
    assert told["health"].startswith("does not answer: ")
