"""The container file and the compose file: linted, built, and run as data-ws's document runs its own image."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]
from websockets.sync.client import connect

from tests.booted import booted
from tests.packaging import container_engine
from tests.postgres import Database
from tests.served import empty
from tests.served import run as psql

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.booted import Machine

PATIENCE = 60.0
KEY = "your_secure_key"
FORWARD = """
import socket, sys, threading
def pour(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
door = socket.create_server(("127.0.0.1", 5432))
print("ready", flush=True)
while True:
    client, _ = door.accept()
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pour, args=pair, daemon=True).start()
"""
"""Carries what comes to the usual port on to a PostgreSQL's socket."""


@pytest.fixture(scope="module")
def packaging(root: Path) -> Path:
    return root / "packaging"


@pytest.fixture(scope="module")
def compose(packaging: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((packaging / "compose.yaml").read_text(encoding="utf-8"))
    return read


def test_the_container_file_keeps_to_the_rules_of_the_linter(packaging: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [linter, "--no-color", packaging / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_no_more_is_sent_to_the_engine_than_it_copies(packaging: Path) -> None:
    let_in = {
        line.lstrip("!")
        for line in (packaging / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copied = {
        word.removesuffix("/*.toml")
        for instruction, rest in container_engine.instructions((packaging / "Containerfile").read_text())
        if instruction == "COPY" and not rest.startswith("--from")
        for word in rest.split()[:-1]
    }
    assert let_in == copied


def test_the_base_has_the_python_of_the_file(packaging: Path) -> None:
    base = re.findall(r"(?m)^ARG BASE=python:(\d+\.\d+)-", (packaging / "Containerfile").read_text())
    locked = re.findall(r"version_info\[:2\] > \((\d+), (\d+)\)", (packaging.parent / "Makefile").read_text())
    assert base == [".".join(locked[0])]


def test_compose_runs_it_as_the_container_file_means_it(compose: dict[str, Any], packaging: Path) -> None:
    service = compose["services"]["appliance"]
    build = service["build"]
    assert (packaging / build["context"] / build["dockerfile"]).samefile(packaging / "Containerfile")
    written = dict(container_engine.instructions((packaging / "Containerfile").read_text()))
    assert service["ports"] == [f"{written['EXPOSE']}:{written['EXPOSE']}"]
    assert [volume.partition(":")[2] for volume in service["volumes"]] == [written["VOLUME"]]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_gives_the_database_what_the_appliance_asks_it_for(
    compose: dict[str, Any], packaging: Path, root: Path
) -> None:
    served, database = (compose["services"][name]["environment"] for name in ("appliance", "timescaledb"))
    assert served["DB_HOST"] in compose["services"]
    assert served["DB_PASSWORD"] == database["POSTGRES_PASSWORD"]
    profile = (root / "config" / "data-ws.toml").read_text(encoding="utf-8")
    assert f'database = "{database["POSTGRES_DB"]}"' in profile
    assert f'user = "{database["POSTGRES_USER"]}"' in profile
    volumes = [
        volume.partition(":")[0] for service in compose["services"].values() for volume in service["volumes"]
    ]
    assert {volume for volume in volumes if not volume.startswith(".")} == compose["volumes"].keys()
    assert all((packaging / volume).exists() for volume in volumes if volume.startswith("."))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with booted() as up:
        yield up


@pytest.fixture(scope="module")
def image(machine: Machine, zipapp: Path, packaging: Path) -> container_engine.Image:
    return container_engine.build(machine, packaging / "Containerfile", zipapp.parent.parent)


@pytest.fixture(scope="module")
def database(machine: Machine, packaging: Path) -> Iterator[Database]:
    """What data-ws's clients have on the host `timescaledb`: a table with a row in it."""
    with Database() as server, empty(server, "btc_ml_production", role="mltrader") as made:
        psql(made, "CREATE ROLE mltrader LOGIN;")
        psql(made, (packaging / "ml_predictions.sql").read_text(encoding="utf-8"))
        psql(made, "GRANT SELECT ON ml_predictions TO mltrader;")
        insert(server, 50_000)
        socket_file = server.socket / f".s.PGSQL.{server.port}"
        forward = machine.beside(sys.executable, "-c", FORWARD, str(socket_file))
        with subprocess.Popen(forward, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            machine.run("echo 127.0.0.1 timescaledb >> /etc/hosts")
            yield server
            process.kill()


def insert(database: Database, price: int) -> None:
    row = "INSERT INTO ml_predictions (time, current_price) VALUES (now(), $1::text::numeric)"
    database.execute(row, str(price), name="btc_ml_production")


@pytest.fixture(scope="module")
def container(
    machine: Machine, image: container_engine.Image, database: Database, root: Path
) -> Iterator[container_engine.Container]:
    """The line of the document, on a root that can only be read."""
    assert database.running
    machine.run(f"grep timescaledb /etc/hosts >> {image.root}/etc/hosts")
    document = (root / "tests" / "spec" / "data-ws.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"(?m)^docker run (?:.*\\\n)*.*$", document)
    with container_engine.running(machine, image, line) as running:
        wait_until_well(machine, running, 8443)
        yield running
        assert running.stop() == 0


def wait_until_well(machine: Machine, container: container_engine.Container, port: int) -> None:
    """It is asked, by a Python of its own, once somebody listens."""

    def listens() -> bool:
        try:
            machine.connect(port).close()
        except ConnectionRefusedError:
            return False
        return True

    machine.wait_until(listens, "it listens", every=0.05)
    machine.wait_until(container.is_well, "it is well")


def test_it_runs_as_a_user_of_its_own_that_can_change_nothing(
    container: container_engine.Container, machine: Machine
) -> None:
    status = machine.run(f"cat /proc/{container.pid}/status")
    assert re.findall(r"(?m)^(?:Uid|Gid|CapEff):\s+(\w+)", status) == ["10001", "10001", "0000000000000000"]
    written = machine.run(f"find {container.image.root}/opt -perm /022 -o -user 10001")
    assert written == ""
    refused = container.execute("touch", "/etc/file")
    assert "Read-only file system" in refused.stderr


def test_a_client_gets_the_newest_row_and_those_that_follow(
    container: container_engine.Container, machine: Machine, database: Database
) -> None:
    assert container.process.poll() is None
    with connect(
        "wss://localhost:8443/api/v1/predictions/stream",
        sock=machine.connect(8443),
        ssl=unverified(),
        additional_headers={"Authorization": f"Bearer {KEY}"},
        proxy=None,
    ) as client:
        assert json.loads(client.recv(PATIENCE))["current_price"] == 50_000
        insert(database, 50_001)
        assert json.loads(client.recv(PATIENCE))["current_price"] == 50_001


def test_nobody_gets_anything_without_the_key(
    machine: Machine, container: container_engine.Container
) -> None:
    assert container.process.poll() is None
    request = b"GET /api/v1/predictions/latest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with secure(machine) as stream:
        stream.sendall(request)
        answer = b"".join(iter(lambda: stream.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_the_profile_of_another_system_is_well_too(machine: Machine, image: container_engine.Image) -> None:
    """On another port, without TLS, and with that system's variables."""
    variables = "-e WEBSOCKET_ENABLED=true -e WEBSOCKET_MAX_CONNECTIONS=1"
    command = "serve --config /etc/appliance/trading-stream.toml"
    line = f"docker run -p 8000:8000 {variables} appliance {command}"
    with container_engine.running(machine, image, line) as running:
        wait_until_well(machine, running, 8000)
        with connect("ws://localhost:8000/ws", sock=machine.connect(8000), proxy=None) as client:
            assert json.loads(client.recv(PATIENCE))["type"]
            with connect("ws://localhost:8000/ws", sock=machine.connect(8000), proxy=None) as second:
                assert "maximum capacity" in second.recv(PATIENCE)
        assert running.stop() == 0


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def secure(machine: Machine) -> socket.socket:
    return unverified().wrap_socket(machine.connect(8443))
