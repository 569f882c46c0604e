"""How a database is reached: address, password and what TLS must show."""

from __future__ import annotations

import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import pytest

from appliance.core.errors import SourceError
from appliance.settings.fields import Secret
from appliance.sources.postgres import access
from appliance.sources.postgres.settings import PostgresSettings
from tests.sources.postgres.certificates import Authority


def settings(**said: Any) -> PostgresSettings:
    return PostgresSettings(**said)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".pgpass").write_text("db:5432:postgres:postgres:of home\nlocalhost:*:*:*:of here\n")
    (tmp_path / ".pgpass").chmod(0o600)
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"host": "db", "port": 1}, "db:1"),
        ({"host": "::1"}, "[::1]:5432"),
        ({"socket": "/run/postgresql"}, "/run/postgresql/.s.PGSQL.5432"),
        ({"socket": "/run/postgresql/.s.PGSQL.7", "port": 1}, "/run/postgresql/.s.PGSQL.7"),
    ],
)
def test_a_place_is_named_as_people_know_it(said: dict[str, Any], place: str) -> None:
    assert access.place(settings(**said)) == place


def test_a_socket_of_any_name_is_taken_as_it_is() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = Path(folder) / "database"
        listening.bind(str(path))
        assert access.socket_path(settings(socket=str(path))) == path
        assert access.socket_path(settings(socket=folder)) == Path(folder) / ".s.PGSQL.5432"


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        ({"host": "db.example.com"}, "verify-full"),
        ({"host": "10.0.0.1"}, "verify-full"),
        ({"host": "localhost"}, "prefer"),
        ({"host": "127.0.0.7"}, "prefer"),
        ({"host": "::1"}, "prefer"),
        ({"host": "localhost", "sslmode": "verify-ca"}, "verify-ca"),
        ({"host": "db.example.com", "sslmode": "disable"}, "disable"),
        ({"socket": "/run/postgresql", "sslmode": "require"}, "disable"),
    ],
)
def test_what_crosses_a_network_must_prove_itself(said: dict[str, Any], mode: str) -> None:
    assert access.sslmode(settings(**said)) == mode


@pytest.mark.parametrize(
    ("mode", "verifies", "names"),
    [
        ("prefer", ssl.CERT_NONE, False),
        ("require", ssl.CERT_NONE, False),
        ("verify-ca", ssl.CERT_REQUIRED, False),
        ("verify-full", ssl.CERT_REQUIRED, True),
    ],
)
def test_a_mode_says_what_is_verified(mode: Any, verifies: ssl.VerifyMode, names: bool) -> None:  # noqa: FBT001 - a parameter
    context = access.read(settings(host="db", sslmode=mode), {}).context
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (verifies, names)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_whoever_may_vouch_is_asked_for_require_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    found = access.read(settings(sslmode="require", sslrootcert=str(authority.certificate)), {})
    assert found.context is not None
    assert found.context.verify_mode == ssl.CERT_REQUIRED
    assert not found.context.check_hostname
    assert len(found.context.get_ca_certs()) == 1


def test_without_tls_there_is_nothing_to_read() -> None:
    assert access.read(settings(sslmode="disable", sslrootcert="/nowhere"), {}).context is None


def test_files_that_do_not_serve_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate\n")
    with pytest.raises(SourceError, match=r"text\.pem does not serve for TLS .* as `sslrootcert`"):
        access.read(settings(sslmode="verify-full", sslrootcert=str(text)), {})
    with pytest.raises(SourceError, match=r"missing\.pem cannot be read .*; correct `sslrootcert`"):
        access.read(settings(sslmode="verify-full", sslrootcert=str(tmp_path / "missing.pem")), {})
    with pytest.raises(SourceError, match=r"text\.pem does not serve .* as `sslcert`"):
        access.read(settings(sslmode="require", sslcert=str(text)), {})


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).vouch("me", password=b"hidden")
    with pytest.raises(SourceError, match="without a password, as `sslcert or sslkey`"):
        access.read(settings(sslmode="require", sslcert=str(certificate), sslkey=str(key)), {})


def test_a_certificate_is_shown_whose_key_fits(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.vouch("me")
    assert access.read(settings(sslmode="require", sslcert=str(certificate), sslkey=str(key)), {}).context
    _, other = authority.vouch("you")
    with pytest.raises(SourceError, match="belong together"):
        access.read(settings(sslmode="require", sslcert=str(certificate), sslkey=str(other)), {})


def test_the_own_password_goes_first(home: dict[str, str]) -> None:
    assert access.read(settings(password=Secret("own"), sslmode="disable"), home).password == "own"


def test_a_password_is_found_at_home(home: dict[str, str]) -> None:
    assert access.read(settings(host="db", sslmode="disable"), home).password == "of home"
    assert access.read(settings(socket="/run/postgresql"), home).password == "of here"


def test_a_file_of_passwords_is_found_where_it_is_named(tmp_path: Path, home: dict[str, str]) -> None:
    for name in ("environment", "setting"):
        (tmp_path / name).write_text(f"*:*:*:*:of {name}\n")
        (tmp_path / name).chmod(0o600)
    environment = {**home, "PGPASSFILE": str(tmp_path / "environment")}
    assert access.read(settings(), environment).password == "of environment"
    assert access.read(settings(passfile=str(tmp_path / "setting")), environment).password == "of setting"


def test_a_changed_file_is_taken_up(tmp_path: Path, home: dict[str, str]) -> None:
    assert access.read(settings(), home).password == "of here"
    (tmp_path / ".pgpass").write_text("localhost:*:*:*:new\n")
    assert access.read(settings(), home).password == "new"


def test_it_is_told_why_there_is_no_password(tmp_path: Path, home: dict[str, str]) -> None:
    path = tmp_path / ".pgpass"
    assert "no line of" in access.read(settings(host="other"), home).unknown
    path.chmod(0o640)
    found = access.read(settings(), home)
    assert found.password is None
    assert f"`chmod 600 {path}`" in found.unknown
    path.unlink()
    assert f"{path} is not there" in access.read(settings(), home).unknown
    assert "no home folder" in access.read(settings(), {}).unknown
    path.mkdir(mode=0o700)
    assert "cannot be read" in access.read(settings(), home).unknown


def test_no_password_shows(home: dict[str, str]) -> None:
    assert "of here" not in repr(access.read(settings(), home))
