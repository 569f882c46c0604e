from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import itertools
import json
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.server import ServerConnection, serve

from tests.bench.load import Load, Stall, main
from tests.bench.load_client import Target
from tests.bench.load_offsets import Findings
from tests.bench.load_parties import Plan
from tests.bench.scripted_server import WITHIN, event, sends, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def loading(
    url: str, clients: int, *, opening: tuple[str, ...] = (), ready: str | None = None, **options: Any
) -> Iterator[Load]:
    target = Target(url=url, opening=opening)
    load = Load(Plan(targets=(target,), clients=clients, ready=ready), **options)
    try:
        load.connect(WITHIN)
        yield load
    finally:
        load.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "load")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    pem = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize("secure", [False, True])
def test_every_client_gets_and_checks_every_event(tls: ssl.SSLContext, *, secure: bool) -> None:
    texts = [event(offset, sent_ns=time.monotonic_ns(), pad="x" * 5000) for offset in range(1, 21)]
    with serving(sends(*texts), tls if secure else None) as url, loading(url, 8) as load:
        assert load.run(WITHIN, until=lambda: load.deliveries() == 160)
        report = load.report()
    assert report["clean"]
    assert report["clients"] == 8
    assert report["bytes"] == 8 * sum(map(len, texts))
    assert report["topics"] == {"t:1": {"clients": 8, "first": [1, 1], "last": [20, 20]}}
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["max"]


def test_gaps_doubles_and_late_events_are_counted_for_every_client() -> None:
    gap = json.dumps({"type": "gap", "channel": "t:1", "from": 8, "to": 9})
    script = sends(*map(event, (1, 2, 5, 4, 5)), *map(event, (6, 7)), gap, event(10))
    with serving(script) as url, loading(url, 3) as load:
        assert load.run(WITHIN, until=lambda: load.deliveries() == 24)
        report = load.report()
    assert not report["clean"]
    found = Findings(gaps=3, reorderings=3, doubles=3, declared=6)
    assert report["steady"] == attrs.asdict(found)


def test_clients_say_their_opening_and_are_ready_with_the_answer() -> None:
    heard: list[str | bytes] = []

    def script(connection: ServerConnection) -> None:
        heard.extend([connection.recv(), connection.recv()])
        channels = [{"channel": "t:1", "mode": "log", "epoch": "e", "offset": 4}]
        connection.send(json.dumps({"type": "subscribed", "channels": channels}))
        connection.send(event(6))

    with serving(script) as url, loading(url, 1, opening=("hello", "again"), ready="subscribed") as load:
        assert load.run(WITHIN, until=lambda: load.deliveries() == 1)
        report = load.report()
    assert heard == ["hello", "again"]
    assert report["messages"] == {"subscribed": 1}
    assert report["steady"]["gaps"] == 1


def test_pings_are_answered() -> None:
    def script(connection: ServerConnection) -> None:
        assert connection.ping().wait(WITHIN)
        connection.send(event(1))

    with serving(script) as url, loading(url, 2) as load:
        assert load.run(WITHIN, until=lambda: load.deliveries() == 2)


def test_what_ends_a_client_is_an_error_by_kind() -> None:
    numbers = itertools.count()

    def script(connection: ServerConnection) -> None:
        match next(numbers):
            case 0:
                connection.close(1008, "slow")
            case 1:
                connection.send("no JSON")
            case _:
                connection.send(json.dumps({"type": "error", "error": {"code": "RATE_LIMITED"}}))

    with serving(script) as url, loading(url, 3) as load:
        load.run(WITHIN, until=lambda: len(load.report()["errors"]) == 3)
        report = load.report()
    kinds = sorted(report["errors"])
    assert report["clients"] == 1
    assert kinds[:2] == ["closed 1008 slow", "error RATE_LIMITED"]
    assert kinds[2].startswith("not a message")
    assert not report["clean"]


def test_a_server_that_is_not_there_or_refuses_is_an_error() -> None:
    with serving(sends()) as url:
        pass
    with loading(url, 2) as load:
        report = load.report()
    assert (report["clients"], report["errors"]) == (0, {"connecting: Connection refused": 2})
    with serve(
        lambda _: None, "127.0.0.1", 0, process_request=lambda connection, _: connection.respond(403, "no")
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with loading(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws", 1) as load:
            assert load.report()["errors"] == {"upgrade: status 403": 1}
        server.shutdown()
        thread.join()


def test_stalled_clients_read_nothing_until_their_time_is_over() -> None:
    go = threading.Event()

    def script(connection: ServerConnection) -> None:
        assert go.wait(WITHIN)
        for offset in range(1, 4):
            connection.send(event(offset))

    jumped = 0.0
    with serving(script) as url, loading(url, 5, clock=lambda: time.monotonic() + jumped) as load:
        load.stall(2, 3600)
        go.set()
        assert load.run(WITHIN, until=lambda: load.deliveries() == 9)
        assert load.report()["topics"]["t:1"]["clients"] == 3
        jumped = 3600.0
        assert load.run(WITHIN, until=lambda: load.deliveries() == 15)
        report = load.report()
    assert report["topics"]["t:1"] == {"clients": 5, "first": [1, 1], "last": [3, 3], "last_stalled": [3, 3]}
    assert report["clean"]


def test_the_offset_of_one_topic_is_waited_for_whatever_else_arrives() -> None:
    go = threading.Event()

    def script(connection: ServerConnection) -> None:
        for text in (event(1), event(1, "t:2"), event(2, "t:2")):
            connection.send(text)
        assert go.wait(WITHIN)
        connection.send(event(2))

    with serving(script) as url, loading(url, 3) as load:
        assert load.run(WITHIN, until=load.reached("t:1", 1))
        assert load.run(WITHIN, until=load.reached("t:2", 2))
        assert load.deliveries() == 9
        second = load.reached("t:1", 2)
        assert not second()
        go.set()
        assert load.run(WITHIN, until=second)


def test_a_lost_client_does_not_hold_up_the_others() -> None:
    numbers = itertools.count()

    def script(connection: ServerConnection) -> None:
        if next(numbers):
            connection.send(event(1))
        else:
            connection.close(1008, "slow")

    with serving(script) as url, loading(url, 3) as load:
        assert load.run(WITHIN, until=load.reached("t:1", 1))
        assert load.report()["errors"] == {"closed 1008 slow": 1}


def test_the_command_reports_as_json() -> None:
    with serving(sends(event(1), event(2))) as url:
        ran = CliRunner().invoke(main, [url, "--clients", "2", "--seconds", "2", "--stall", "1@0.1+0.1"])
    assert ran.exit_code == 0, ran.output
    report = json.loads(ran.stdout)
    assert (report["clients"], report["deliveries"], report["clean"]) == (2, 4, True)


def test_a_stall_is_written_as_clients_at_and_for() -> None:
    assert Stall.parse("500@20+10.5") == Stall(500, 20.0, 10.5)
