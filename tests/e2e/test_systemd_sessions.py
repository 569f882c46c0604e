"""Clients of an appliance under a real systemd: reloads, secrets, many of them, the end; and what the journal tells."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from tests.booted import PATIENCE, ROOT, Machine
from tests.installed import ONCE, PLUGINS, PORT, configure, events, get, websocket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.sync.client import ClientConnection


def test_a_reload_returns_when_it_is_done_and_a_refused_one_shows(machine: Machine) -> None:
    for number in range(3):
        configure(machine, f"# {number}\n" if number else "[limits]\nsessions = 7\n")
        machine.run("systemctl reload appliance")
        assert get(machine, "/websocket/status")["max_connections"] == 7
    configure(machine, "sessions = 8\n")
    machine.run("systemctl reload appliance")
    assert get(machine, "/websocket/status")["max_connections"] == 7
    machine.wait_until(
        lambda: "the configuration was refused, the one before stays" in machine.show("StatusText"),
        "the status tells of the refusal",
    )


def test_keys_and_certificates_come_as_credentials(machine: Machine, blocks: Mapping[str, str]) -> None:
    live = "/etc/letsencrypt/live/example.com"
    machine.run(
        f"mkdir -p {live}; openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext "
        f"subjectAltName=DNS:localhost -keyout {live}/privkey.pem -out {live}/fullchain.pem 2>&1; chmod 600 {live}/*"
    )
    machine.run(blocks["secrets"])
    key = machine.run("cut -d' ' -f2 /etc/appliance/secrets/auth.keys").strip()
    shown = f'--cacert {live}/fullchain.pem --header "Authorization: Bearer {key}"'
    assert get(machine, "/ws/stats", verified=shown)["active_connections"] == 0
    with websocket(machine, key=key) as client:
        client.send('{"type": "ping"}')
        assert json.loads(client.recv(PATIENCE)) == {"type": "pong"}
    secret = machine.run(f"cat /proc/{machine.show('MainPID')}/environ; journalctl --quiet --unit=appliance")
    assert key not in secret


def test_what_is_kept_of_clients_lies_on_large_pages(machine: Machine) -> None:
    process = f"/proc/{machine.show('MainPID')}"
    assert "GLIBC_TUNABLES=glibc.malloc.hugetlb=1" in machine.run(f"cat {process}/environ").split("\0")
    with websocket(machine):
        maps = machine.run(f"cat {process}/smaps")
    eligible = re.findall(r"\[heap\]\n(?:.+\n)*?THPeligible: +(\d)\n", maps)
    # Of a machine that has none for anybody, nothing else can be had; where all have them, nobody need ask.
    there_are = "[never]" not in machine.run("cat /sys/kernel/mm/transparent_hugepage/enabled")
    assert ("1" in eligible) is there_are, maps


def open_files(machine: Machine, process: str) -> tuple[int, int]:
    """How many files a process may open, and how many it may let itself open."""
    limits = machine.run(f"cat /proc/{process}/limits")
    found = re.search(r"^Max open files +(\d+) +(\d+) ", limits, re.MULTILINE)
    assert found, limits
    return int(found[1]), int(found[2])


def test_more_clients_than_the_usual_limit_of_files_are_let_in(machine: Machine) -> None:
    count = 1_100
    most = min(
        524_288, open_files(machine, "1")[1]
    )  # beyond that of its first process, no machine can give more
    assert most > count
    assert open_files(machine, machine.show("MainPID")) == (most, most)
    key = machine.run("cat /var/lib/appliance/api_key").strip()
    words = [sys.executable, "-m", "tests.e2e.crowd", f"wss://127.0.0.1:{PORT}/ws", f"--clients={count}"]
    words += ["--header", f"Authorization: Bearer {key}"]
    with subprocess.Popen(
        machine.beside(*words), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["clients"] == count
        held = machine.run(f"ls /proc/{machine.show('MainPID')}/fd | wc -l")
        assert int(held) > count
        with websocket(machine) as one_more:
            one_more.send('{"type": "ping"}')
            assert json.loads(one_more.recv(PATIENCE)) == {"type": "pong"}
        process.communicate(timeout=PATIENCE)


def test_a_stop_hands_over_what_is_owed_and_says_when_to_come_back(
    machine: Machine, blocks: Mapping[str, str]
) -> None:
    machine.write(f"{PLUGINS}/harmless.py", ONCE.format(harm="pass"))
    machine.wait_until(lambda: "counter" in get(machine, "/ws/stats")["channels"], "the plugin is taken up")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(websocket(machine)) for _ in range(5)]
        for client in clients:
            client.send('{"type": "subscribe", "channels": ["counter:all"]}')
        for client in clients:
            wait_for(client, "count")
        machine.run(blocks["stop"])
        endings = [ending(client) for client in clients]
    assert {code for code, _ in endings} == {1012}
    waits = [float(reason.removeprefix("SERVER_RESTART retry_after=")) for _, reason in endings]
    assert all(0 <= wait <= 5 for wait in waits)
    assert len(set(waits)) > 1


def wait_for(client: ClientConnection, kind: str) -> None:
    while json.loads(client.recv(PATIENCE))["type"] != kind:
        pass


def ending(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        list(client)  # whatever is still owed
    frame = caught.value.rcvd
    assert frame is not None
    return frame.code, frame.reason


def test_the_journal_has_each_field(machine: Machine, blocks: Mapping[str, str]) -> None:
    with websocket(machine):
        machine.wait_until(lambda: "session opened" in events(machine), "the session is logged")
    last = blocks["log"].splitlines()[-1]
    (entry,) = map(json.loads, machine.run(last).splitlines())
    assert entry["CLIENT"] == "127.0.0.1"
    assert entry["PRIORITY"] == "6"
    assert entry["SYSLOG_IDENTIFIER"] == "appliance"
    assert entry["MESSAGE"].startswith("session opened ")
    assert entry["_SYSTEMD_UNIT"] == "appliance.service"
