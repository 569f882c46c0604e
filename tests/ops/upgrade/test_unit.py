"""A unit that runs the appliance, as systemd tells it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.ops.upgrade.unit import State, Unit, runs_build
from tests.booted import booted

UNIT = Unit(
    name="appliance.service",
    user="appliance",
    sockets=(),
    words=("/usr/bin/python3", "-u", "/srv/appliance.pyz", "serve", "--config", "/etc/a b.toml"),
    place=2,
)
LOOK = """
import attrs, subprocess, sys, time
from appliance.core.errors import UpgradeError
from appliance.ops.upgrade import unit

for name in ("served", "not-there.service", "dbus.service", "other.service"):
    try:
        found = unit.find(name)
    except UpgradeError as error:
        print(error)
    else:
        print(found.name, found.user, found.sockets, found.file, list(found.words))
served = unit.find("served.service")
with served.restarting() as started:
    while (known := started()) is None:
        time.sleep(0.05)
state = served.state()
print(known, state.serves, state.pid > 0, state.restarts, state.result, len(state.invocation))
other = attrs.evolve(served, name="fails.service")
began = time.time()
with other.restarting() as started:
    while (known := started()) is None:
        time.sleep(0.05)
print(known, other.state().serves, other.state().result)
print(*other.log(began), sep="\\n")
"""
SERVED = """
[Service]
ExecStart=/bin/sh -c 'exec sleep 1000' sh /srv/link.pyz serve "--set=a b" $OPTIONS
User=nobody
[Install]
WantedBy=multi-user.target
"""
SOCKET = "[Socket]\nListenStream=127.0.0.1:8080\n"
OTHER = "[Service]\nExecStart=/usr/bin/python3 /srv/appliance.pyz version\n"
FAILS = "[Service]\nType=notify\nExecStart=/bin/sh -c 'echo hard luck; exit 3'\n"


def test_another_file_is_asked_with_the_same_options() -> None:
    assert UNIT.asking(Path("/srv/appliance.pyz.new"), "prospect") == [
        *("/usr/bin/python3", "-u", "/srv/appliance.pyz.new", "prospect", "--config", "/etc/a b.toml")
    ]


def test_the_file_is_given_other_words() -> None:
    assert UNIT.instead("store", "revert") == [
        "/usr/bin/python3",
        "-u",
        "/srv/appliance.pyz",
        "store",
        "revert",
    ]


@pytest.mark.parametrize(
    ("active", "sub", "starts", "serves"),
    [
        ("active", "running", False, True),
        ("reloading", "reload", False, True),
        ("activating", "start", True, False),
        ("activating", "start-pre", True, False),
        ("activating", "auto-restart", False, False),
        ("deactivating", "stop-sigterm", False, False),
        ("inactive", "dead", False, False),
        ("failed", "failed", False, False),
    ],
)
def test_a_state_starts_or_serves_or_neither(active: str, sub: str, *, starts: bool, serves: bool) -> None:
    state = State(active=active, sub=sub, invocation="a", pid=1, restarts=0, result="success")
    assert (state.starts, state.serves) == (starts, serves)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory map of this process")
def test_a_process_runs_what_it_has_loaded() -> None:
    folder = Path(msgspec.__file__).parent.name
    assert runs_build(os.getpid(), folder)
    assert not runs_build(os.getpid(), "appliance-9.8.7-elsewhere")
    assert not runs_build(0, folder)


def test_systemd_tells_what_runs_and_how_it_is(zipapp: Path) -> None:
    with booted(files={zipapp: "/srv/appliance.pyz"}) as machine:
        units = {
            "served.service": SERVED,
            "served.socket": SOCKET,
            "other.service": OTHER,
            "fails.service": FAILS,
        }
        for name, text in units.items():
            machine.write(f"/etc/systemd/system/{name}", text)
        machine.write("/srv/look.py", LOOK)
        machine.run(
            "ln -s /srv/appliance.pyz /srv/link.pyz; systemctl daemon-reload; systemctl start served.socket"
        )
        told = machine.run("python3 /srv/appliance.pyz /srv/look.py", SHIV_INTERPRETER="1").splitlines()
    words = ["/bin/sh", "-c", "exec sleep 1000", "sh", "/srv/link.pyz", "serve", "--set=a b", "$OPTIONS"]
    assert told[0] == f"served.service nobody ('served.socket',) /srv/appliance.pyz {words}"
    assert told[1].startswith(
        "there is no unit not-there.service: name the one that runs the appliance, with --unit"
    )
    assert "where no word is the appliance in one file" in told[2]
    assert told[3].startswith(
        "other.service runs `/usr/bin/python3 /srv/appliance.pyz version`, which does not serve"
    )
    assert told[4] == "True True True 0 success 32"
    assert told[5] == "False False exit-code"
    assert "hard luck" in told[6:]
