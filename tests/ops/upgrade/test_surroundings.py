"""A command in the place of another one in a unit, and before it: it finds what that one finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.ops.upgrade import surroundings
from tests.booted import booted

if TYPE_CHECKING:
    from pathlib import Path

SERVICE = """
[Unit]
Description=A service whose process only waits
OnFailure = nowhere.service \\
    alarm.service
FailureAction=poweroff

[Service]
ExecStartPre=+/bin/touch /run/started
ExecStart=/bin/sleep infinity
ExecStopPost=+/bin/touch /run/stopped
DynamicUser=yes
StateDirectory=%N
RuntimeDirectory=%p
LoadCredential=secret:/etc/secret
Environment=OURS=theirs
ProtectSystem=strict
PrivateTmp=yes
Restart=always
"""
OVERRIDE = "[Service]\nEnvironment=ALSO=%n\n"
RUN = """
import sys
from appliance.ops.upgrade import surroundings
from appliance.ops.upgrade.unit import Unit

unit = Unit(name="waiting.service", user="waiting", sockets=(), words=("/bin/sleep",), place=0)
said = surroundings.run(unit, ["/bin/sh", "-c", sys.argv[1]], within=30)
print(said.output, end="")
print(said.error, end="", file=sys.stderr)
sys.exit(0 if said.good else 1)
"""
BEFOREHAND = """
import subprocess
from appliance.ops.upgrade import surroundings
from appliance.ops.upgrade.unit import Unit

unit = Unit(name="waiting.service", user="waiting", sockets=(), words=("/bin/sleep",), place=0)
with surroundings.beforehand(unit, ["/bin/sh", "-c", "echo $OURS 100% > /var/lib/waiting/before; exit 1"]):
    subprocess.run(["systemctl", "restart", "waiting"], check=True)
"""


def test_words_are_quoted_as_units_have_them() -> None:
    assert surroundings.quoted(["/bin/a b", '-say "x"', "100%", "back\\slash", "${KEPT}"]) == (
        r'"/bin/a b" "-say \"x\"" "100%%" "back\\slash" "${KEPT}"'
    )


def test_a_command_finds_what_the_process_finds_and_disturbs_nothing(zipapp: Path) -> None:
    with booted(files={zipapp: "/srv/appliance.pyz"}) as machine:
        machine.write("/etc/secret", "hush", mode=0o600)
        machine.write("/etc/systemd/system/waiting.service", SERVICE)
        machine.write("/etc/systemd/system/waiting.service.d/more.conf", OVERRIDE)
        machine.write("/etc/systemd/system/alarm.service", "[Service]\nExecStart=/bin/touch /run/alarmed\n")
        machine.write("/srv/run.py", RUN)
        machine.write("/srv/beforehand.py", BEFOREHAND)
        machine.run("systemctl daemon-reload; systemctl start waiting; rm /run/started")
        process, user = (
            machine.show("MainPID", "waiting.service"),
            machine.run("stat -c %u /var/lib/waiting/."),
        )

        ours = "python3 /srv/appliance.pyz /srv/run.py"
        look = (
            "id -u; echo $OURS $ALSO $STATE_DIRECTORY; cat /run/credentials/waiting.service/secret; echo;"
            "touch /var/lib/waiting/made; touch /etc/made || echo sealed; echo aside >&2"
        )
        done = machine.attempt(f'{ours} "$look"', look=look, SHIV_INTERPRETER="1")
        assert (done.returncode, done.stdout.splitlines()) == (
            0,
            [user.strip(), "theirs waiting.service /var/lib/waiting", "hush", "sealed"],
        )
        assert "aside" in done.stderr
        assert machine.attempt(f"{ours} 'exit 3'", SHIV_INTERPRETER="1").returncode == 1

        assert machine.show("MainPID", "waiting.service") == process
        assert machine.run("ls -d /run/waiting /run/st*ed || true").split() == ["/run/waiting"]
        assert machine.run("ls -A /run/systemd/system; ls -d /run/waiting-* || true") == ""
        assert machine.run("systemctl list-units --all --plain --no-legend 'waiting*'").count("\n") == 1
        assert machine.run("ls -d /run/alarmed || true") == ""

        machine.run("python3 /srv/appliance.pyz /srv/beforehand.py", SHIV_INTERPRETER="1")
        assert machine.show("MainPID", "waiting.service") not in ("0", process)
        assert machine.run("cat /var/lib/waiting/before") == "theirs 100%\n"
        assert machine.run("ls -A /run/systemd/system") == ""
        machine.run(
            "rm /var/lib/waiting/before; systemctl restart waiting; test ! -e /var/lib/waiting/before"
        )
