"""Connections to a real PostgreSQL: what they are like, how they end, and what is said when they cannot be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.core.errors import SourceError
from appliance.settings.fields import Secret
from appliance.sources.postgres.connection import Connection
from appliance.sources.postgres.settings import PostgresSettings
from tests.postgres import HOST, Database, free_port, of_the_machine
from tests.sources.postgres.certificates import Authority
from tests.sources.postgres.front import Front

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import Fresh

WITHIN = 20.0


def settings(fresh: Fresh, **changes: Any) -> PostgresSettings:
    said = {
        "host": HOST,
        "port": fresh.server.port,
        "database": fresh.name,
        "password": Secret(fresh.server.password),
    }
    return PostgresSettings(**{**said, **changes})


@contextlib.contextmanager
def opened(said: PostgresSettings) -> Iterator[Connection]:
    connection = Connection(said)
    try:
        connection.open()
        yield connection
    finally:
        connection.close()


def fault(said: PostgresSettings, sql: str = "SELECT 1") -> str:
    """What is said against a statement, or against a connection for it."""
    with pytest.raises(SourceError) as caught, opened(said) as connection:
        connection.run(sql)
    assert str(said.password) not in str(caught.value)
    return str(caught.value)


def role(fresh: Fresh, *grants: str) -> PostgresSettings:
    """A user of this test's own, who may sign in; a grant is a statement with `{}` for the user."""
    name = f"user_of_{fresh.name}"
    fresh.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'of his own'")
    for grant in grants:
        fresh.execute(grant.format(name))
    return settings(fresh, user=name, password=Secret("of his own"))


def until(condition: Any) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def test_statements_are_run_with_their_values(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        assert connection.run("SELECT 1") == [[1]]
        assert connection.run("SELECT $1::text::int + 1, $2::text", ["41", None]) == [[42, None]]
        assert connection.run("SELECT $1::text", ["a'b\n\u0001😀"]) == [["a'b\n\u0001😀"]]
        assert connection.run("SELECT 1 WHERE false") == []


def test_a_unix_socket_serves_by_its_folder_and_by_itself(fresh: Fresh) -> None:
    folder = fresh.server.socket
    for path in (folder, folder / f".s.PGSQL.{fresh.server.port}"):
        with opened(settings(fresh, socket=str(path), password=None)) as connection:
            assert connection.run("SELECT current_database()") == [[fresh.name]]


def test_the_version_is_that_of_the_server(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        assert connection.version == int(fresh.execute("SHOW server_version_num")[0][0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "iso_8601"),
        ("client_encoding", "UTF8"),
        ("statement_timeout", "1500ms"),
        ("default_transaction_read_only", "on"),
        ("application_name", "ticker"),
    ],
)
def test_each_connection_is_set_up(fresh: Fresh, name: str, value: str) -> None:
    with opened(settings(fresh, statement_timeout=1.5, application_name="ticker")) as connection:
        assert connection.run(f"SHOW {name}") == [[value]]


def test_what_the_user_or_the_database_has_set_does_not_matter(fresh: Fresh) -> None:
    said = role(fresh, "ALTER ROLE {} SET DateStyle = 'German'", "ALTER ROLE {} SET TimeZone = 'Asia/Tokyo'")
    fresh.execute(f"ALTER DATABASE {fresh.name} SET IntervalStyle = 'postgres'")
    with opened(said) as connection:
        shown = "SELECT to_json(timestamptz '2030-01-31 12:00+00')::text, (interval '1 day')::text"
        assert connection.run(shown) == [['"2030-01-31T12:00:00+00:00"', "P1D"]]


def test_when_it_is_closed_the_server_has_let_go_of_it(fresh: Fresh) -> None:
    for _ in range(5):
        with opened(settings(fresh)):
            assert len(fresh.connections()) == 1
        assert fresh.connections() == []


def test_closed_twice_and_never_opened_is_closed(fresh: Fresh) -> None:
    connection = Connection(settings(fresh))
    connection.close()
    connection.open()
    connection.close()
    connection.close()
    with pytest.raises(SourceError, match="is lost"):
        connection.run("SELECT 1")


def test_a_statement_that_fails_closes(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        with pytest.raises(SourceError):
            connection.run("SELECT 1/0")
        assert connection.opened is None
        assert fresh.connections() == []


def test_nobody_listens(fresh: Fresh) -> None:
    port = free_port()
    assert f"no PostgreSQL listens at {HOST}:{port}" in fault(settings(fresh, port=port))
    assert "correct `socket`" in fault(settings(fresh, socket="/nowhere"))


@pytest.mark.parametrize("host", ["nowhere.invalid", "not..a..name", "x" * 300])
def test_a_host_that_is_not_known(fresh: Fresh, host: str) -> None:
    assert "is not known" in fault(settings(fresh, host=host))


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
def test_a_host_that_gives_no_answer(fresh: Fresh, sslmode: Any) -> None:
    with socket.create_server((HOST, 0)) as silent:
        said = settings(fresh, port=silent.getsockname()[1], connect_timeout=0.2, sslmode=sslmode)
        assert "gave no answer within 200ms" in fault(said)


@pytest.mark.parametrize("sslmode", ["disable", "prefer"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"R\0\0\0\4" * 9])
def test_what_is_no_postgresql(fresh: Fresh, sslmode: Any, answer: bytes) -> None:
    def serve() -> None:
        # OSError, too: a peer that has left already is no longer connected.
        with listening, listening.accept()[0] as peer, contextlib.suppress(OSError):
            peer.recv(4096)
            peer.sendall(answer)
            peer.shutdown(socket.SHUT_WR)
            peer.recv(4096)

    listening = socket.create_server((HOST, 0))
    said = settings(fresh, port=listening.getsockname()[1], sslmode=sslmode, connect_timeout=WITHIN)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        text = fault(said)
    finally:
        thread.join()
    assert "ended the connection while it was being made" in text or "does not speak as we do" in text


def test_each_address_of_a_host_is_tried(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = socket.create_server((HOST, 0), backlog=0)
    dead, alive = silent.getsockname()[1], fresh.server.port
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port)) for port in (free_port(), alive)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    with silent, opened(settings(fresh, host="several", port=dead, sslmode="prefer")) as connection:
        assert connection.run("SELECT 1") == [[1]]


def test_a_wrong_password(fresh: Fresh) -> None:
    text = fault(settings(fresh, password=Secret("guessed")))
    assert "does not let postgres in" in text
    assert "correct `user` and `password`" in text


def test_a_user_that_is_not_there_or_not_let_in(fresh: Fresh) -> None:
    assert "does not let nobody_here in" in fault(settings(fresh, user="nobody_here"))
    assert "pg_hba.conf" in fault(settings(fresh, user="stranger"))


def test_a_password_that_is_asked_for_and_not_known(fresh: Fresh, tmp_path: Path) -> None:
    said = settings(fresh, password=None, passfile=str(tmp_path / "passwords"))
    assert f"none is known ({tmp_path / 'passwords'} is not there)" in fault(said)


def test_a_password_from_a_file_of_passwords(fresh: Fresh, tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"{HOST}:{fresh.server.port}:*:postgres:{fresh.server.password}\n")
    path.chmod(0o600)
    with opened(settings(fresh, password=None, passfile=str(path))) as connection:
        assert connection.run("SELECT 1") == [[1]]
    path.chmod(0o644)
    assert "chmod 600" in fault(settings(fresh, password=None, passfile=str(path)))


@pytest.mark.parametrize("kind", ["md5", "password"])
def test_other_ways_to_ask_for_a_password(fresh: Fresh, kind: str) -> None:
    with Database(doors=f"host all all {HOST}/32 {kind}", settings={"password_encryption": "md5"}) as server:
        server.execute("CREATE ROLE reader LOGIN PASSWORD 'of his own'")
        said = settings(server.create(), user="reader", password=Secret("of his own"))
        with opened(said) as connection:
            assert connection.run("SELECT current_user::text") == [["reader"]]
    assert fresh.connections() == []


def test_a_database_that_is_not_there(fresh: Fresh) -> None:
    assert "correct `database`" in fault(settings(fresh, database="market"))


def test_a_table_a_column_and_a_schema_that_are_not_there(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE prices (a int)")
    assert 'relation "price" does not exist; correct `table`' in fault(settings(fresh), "SELECT * FROM price")
    assert 'column "b" does not exist; correct the columns' in fault(settings(fresh), "SELECT b FROM prices")
    assert "correct `table` or `query`" in fault(settings(fresh), "SELECT * FROM market.prices")


@pytest.mark.parametrize(
    ("name", "grants"),
    [
        ("prices", []),
        ('"Or""der s"', []),
        ("market.prices", ["GRANT USAGE ON SCHEMA market TO {}"]),
    ],
)
def test_who_may_not_read_is_told_what_helps(fresh: Fresh, name: str, grants: list[str]) -> None:
    fresh.execute("CREATE SCHEMA market")
    fresh.execute(f"CREATE TABLE {name} (a int)")
    said = role(fresh, *grants)
    read = f"SELECT * FROM {name}"  # noqa: S608 - a name of this test
    text = fault(said, read)
    _, statement, _ = text.split("`")
    assert statement.startswith("GRANT SELECT ON")
    fresh.execute(f"SET search_path = public, market; {statement}")
    with opened(said) as connection:
        assert connection.run(read) == []


def test_who_may_not_enter_a_schema_is_told_what_helps(fresh: Fresh) -> None:
    fresh.execute("CREATE SCHEMA market; CREATE TABLE market.prices (a int)")
    assert "run `GRANT USAGE ON SCHEMA market TO" in fault(role(fresh), "SELECT * FROM market.prices")


def test_who_may_not_connect_is_told_what_helps(fresh: Fresh) -> None:
    fresh.execute(f"REVOKE CONNECT ON DATABASE {fresh.name} FROM PUBLIC")
    assert f"run `GRANT CONNECT ON DATABASE {fresh.name} TO" in fault(role(fresh))


def test_too_many_connections(fresh: Fresh) -> None:
    said = role(fresh, "ALTER ROLE {} CONNECTION LIMIT 1")
    with opened(said):
        assert "lower `connections`" in fault(said)


def test_nothing_can_be_written(fresh: Fresh) -> None:
    fresh.execute("CREATE TABLE prices (a int)")
    assert "25006" in fault(settings(fresh), "INSERT INTO prices VALUES (1)")


def test_a_statement_that_takes_too_long(fresh: Fresh) -> None:
    said = settings(fresh, statement_timeout=0.1)
    assert "longer than `statement_timeout`, 100ms" in fault(said, "SELECT pg_sleep(60)")


def test_a_connection_that_somebody_ended(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        fresh.terminate()
        with pytest.raises(SourceError, match="administrator command; it is tried again by itself"):
            connection.run("SELECT 1")


@pytest.mark.parametrize("end", ["fast", "immediate", "kill"])
def test_a_database_that_stops_and_starts(own_database: Database, end: Any) -> None:
    fresh = own_database.create()
    with opened(settings(fresh)) as connection:
        own_database.kill() if end == "kill" else own_database.stop(end)
        with pytest.raises(SourceError, match=r"it is tried again by itself|is lost"):
            connection.run("SELECT 1")
        assert "no PostgreSQL listens" in fault(settings(fresh))
        own_database.start()
        connection.open()
        assert connection.run("SELECT 1") == [[1]]


def test_a_database_that_no_longer_answers(own_database: Database) -> None:
    fresh = own_database.create()
    with opened(settings(fresh, statement_timeout=0.01)) as connection:
        own_database.freeze()
        with pytest.raises(SourceError, match="gave no answer to a statement"):
            connection.run("SELECT 1")
        own_database.thaw()


def test_text_in_another_encoding(fresh: Fresh) -> None:
    fresh.execute("CREATE DATABASE bytes_alone ENCODING SQL_ASCII TEMPLATE template0")
    try:
        said = settings(fresh, database="bytes_alone")
        assert "another encoding" in fault(said, r"SELECT convert_from('\xff', 'SQL_ASCII')")
    finally:
        fresh.execute("DROP DATABASE bytes_alone WITH (FORCE)")


def test_a_statement_is_cancelled_from_another_thread(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:

        def cancel() -> None:
            until(
                lambda: (
                    fresh.execute("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
                    == [[1]]
                )
            )
            connection.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(SourceError, match="canceling statement due to user request"):
            connection.run("SELECT pg_sleep(60)")
        thread.join()
        assert fresh.connections() == []


def test_what_is_severed_ends_at_once(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        timer = threading.Timer(0.1, connection.sever)
        timer.start()
        with pytest.raises(SourceError, match="is lost"):
            connection.run("SELECT pg_sleep(60)")
        timer.join()


def test_what_is_severed_while_it_is_made_ends_at_once(fresh: Fresh) -> None:
    with socket.create_server((HOST, 0)) as silent:
        said = settings(fresh, port=silent.getsockname()[1], connect_timeout=60.0)
        connection = Connection(said)
        timer = threading.Timer(0.1, connection.sever)
        timer.start()
        with pytest.raises(SourceError, match="ended the connection while it was being made"):
            connection.open()
        timer.join()


def test_what_was_severed_before_is_not_made(fresh: Fresh) -> None:
    connection = Connection(settings(fresh))
    connection.sever()
    with pytest.raises(SourceError):
        connection.open()
    assert connection.opened is None
    assert fresh.connections() == []


def test_notices_are_heard_once(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        connection.run('LISTEN prices; LISTEN "Größe"')
        assert connection.heard() == set()
        fresh.execute("NOTIFY prices, 'payload'")
        fresh.execute("NOTIFY prices")
        fresh.execute("NOTIFY \"Größe\", 'ü'")
        assert connection.heard() == {"prices", "Größe"}
        assert connection.heard() == set()


def test_of_very_many_notices_no_name_is_forgotten(fresh: Fresh) -> None:
    with opened(settings(fresh)) as connection:
        connection.run("LISTEN first; LISTEN many")
        fresh.execute("NOTIFY first")
        fresh.execute("SELECT pg_notify('many', number::text) FROM generate_series(1, 1000) number")
        assert connection.heard() == {"first", "many"}


def test_no_notice_waits_in_a_buffer(fresh: Fresh) -> None:
    """One that comes with the answer that asks for notices does not make the socket readable any more."""
    ready = b"Z" + struct.pack("!i", 5) + b"I"
    empty = b"I" + struct.pack("!i", 4)
    notice = b"A" + struct.pack("!ii", 4 + 4 + 7 + 1, 1) + b"prices\0\0"

    def serve() -> None:
        with listening, listening.accept()[0] as peer:
            peer.recv(4096)
            peer.sendall(b"R" + struct.pack("!ii", 8, 0) + ready)
            for more in (notice, b""):
                peer.recv(4096)
                peer.sendall(empty + ready + more)
            peer.recv(4096)

    listening = socket.create_server((HOST, 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with opened(settings(fresh, port=listening.getsockname()[1], sslmode="disable")) as connection:
            assert connection.heard() == {"prices"}
    finally:
        thread.join()


MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_speaks_tls(fresh: Fresh, authority: Authority, mode: Any) -> None:
    with Front(fresh.server.port, authority.vouch("localhost", HOST)) as front:
        said = settings(fresh, port=front.port, sslmode=mode, sslrootcert=str(authority.certificate))
        with opened(said) as connection:
            assert connection.run("SELECT repeat('x', 1000000)") == [["x" * 1_000_000]]
            assert connection.version
        assert front.encrypted == (0 if mode == "disable" else 1)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_speaks_none(fresh: Fresh, mode: Any) -> None:
    with Front(fresh.server.port) as front:
        said = settings(fresh, port=front.port, sslmode=mode)
        if mode in ("disable", "prefer"):
            with opened(said) as connection:
                assert connection.run("SELECT 1") == [[1]]
        else:
            assert f'speaks no TLS, which sslmode = "{mode}" asks for' in fault(said)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("prefer", None),
        ("require", None),
        ("verify-ca", "`sslrootcert`"),
        ("verify-full", "`sslrootcert`"),
    ],
)
def test_a_certificate_that_nobody_known_vouches_for(
    fresh: Fresh, authority: Authority, mode: Any, words: str | None
) -> None:
    with Front(fresh.server.port, authority.vouch("localhost", HOST)) as front:
        said = settings(fresh, port=front.port, sslmode=mode)
        if words:
            assert words in fault(said)
        else:
            with opened(said) as connection:
                assert connection.run("SELECT 1") == [[1]]


def test_a_certificate_of_another_host(fresh: Fresh, authority: Authority) -> None:
    with Front(fresh.server.port, authority.vouch("elsewhere.example")) as front:
        root = str(authority.certificate)
        said = settings(fresh, port=front.port, sslmode="verify-full", sslrootcert=root)
        assert "is for another name" in fault(said)
        by_name = settings(fresh, host="localhost", port=front.port, sslmode="verify-full", sslrootcert=root)
        assert "is for another name" in fault(by_name)
        with opened(settings(fresh, port=front.port, sslmode="verify-ca", sslrootcert=root)) as connection:
            assert connection.run("SELECT 1") == [[1]]


def test_a_certificate_that_has_expired(fresh: Fresh, authority: Authority) -> None:
    with Front(fresh.server.port, authority.vouch("localhost", HOST, days=-1)) as front:
        root = str(authority.certificate)
        assert "has expired" in fault(settings(fresh, port=front.port, sslmode="verify-ca", sslrootcert=root))


def test_a_handshake_that_fails(fresh: Fresh, authority: Authority) -> None:
    with Front(fresh.server.port, authority.vouch("localhost", HOST)) as front:
        assert front.context is not None
        front.context.maximum_version = ssl.TLSVersion.TLSv1_2
        front.context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # which needs another key than the front has
        assert f"TLS with {HOST}:{front.port} failed" in fault(settings(fresh, port=front.port))


def test_over_tls_too_notices_are_heard_and_statements_cancelled(fresh: Fresh, authority: Authority) -> None:
    with Front(fresh.server.port, authority.vouch("localhost", HOST)) as front:
        with opened(settings(fresh, port=front.port, sslmode="require")) as connection:
            connection.run("LISTEN prices")
            fresh.execute("NOTIFY prices")
            assert connection.heard() == {"prices"}
            timer = threading.Timer(0.2, connection.cancel)
            timer.start()
            with pytest.raises(SourceError, match="due to user request"):
                connection.run("SELECT pg_sleep(60)")
            timer.join()
        assert front.encrypted == 2
        with opened(settings(fresh, port=front.port, sslmode="require")) as connection:
            timer = threading.Timer(0.2, connection.sever)
            timer.start()
            with pytest.raises(SourceError, match="is lost"):
                connection.run("SELECT pg_sleep(60)")
            timer.join()


def test_a_database_that_itself_speaks_tls(authority: Authority) -> None:
    """With a certificate for both: the server's, and the user's who has no password."""
    server, key = authority.vouch("localhost", HOST)
    mine = authority.vouch("reader")
    files = {"ca.pem": authority.certificate, "server.pem": server, "server.key": key}
    doors = f"hostssl all reader {HOST}/32 cert\nhostnossl all all {HOST}/32 reject"
    machine = of_the_machine()
    assert machine is not None, (
        "no PostgreSQL with OpenSSL is installed here: run `make test`, or install postgresql"
    )
    with Database(machine, certificates=files, doors=doors) as database:
        fresh = database.create()
        fresh.execute("CREATE ROLE reader LOGIN")
        root = str(authority.certificate)
        encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        for mode in MODES[1:]:
            with opened(settings(fresh, sslmode=mode, sslrootcert=root)) as connection:
                assert connection.run(encrypted) == [[True]]
        assert "pg_hba.conf rejects connection" in fault(settings(fresh, sslmode="disable"))
        shown = {"sslcert": str(mine[0]), "sslkey": str(mine[1]), "password": None, "user": "reader"}
        with opened(settings(fresh, sslmode="verify-full", sslrootcert=root, **shown)) as connection:
            assert connection.run("SELECT current_user::text") == [["reader"]]
        without = settings(fresh, sslmode="verify-full", sslrootcert=root, user="reader")
        assert "connection requires a valid client certificate" in fault(without)
