"""Certificates of a running appliance: what is offered, and how new files are taken up."""

from __future__ import annotations

import datetime as dt
import hashlib
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from tests.e2e.honest import Witnesses
from tests.e2e.running import ANY_PORT, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Start
    from tests.e2e.running import Running


@attrs.frozen
class Agreed:
    """Which version of TLS, and which protocol in it."""

    version: str | None
    protocol: str | None


def write_pair(folder: Path) -> str:
    """Write a new certificate and its key, and give the certificate's fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stream.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("stream.example")]), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    replace(folder / "key.pem", pem)
    replace(folder / "chain.pem", certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.fingerprint(SHA256()).hex(":").upper()


def replace(path: Path, content: bytes) -> None:
    """Put a whole new file in the place of the old one."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def served_fingerprint(running: Running) -> str:
    served = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", running.port)))
    return hashlib.sha256(served).digest().hex(":").upper()


def trusting() -> ssl.SSLContext:
    """Trust any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def own_pair(folder: Path, check_every: str) -> tuple[str, ...]:
    values = (
        f"certificate={folder / 'chain.pem'}",
        f"key={folder / 'key.pem'}",
        f"check_every={check_every}",
    )
    return ("--listen", ANY_PORT, *(word for value in values for word in ("--set", f"tls.{value}")))


@attrs.frozen
class Paired:
    """An appliance with a pair of files of its own, at which it looks again and again."""

    running: Running
    folder: Path


@pytest.fixture(scope="module")
def paired(start_shared: Start, tmp_path_factory: pytest.TempPathFactory) -> Paired:
    folder = tmp_path_factory.mktemp("paired")
    first = write_pair(folder)
    running = start_shared(*own_pair(folder, "100ms"), "--set", "sources.simulated.interval=200ms")
    assert first in running.hello
    assert "--cacert" not in running.hello
    assert served_fingerprint(running) == first
    return Paired(running, folder)


def test_an_own_pair_is_served_and_taken_up_when_it_changes(paired: Paired) -> None:
    running = paired.running
    with Witnesses.of(running, 2, ssl=trusting()) as witnesses:
        second = write_pair(paired.folder)
        running.wait_for("certificate changed", fingerprint=second)

        assert served_fingerprint(running) == second
        witnesses.go_on()


def test_a_bad_pair_is_refused_once_and_the_next_good_one_taken(paired: Paired) -> None:
    running, chain = paired.running, paired.folder / "chain.pem"
    first = served_fingerprint(running)
    with Witnesses.of(running, 2, ssl=trusting()) as witnesses:
        replace(chain, b"no certificate")
        refused = running.wait_for("certificate refused, the one before stays")
        assert str(chain) in refused["reason"]
        assert served_fingerprint(running) == first
        witnesses.go_on(150)  # time for further looks at the files

        second = write_pair(paired.folder)
        running.wait_for("certificate changed", fingerprint=second)
        assert served_fingerprint(running) == second
        witnesses.go_on()
    reasons = [line["reason"] for line in running.logged("certificate refused, the one before stays")]
    assert len(reasons) == len(set(reasons))


def test_sighup_takes_a_new_pair_up_at_once(start: Start, tmp_path: Path) -> None:
    write_pair(tmp_path)
    running = start(*own_pair(tmp_path, "10m"), "--set", "sources.simulated.interval=200ms")
    with Witnesses.of(running, 1, ssl=trusting()) as witnesses:
        second = write_pair(tmp_path)
        running.tell(signal.SIGHUP)
        running.wait_for("certificate changed", fingerprint=second)

        assert served_fingerprint(running) == second
        witnesses.go_on()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_of_tls_work(appliance: Running, version: ssl.TLSVersion) -> None:
    context = appliance.ssl_context()
    context.minimum_version = context.maximum_version = version

    assert handshake(appliance, context).version == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(appliance: Running, version: ssl.TLSVersion) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")  # or OpenSSL would not even ask

    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        handshake(appliance, context)


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),
        (["http/1.1"], "http/1.1"),
        (["spdy/3"], None),
        ([], None),
    ],
)
def test_the_protocol_is_agreed_on(appliance: Running, offered: list[str], agreed: str | None) -> None:
    context = appliance.ssl_context()
    if offered:
        context.set_alpn_protocols(offered)

    assert handshake(appliance, context).protocol == agreed


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", socket.gethostname()])
def test_the_self_signed_certificate_holds_the_names_of_this_machine(appliance: Running, name: str) -> None:
    handshake(appliance, appliance.ssl_context(), name)


def handshake(running: Running, context: ssl.SSLContext, name: str = "127.0.0.1") -> Agreed:
    """Connect, and give what was agreed on."""
    with (
        socket.create_connection(("127.0.0.1", running.port), PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=name) as secured,
    ):
        return Agreed(secured.version(), secured.selected_alpn_protocol())
