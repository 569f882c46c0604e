"""The ports that a real systemd keeps open: nobody is refused, whatever becomes of the process behind them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Self

from tests.installed import CONFIGURATION, PORT, as_installed, configure, unverified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.booted import Machine


def test_who_comes_before_the_start_is_served(machine: Machine) -> None:
    machine.run("systemctl stop appliance.service")
    assert machine.show("ActiveState") == "inactive"
    with machine.connect(PORT) as raw, unverified().wrap_socket(raw) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert machine.show("ActiveState") == "active"


class Caller:
    """Comes again and again; each time it must get in, and be served."""

    def __init__(self, machine: Machine) -> None:
        self.served = 0
        self.refused: list[str] = []
        self._machine = machine
        self._ended = threading.Event()
        self._tls = unverified()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for_another(self) -> None:
        """Wait until one who comes from now on has been served."""
        before = self.served
        self._machine.wait_until(
            lambda: self.served > before + 1 or self.refused, "somebody is served", every=0.02
        )

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                with self._machine.connect(PORT) as raw, self._tls.wrap_socket(raw) as client:
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    answer = client.recv(100)
                    # One that was let in before the stop may be told to come back.
                    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")):
                        self.refused.append(f"answered {answer!r}")
            except OSError as error:
                self.refused.append(repr(error))
            self.served += 1


def test_over_twenty_restarts_nobody_is_refused(machine: Machine) -> None:
    with Caller(machine) as caller:
        for _ in range(20):
            caller.wait_for_another()
            machine.run("systemctl restart appliance")
        caller.wait_for_another()
    assert caller.refused == []
    assert caller.served >= 20


def test_a_socket_that_nobody_configured_stops_the_start(shared: Machine) -> None:
    as_installed(shared, start="")
    file = shared.root / CONFIGURATION.lstrip("/")
    file.write_text(file.read_text().replace(":8443", ":9443"))
    assert shared.attempt("systemctl start appliance").returncode != 0
    said = shared.run("journalctl --quiet --output=cat --unit=appliance")
    assert (
        "systemd has opened 0.0.0.0:8443 (appliance.socket), and the configuration listens on tls://0.0.0.0:9443"
        in said
    )


def test_new_ports_are_opened_by_the_lines_of_the_document(
    machine: Machine, blocks: Mapping[str, str]
) -> None:
    configure(machine, '[[listen]]\nurl = "unix:/run/appliance/socket"\nauth = "none"\n')
    said = machine.run(blocks["listen"])
    assert said.splitlines() == [
        "replace /etc/systemd/system/appliance.socket",
        "run systemctl daemon-reload",
        "restart it: systemctl restart appliance.service appliance.socket",
    ]
    ask = "curl --silent --unix-socket /run/appliance/socket http://localhost/health"
    assert json.loads(machine.run(ask))["status"] == "healthy"
    machine.run("systemctl restart appliance")
    assert json.loads(machine.run(ask))["status"] == "healthy"  # its file is systemd's, and stays
    for _ in range(8):  # systemd may still hold a port that it has just closed
        machine.run("systemctl reset-failed; systemctl restart appliance.service appliance.socket")
    machine.run(blocks["stop"])
    assert not (machine.root / "run/appliance/socket").exists()
