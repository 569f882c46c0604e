"""What `systemctl` answers, and that a refusal is told: asked in a machine that systemd runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.core.errors import StartError
from appliance.ops import systemctl
from tests.booted import booted

LOOK = """
from appliance.core.errors import StartError
from appliance.ops import systemctl

systemctl.require()
print(systemctl.version() > 200)
print(systemctl.show("dbus.service", "LoadState", "ActiveState"))
print(systemctl.show("nowhere.service", "LoadState"))
print([systemctl.is_active(unit) for unit in ("dbus.service", "nowhere.service")])
print([systemctl.is_enabled(unit) for unit in ("systemd-timesyncd.service", "getty@.service", "nowhere.service")])
try:
    systemctl.tell("start", "nowhere.service")
except StartError as error:
    print(error)
"""


def test_what_systemd_knows_and_what_it_refuses(zipapp: Path) -> None:
    with booted(files={zipapp: "/srv/appliance.pyz"}) as machine:
        machine.write("/srv/look.py", LOOK)
        said = machine.run("python3 /srv/appliance.pyz /srv/look.py", SHIV_INTERPRETER="1")
    unit = "nowhere.service"
    assert said.splitlines() == [
        "True",
        "{'LoadState': 'loaded', 'ActiveState': 'active'}",
        "{'LoadState': 'not-found'}",
        "[True, False]",
        "[False, True, False]",
        f"`systemctl start nowhere.service` failed: Failed to start {unit}: Unit {unit} not found.",
    ]


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs this machine")
def test_a_machine_without_systemd_is_told() -> None:
    with pytest.raises(
        StartError, match="systemd does not run this machine: start `appliance serve` by what does"
    ):
        systemctl.require()


def test_a_machine_without_systemctl_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(StartError, match=r"`systemctl --version` cannot be asked: .*No such file"):
        systemctl.version()
