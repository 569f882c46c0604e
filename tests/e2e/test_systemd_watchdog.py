"""What stalls or does not start under a real systemd: it is ended, told of and started anew, or is not tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.installed import ONCE, PLUGINS, as_installed, configure, get, override, restarted

if TYPE_CHECKING:
    from tests.booted import Machine


@pytest.fixture
def machine(shared: Machine) -> Machine:
    """One on which it does not run yet: each test first changes how it is to."""
    as_installed(shared, start="")
    return shared


def test_a_stopped_process_is_killed_and_started_anew(machine: Machine) -> None:
    override(machine, "WatchdogSec=2", "TimeoutAbortSec=1")
    machine.run("systemctl start appliance")
    process = machine.show("MainPID")
    machine.run(f"kill -STOP {process}")
    restarted(machine)
    assert machine.show("MainPID") != process
    assert get(machine, "/health")["status"] == "healthy"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        ("ctypes.PyDLL(None).sleep(1000)", "harmful.py"),  # no thread of Python runs meanwhile
        (
            (
                "[os.close(each.fileno()) for each in gc.get_objects() if type(each) is socket.socket"
                " and each.fileno() >= 0 and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)]"
            ),
            "its socket is lost",
        ),
    ],
    ids=["loop", "listener"],
)
def test_what_no_longer_serves_is_ended_told_of_and_started_anew(
    machine: Machine, harm: str, told: str
) -> None:
    override(machine, "WatchdogSec=3")
    machine.run("systemctl start appliance")
    machine.write(f"{PLUGINS}/harmful.py", ONCE.format(harm=harm))
    restarted(machine)
    assert get(machine, "/health")["status"] == "healthy"
    assert told in machine.run("journalctl --quiet --output=cat --unit=appliance")
    assert (
        machine.run("journalctl --quiet --output=cat --unit=appliance | grep -c 'Watchdog timeout'") == "1\n"
    )


def test_a_configuration_with_a_mistake_is_not_tried_again(machine: Machine) -> None:
    configure(machine, "sesions = 8\n")
    assert machine.attempt("systemctl start appliance").returncode != 0
    assert (machine.show("ActiveState"), machine.show("ExecMainStatus")) == ("failed", "2")
    assert machine.show("NRestarts") == "0"
    assert "sesions" in machine.run("journalctl --quiet --output=cat --unit=appliance")
